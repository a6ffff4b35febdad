package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/build"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/cgroups"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/images"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/network"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/pki"
)

// Node is one node of the cluster.
type Node struct{ Number int }

// ParseNode reads a node's name.
func ParseNode(name string) (Node, error) {
	number, err := strconv.Atoi(strings.TrimPrefix(name, "n"))
	if err != nil || number < 1 || number > network.MaxNodes || name != (Node{number}).Name() {
		return Node{}, fmt.Errorf("%q is no node: they are called n1 to n%d", name, network.MaxNodes)
	}
	return Node{number}, nil
}

// Name is the node's name in Kubernetes.
func (n Node) Name() string { return "n" + strconv.Itoa(n.Number) }

// processes lists a node's processes in the order in which they start.
func (n Node) processes() []string {
	return []string{n.Name() + "-containerd", n.Name() + "-kubelet", n.Name() + "-kube-proxy"}
}

// delayProcess is there while the node's packets are held back.
func (n Node) delayProcess() string { return n.Name() + "-delay" }

// hostCgroup holds the node's own processes, containers' shims included; podCgroup its pods.
func (n Node) hostCgroup() string { return n.Name() + "/host" }
func (n Node) podCgroup() string  { return n.Name() + "/pods" }

// Nodes returns the nodes that were started, in order, running or not.
func (c *Cluster) Nodes() []Node {
	var nodes []Node
	for number := 1; number <= network.MaxNodes; number++ {
		node := Node{number}
		if _, err := os.Stat(c.Layout.Node(node.Name())); err == nil {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

func (c *Cluster) nodeFile(n Node, parts ...string) string {
	return filepath.Join(append([]string{c.Layout.Node(n.Name())}, parts...)...)
}

func (c *Cluster) containerdSocket(n Node) string { return c.nodeFile(n, "containerd.sock") }

func (c *Cluster) runtime(n Node) images.Runtime {
	return images.Runtime{Socket: c.containerdSocket(n), Record: c.nodeFile(n, "images.json")}
}

// startRuntime makes what a node stands on and starts its containerd with every image it needs. It
// asks nothing of the API.
func (c *Cluster) startRuntime(n Node) error {
	for _, dir := range []string{"cni", "pod-logs", "volume-plugins"} {
		if err := os.MkdirAll(c.nodeFile(n, dir), 0o755); err != nil {
			return err
		}
	}
	for _, cgroup := range []string{n.hostCgroup(), n.podCgroup()} {
		if err := cgroups.Make(cgroup); err != nil {
			return err
		}
	}
	if err := network.UpNode(n.Number); err != nil {
		return err
	}
	for name, content := range map[string]string{
		"cni/10-pods.conflist": c.cniConfig(n),
		"containerd.toml":      c.containerdConfig(n),
		"kubelet.yaml":         c.kubeletConfig(n),
		// Pods that take the node's resolver get one that refuses at once; the machine's own is out
		// of their reach.
		"resolv.conf": "nameserver 127.0.0.1\n",
	} {
		if err := os.WriteFile(c.nodeFile(n, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	name := n.Name() + "-containerd"
	if err := c.start(name, network.Namespace(n.Number), n.hostCgroup(), "containerd", "--config", c.nodeFile(n, "containerd.toml")); err != nil {
		return err
	}
	if err := waitFor(30*time.Second, func() error {
		if err := c.died([]string{name}); err != nil {
			return err
		}
		_, err := os.Stat(c.containerdSocket(n))
		return err
	}); err != nil {
		return err
	}
	return c.loadAll(n)
}

// loadAll brings the add-ons' images and every image loaded before onto a node.
func (c *Cluster) loadAll(n Node) error {
	own, err := filepath.Glob(filepath.Join(c.Bin, build.ImagesDir, "*.tar"))
	if err != nil {
		return err
	}
	loaded, err := images.Shelf{Dir: c.Layout.Images()}.List()
	if err != nil {
		return err
	}
	for _, archive := range append(own, loaded...) {
		info, err := images.Inspect(archive)
		if err != nil {
			return err
		}
		// The socket is there a moment before containerd answers.
		if err := waitFor(20*time.Second, func() error { _, err := c.runtime(n).Load(archive, info); return err }); err != nil {
			return err
		}
	}
	return nil
}

// joinNode starts kubelet and kube-proxy.
func (c *Cluster) joinNode(n Node) error {
	d := c.pki()
	ca, err := d.LoadAuthority("ca")
	if err != nil {
		return err
	}
	ip, credential := network.NodeIP(n.Number), "kubelet-"+n.Name()
	subject := pki.Subject{Name: "system:node:" + n.Name(), Organization: "system:nodes", DNSNames: []string{n.Name()}, IPs: []string{ip}}
	if err := d.Issue(ca, credential, subject); err != nil {
		return err
	}
	if err := d.Kubeconfig(c.componentKubeconfig(credential), Server(), "ca", credential); err != nil {
		return err
	}
	err = c.start(n.Name()+"-kubelet", network.Namespace(n.Number), n.hostCgroup(), c.program("kubelet"),
		"--config="+c.nodeFile(n, "kubelet.yaml"),
		"--kubeconfig="+c.componentKubeconfig(credential),
		"--hostname-override="+n.Name(),
		"--root-dir="+c.nodeFile(n, "kubelet"),
		"--cert-dir="+c.nodeFile(n, "kubelet", "pki"),
		"--node-ip="+ip,
		"--node-labels="+topology(n))
	if err != nil {
		return err
	}
	return c.start(n.Name()+"-kube-proxy", network.Namespace(n.Number), n.hostCgroup(), c.program("kube-proxy"),
		"--kubeconfig="+c.componentKubeconfig("kube-proxy"),
		"--hostname-override="+n.Name(),
		"--proxy-mode=iptables",
		"--cluster-cidr="+network.PodCIDR, // what comes from elsewhere, as from the machine, is masqueraded
		"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0")
}

// topology puts every node into a zone of its own, as far as letters go.
func topology(n Node) string {
	return fmt.Sprintf("topology.kubernetes.io/region=local,topology.kubernetes.io/zone=local-%c", 'a'+rune((n.Number-1)%26))
}

// removeRuntime ends what is left of a node after its processes were asked to stop, and removes what
// lives in the kernel or in memory. The node's disk stays: containerd's images, kubelet's files.
func (c *Cluster) removeRuntime(n Node) error {
	errs := []error{cgroups.Kill(n.Name())}
	errs = append(errs, network.DeletePodNamespaces(c.podNamespaces(n, cniResults)))
	errs = append(errs, unmountBelow(c.Layout.Node(n.Name())))
	for _, socket := range c.shimSockets(n) {
		if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	errs = append(errs,
		network.DownNode(n.Number),
		cgroups.Remove(n.Name()),
		os.RemoveAll(c.nodeFile(n, "containerd-state")),
		os.RemoveAll(c.nodeFile(n, "runc")),
		os.RemoveAll(c.containerdSocket(n)))
	for _, name := range append(n.processes(), n.delayProcess()) {
		errs = append(errs, c.store().Stop(name, 0)) // drops the record, the process is gone
	}
	return errors.Join(errs...)
}
