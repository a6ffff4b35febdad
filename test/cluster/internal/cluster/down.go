package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/cgroups"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/images"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/network"
)

// keep says what survives a teardown.
type keep bool

const (
	keepNothing keep = false
	keepImages  keep = true
)

// Down removes the cluster with all its data.
func (c *Cluster) Down(force bool) error {
	if err := c.checkOwner(force); err != nil {
		return err
	}
	if !c.remains() {
		c.Progress.Say("no cluster is up")
		return os.RemoveAll(c.Layout.State)
	}
	return c.Progress.Step("removing the cluster", nil, func() error { return c.teardown(c.Layout.State, keepNothing) })
}

// Conflict returns an error if another checkout's cluster is up and must not be removed.
func (c *Cluster) Conflict(force bool) error {
	dir, abandoned := Owner()
	if dir == "" || dir == c.Layout.State || abandoned || force {
		return nil
	}
	root := filepath.Dir(dir)
	return fmt.Errorf("the cluster of another checkout, %s, is up, and a machine can have one only.\n"+
		"Remove it with `go -C %s/test/cluster run . down`, or let this command do that with --replace", root, root)
}

// checkOwner deals with the cluster of another checkout: names on a machine are fixed, so there can
// be one only.
func (c *Cluster) checkOwner(force bool) error {
	if err := c.Conflict(force); err != nil {
		return err
	}
	dir, abandoned := Owner()
	if dir == "" || dir == c.Layout.State && !abandoned {
		return nil
	}
	root := filepath.Dir(dir)
	return c.Progress.Step("removing the cluster of "+root, nil, func() error {
		other := *c
		other.Layout.Root, other.Layout.State = root, dir
		return other.teardown(dir, keepNothing)
	})
}

// remains tells whether anything of a cluster is there.
func (c *Cluster) remains() bool {
	records, _ := c.store().List()
	return len(records) > 0 || len(c.Nodes()) > 0 || len(cgroups.Processes("")) > 0 ||
		network.Exists(network.ControlPlane) || network.Exists(network.Namespace(1))
}

// teardown removes a cluster in an order that lets each part end by itself: an API server whose etcd
// went first hangs. It goes on after an error, to remove as much as it can.
func (c *Cluster) teardown(state string, keep keep) error {
	nodes := c.Nodes()
	errs := []error{forNodes(nodes, c.stopNode), c.store().Stop(gatewayProcess, 10*time.Second)}
	for i := len(controlPlane) - 1; i >= 0; i-- {
		errs = append(errs, c.store().Stop(controlPlane[i], 10*time.Second))
	}
	errs = append(errs, cgroups.Kill(""))
	errs = append(errs, forNodes(nodes, c.removeRuntime))
	errs = append(errs, network.Down(), unmountBelow(state), cgroups.Remove(""), c.removeTraces())
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return c.removeState(keep)
}

// stopNode ends a node's processes and pods in order. A kubelet that still ran would start pods anew.
func (c *Cluster) stopNode(n Node) error {
	name := n.Name()
	return errors.Join(
		together(
			func() error { return c.store().Stop(name+"-kubelet", 10*time.Second) },
			func() error { return c.store().Stop(name+"-kube-proxy", 10*time.Second) },
		),
		cgroups.Kill(n.podCgroup()),
		c.store().Stop(name+"-containerd", 10*time.Second),
	)
}

// removeState empties the state directory. Nothing may be mounted below it: removing would reach through.
func (c *Cluster) removeState(keep keep) error {
	if left, err := mountsBelow(c.Layout.State); err != nil || len(left) > 0 {
		return fmt.Errorf("not removing %s: still mounted: %v %w", c.Layout.State, left, err)
	}
	if keep == keepNothing {
		return os.RemoveAll(c.Layout.State)
	}
	entries, err := os.ReadDir(c.Layout.State)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		if entry.Name() != filepath.Base(c.Layout.Images()) {
			errs = append(errs, os.RemoveAll(filepath.Join(c.Layout.State, entry.Name())))
		}
	}
	return errors.Join(errs...)
}

// LoadImages imports archives into every node and keeps a copy for nodes to come.
func (c *Cluster) LoadImages(archives []string) error {
	nodes := c.runningNodes()
	if len(nodes) == 0 {
		return errors.New("no node runs: start the cluster first")
	}
	for _, archive := range archives {
		info, err := images.Inspect(archive)
		if err != nil {
			return err
		}
		kept, err := images.Shelf{Dir: c.Layout.Images()}.Put(archive, info)
		if err != nil {
			return err
		}
		names := strings.Join(info.Tags, ", ")
		imported := make([]bool, network.MaxNodes+1)
		err = c.Progress.Step("image "+names+" onto "+nodeNames(nodes), nil, func() error {
			return forNodes(nodes, func(n Node) (err error) {
				imported[n.Number], err = c.runtime(n).Load(kept, info)
				return err
			})
		})
		if err != nil {
			return err
		}
		if !anyTrue(imported) {
			c.Progress.Say("  %s was there already", names)
		}
	}
	return nil
}

func (c *Cluster) runningNodes() []Node {
	var running []Node
	for _, node := range c.Nodes() {
		if c.died(node.processes()[:1]) == nil {
			running = append(running, node)
		}
	}
	return running
}

func anyTrue(values []bool) bool {
	for _, value := range values {
		if value {
			return true
		}
	}
	return false
}
