// Package network joins the control plane and the nodes: a network namespace for each, a bridge in
// the control plane's, one cable from the machine itself. Nothing has a default route, so nothing
// that runs in the cluster can reach anything outside the machine.
package network

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	// ControlPlane is the control plane's namespace.
	ControlPlane = "sa-cp"
	// APIServer is the address that everything reaches the API at.
	APIServer = "10.89.0.1"
	// PodCIDR is what all pods' addresses lie in.
	PodCIDR = "10.244.0.0/16"
	// ServiceCIDR is what all services' addresses lie in.
	ServiceCIDR = "10.96.0.0/16"
	// APIService is the address of the service kubernetes.default.
	APIService = "10.96.0.1"
	// DNSService is the address of the cluster's DNS.
	DNSService = "10.96.0.10"
	// MaxNodes is how many nodes there can be.
	MaxNodes = 20

	host      = "10.89.0.254"
	hostLink  = "sa-host"
	netnsDir  = "/run/netns"
	bridge    = "br0"
	nodeLink  = "eth0"
	namespace = "sa-"
)

// Namespace is a node's network namespace.
func Namespace(number int) string { return fmt.Sprintf("%sn%d", namespace, number) }

// NodeIP is a node's address.
func NodeIP(number int) string { return fmt.Sprintf("10.89.0.%d", 10+number) }

// NodePodCIDR is what a node's pods have their addresses from.
func NodePodCIDR(number int) string { return fmt.Sprintf("10.244.%d.0/24", number-1) }

func nodePort(number int) string { return fmt.Sprintf("n%d", number) }

// Exists tells whether a network namespace is there.
func Exists(name string) bool {
	_, err := os.Stat(filepath.Join(netnsDir, name))
	return err == nil
}

// UpControlPlane makes the control plane's namespace with the bridge, and the machine's way in.
func UpControlPlane() error {
	return run(
		"ip netns add "+ControlPlane,
		in(ControlPlane, "ip link set lo up"),
		in(ControlPlane, "sysctl -qw net.ipv4.ip_forward=1"),
		in(ControlPlane, "ip link add "+bridge+" type bridge"),
		in(ControlPlane, "ip addr add "+APIServer+"/24 dev "+bridge),
		in(ControlPlane, "ip link set "+bridge+" up"),
		"ip link add "+hostLink+" type veth peer name host netns "+ControlPlane,
		"ip addr add "+host+"/24 dev "+hostLink,
		"ip link set "+hostLink+" up",
		in(ControlPlane, "ip link set host master "+bridge+" up"),
	)
}

// UpNode makes a node's namespace and plugs it into the bridge. Every node has a route to every
// possible node's pods, so that nodes can come and go without a change to the others.
func UpNode(number int) error {
	ns := Namespace(number)
	commands := []string{
		"ip netns add " + ns,
		in(ns, "ip link set lo up"),
		in(ns, "sysctl -qw net.ipv4.ip_forward=1"),
		"ip link add " + nodeLink + " netns " + ns + " type veth peer name " + nodePort(number) + " netns " + ControlPlane,
		in(ControlPlane, "ip link set "+nodePort(number)+" master "+bridge+" up"),
		in(ns, "ip addr add "+NodeIP(number)+"/24 dev "+nodeLink),
		in(ns, "ip link set "+nodeLink+" up"),
	}
	for other := 1; other <= MaxNodes; other++ {
		if other != number {
			commands = append(commands, in(ns, route(other)))
		}
	}
	commands = append(commands, in(ControlPlane, route(number)), route(number))
	if number == 1 {
		// kube-proxy on the first node translates service addresses for the machine itself.
		commands = append(commands, "ip route replace "+ServiceCIDR+" via "+NodeIP(1))
	}
	return run(commands...)
}

func route(number int) string {
	return "ip route replace " + NodePodCIDR(number) + " via " + NodeIP(number)
}

// DownNode removes a node's namespace; its cable goes with it.
func DownNode(number int) error { return deleteNamespace(Namespace(number)) }

// Down removes everything that UpControlPlane and UpNode made; routes go with their link.
func Down() error {
	var errs []error
	for number := 1; number <= MaxNodes; number++ {
		errs = append(errs, DownNode(number))
	}
	errs = append(errs, deleteNamespace(ControlPlane))
	if _, err := os.Stat("/sys/class/net/" + hostLink); err == nil {
		errs = append(errs, run("ip link del "+hostLink))
	}
	return errors.Join(errs...)
}

// DeletePodNamespaces removes the network namespaces of pods.
func DeletePodNamespaces(names []string) error {
	var errs []error
	for _, name := range names {
		if !strings.HasPrefix(name, "cni-") {
			errs = append(errs, fmt.Errorf("%s is not a pod's network namespace", name))
			continue
		}
		errs = append(errs, deleteNamespace(name))
	}
	return errors.Join(errs...)
}

func deleteNamespace(name string) error {
	if !Exists(name) {
		return nil
	}
	err := run("ip netns del " + name)
	if err != nil {
		// A file without a mount, left by a crash between the two.
		if rm := os.Remove(filepath.Join(netnsDir, name)); rm == nil || errors.Is(rm, fs.ErrNotExist) {
			return nil
		}
	}
	return err
}

// in prefixes a command so that it runs in a network namespace.
func in(ns, command string) string { return "nsenter --net=" + netnsDir + "/" + ns + " " + command }

// run runs commands that contain no quotes, one after the other.
func run(commands ...string) error {
	for _, command := range commands {
		fields := strings.Fields(command)
		if out, err := exec.Command(fields[0], fields[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
