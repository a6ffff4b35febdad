package cluster

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/build"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/cgroups"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/network"
)

// Status prints what there is on one screen. It returns an error if no healthy cluster is up.
func (c *Cluster) Status(out io.Writer) error {
	if dir, _ := Owner(); dir != "" && dir != c.Layout.State {
		fmt.Fprintf(out, "the cluster on this machine belongs to another checkout: %s\n", dir)
		return fmt.Errorf("this checkout has no cluster")
	}
	if !c.remains() {
		return fmt.Errorf("no cluster is up")
	}
	fmt.Fprintf(out, "Kubernetes %s  API %s\nKUBECONFIG=%s\n\n", build.KubernetesVersion, Server(), c.Layout.Kubeconfig())
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PROCESS\tPID\tSTATE")
	names := append([]string{}, controlPlane...)
	if c.HasGateway() {
		names = append(names, gatewayProcess)
	}
	for _, node := range c.Nodes() {
		names = append(names, node.processes()...)
		if _, err := c.store().Load(node.delayProcess()); err == nil {
			names = append(names, node.delayProcess())
		}
	}
	for _, name := range names {
		c.statusLine(w, name)
	}
	w.Flush()
	fmt.Fprintf(out, "\nmemory: control plane %s", mib(controlPlaneCgroup))
	for _, node := range c.Nodes() {
		fmt.Fprintf(out, ", %s %s + pods %s (%s)", node.Name(), mib(node.hostCgroup()), mib(node.podCgroup()), network.NodeIP(node.Number))
	}
	fmt.Fprintln(out)
	if err := c.apiHealthy(); err != nil {
		return err
	}
	list, err := c.kubectl("", "get", "nodes", "-o", "wide", "--request-timeout=5s")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%smetrics API available: %t\n", list, c.metricsReady())
	if !c.HasGateway() {
		return nil
	}
	if err := c.gatewayReady(); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	fmt.Fprintf(out, "GATEWAY=%s (Gateway gateway-system/web, class traefik)\n", GatewayURL())
	return nil
}

func (c *Cluster) statusLine(w io.Writer, name string) {
	record, err := c.store().Load(name)
	switch {
	case err != nil:
		fmt.Fprintf(w, "%s\t-\tnot started\n", name)
	case record.Alive():
		fmt.Fprintf(w, "%s\t%d\truns\n", name, record.PID)
	default:
		fmt.Fprintf(w, "%s\t%d\tENDED\n", name, record.PID)
	}
}

// mib is the memory of a cgroup's processes. Programs that share a binary count it once each.
func mib(cgroup string) string { return fmt.Sprintf("%d MiB", cgroups.Memory(cgroup)>>20) }
