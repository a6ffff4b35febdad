package cluster

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/cgroups"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/network"
)

// Find returns a node that was started.
func (c *Cluster) Find(name string) (Node, error) {
	node, err := ParseNode(name)
	if err != nil {
		return node, err
	}
	if !slices.Contains(c.Nodes(), node) {
		return node, fmt.Errorf("the cluster has no node %s", name)
	}
	return node, nil
}

// KillNode ends a node as a power cut does: at once, with everything on it. Its disk stays.
func (c *Cluster) KillNode(n Node) error {
	return errors.Join(cgroups.Kill(n.Name()), c.removeRuntime(n))
}

// StartNode starts a node that was killed, or one that the cluster does not have yet.
func (c *Cluster) StartNode(n Node) error {
	if c.died(n.processes()) == nil {
		c.Progress.Say("%s runs already", n.Name())
		return nil
	}
	return c.Progress.Step("starting node "+n.Name(), nil, func() error { return c.startNode(n) })
}

func (c *Cluster) startNode(n Node) error {
	if err := c.removeRuntime(n); err != nil {
		return err
	}
	if err := c.startRuntime(n); err != nil {
		return err
	}
	// The API goes on calling a lost node ready for a while: only a newer word of its kubelet counts.
	began := time.Now().Truncate(time.Second)
	if err := c.joinNode(n); err != nil {
		return err
	}
	return waitFor(2*time.Minute, func() error { return c.nodesReady([]Node{n}, began) })
}

// Heal ends a node's partition and its delay.
func (c *Cluster) Heal(n Node) error {
	return errors.Join(network.Heal(n.Number), c.Delay(n, 0))
}

// Delay adds to the time of every round trip from and to a node, half in each direction; 0 ends it.
func (c *Cluster) Delay(n Node, d time.Duration) error {
	name := n.delayProcess()
	if err := errors.Join(network.PassPackets(n.Number), c.store().Stop(name, time.Second)); err != nil || d == 0 {
		return err
	}
	err := c.start(name, network.Namespace(n.Number), n.hostCgroup(), c.program("delay"),
		fmt.Sprintf("--queue=%d", network.DelayQueue), "--delay="+(d/2).String())
	if err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond) // for it to find out whether the kernel has such queues
	if err := c.died([]string{name}); err != nil {
		return err
	}
	return network.QueuePackets(n.Number)
}
