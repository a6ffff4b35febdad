package cluster

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/network"
)

// UpOptions say what Up is to reach.
type UpOptions struct {
	Nodes   int
	Replace bool // remove another checkout's cluster
	Durable bool // etcd waits for the disk
	// Gateway is to run; nil leaves it as it is.
	Gateway *Gateway
}

// Up brings the cluster up: it does nothing to one that is healthy, starts nodes that are missing, and
// starts afresh if the control plane is gone. Afresh, not from etcd's data: after an unclean end that data
// need not be sound (etcd runs without fsync), and tests want a known state. Loaded images are kept.
func (c *Cluster) Up(o UpOptions) error {
	if o.Nodes < 1 || o.Nodes > network.MaxNodes {
		return fmt.Errorf("%d nodes: there can be 1 to %d", o.Nodes, network.MaxNodes)
	}
	if err := c.checkOwner(o.Replace); err != nil {
		return err
	}
	err := c.apiHealthy()
	if err == nil {
		return c.withLogHint(c.complete(o))
	}
	if c.remains() {
		c.Progress.Say("  the control plane is not healthy (%v): starting afresh", firstLine(err))
		if err := c.Progress.Step("removing what is left", nil, func() error { return c.teardown(c.Layout.State, keepImages) }); err != nil {
			return err
		}
	}
	return c.withLogHint(c.fresh(o))
}

// complete starts the nodes that a running cluster lacks, and the gateway.
func (c *Cluster) complete(o UpOptions) error {
	all := c.Nodes()
	for number := 1; number <= o.Nodes; number++ {
		if !slices.Contains(all, Node{number}) {
			all = append(all, Node{number})
		}
	}
	var missing []Node
	for _, node := range all {
		if c.died(node.processes()) != nil {
			missing = append(missing, node)
		}
	}
	for _, node := range missing {
		if err := c.Progress.Step("starting node "+node.Name(), nil, func() error { return c.startNode(node) }); err != nil {
			return err
		}
	}
	return c.settle(all, o.Gateway)
}

func (c *Cluster) fresh(o UpOptions) error {
	var nodes []Node
	for number := 1; number <= o.Nodes; number++ {
		nodes = append(nodes, Node{number})
	}
	err := c.Progress.Step("keys, certificates, network", nil, func() error {
		return errors.Join(c.Layout.MakeState(), c.makePKI(), network.UpControlPlane())
	})
	if err != nil {
		return err
	}
	// Nodes need the API only once their containerd runs and has its images.
	err = c.Progress.Step("control plane; container runtime and images of "+nodeNames(nodes), nil, func() error {
		return together(
			func() error {
				if err := c.startAPI(o.Durable); err != nil {
					return err
				}
				return c.startControllers()
			},
			func() error { return forNodes(nodes, c.startRuntime) },
		)
	})
	if err != nil {
		return err
	}
	if err := forNodes(nodes, c.joinNode); err != nil {
		return err
	}
	return c.settle(nodes, o.Gateway)
}

// settle starts the gateway and waits until pods can be used on all nodes. The metrics API comes by itself a little later and
// is not waited for: it needs two rounds of measurements.
func (c *Cluster) settle(nodes []Node, gateway *Gateway) error {
	if gateway != nil {
		if err := c.ensureGateway(*gateway); err != nil {
			return err
		}
	}
	ready := func() error { return errors.Join(c.nodesReady(nodes, time.Time{}), c.dnsReady()) }
	if ready() != nil {
		err := c.Progress.Step("waiting for "+nodeNames(nodes)+" and CoreDNS", nil, func() error { return waitFor(3*time.Minute, ready) })
		if err != nil {
			return err
		}
	}
	metrics := "metrics API available"
	if !c.metricsReady() {
		metrics = "metrics API follows within half a minute"
	}
	c.Progress.Say("cluster is up after %s: %s ready, %s", c.Progress.Elapsed(), nodeNames(nodes), metrics)
	if gateway != nil {
		c.Progress.Say("Gateway gateway-system/web listens at %s", GatewayURL())
	}
	c.Progress.Say("export KUBECONFIG=%s", c.Layout.Kubeconfig())
	return nil
}

func nodeNames(nodes []Node) string {
	if len(nodes) == 1 {
		return nodes[0].Name()
	}
	return nodes[0].Name() + " to " + nodes[len(nodes)-1].Name()
}
