// Package cluster starts, watches, hurts and removes a real Kubernetes cluster on one Linux machine:
// the control plane as plain processes, each node as a network namespace with a containerd, a kubelet
// and a kube-proxy of its own.
package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/cgroups"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/network"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/paths"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/pki"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/process"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/progress"
)

// Cluster is this checkout's cluster, whether it runs or not.
type Cluster struct {
	Layout   paths.Layout
	Progress *progress.Printer
	// Bin holds the programs; only what starts processes or asks the API needs it.
	Bin string
}

func (c *Cluster) store() process.Store { return process.Store{Dir: c.Layout.Pids()} }

func (c *Cluster) pki() pki.Dir { return pki.Dir(c.Layout.PKI()) }

func (c *Cluster) program(name string) string { return filepath.Join(c.Bin, name) }

// componentKubeconfig is the kubeconfig that a component uses.
func (c *Cluster) componentKubeconfig(name string) string {
	return filepath.Join(c.Layout.PKI(), name+".kubeconfig")
}

// Server is the API's address.
func Server() string { return "https://" + network.APIServer + ":6443" }

// start starts a component in a network namespace and a cgroup.
func (c *Cluster) start(name, netns, cgroup string, args ...string) error {
	return c.store().Start(process.Spec{
		Name:   name,
		Netns:  netns,
		Dir:    c.Layout.State, // Owner reads whose cluster it is off the working directory
		Log:    filepath.Join(c.Layout.Logs(), name+".log"),
		Args:   args,
		Joined: func(pid int) error { return cgroups.Join(cgroup, pid) },
	})
}

// Lock keeps two commands from changing the machine's cluster at the same time.
func (c *Cluster) Lock() (func(), error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the local cluster needs root: network namespaces, mounts and cgroups")
	}
	if err := os.MkdirAll(c.Layout.Cache, 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(c.Layout.Cache, "cluster.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	lock := func(how int) error { return syscall.Flock(int(file.Fd()), how) }
	if err = lock(syscall.LOCK_EX | syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		err = c.Progress.Step("waiting for another command on the cluster to end", nil, func() error { return lock(syscall.LOCK_EX) })
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return func() { file.Close() }, nil
}

// kubectl runs kubectl as the administrator.
func (c *Cluster) kubectl(input string, args ...string) (string, error) {
	cmd := exec.Command(c.program("kubectl"), append([]string{"--kubeconfig", c.Layout.Kubeconfig()}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// waitFor asks until it gets no error; after limit it returns the last one.
func waitFor(limit time.Duration, ask func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := ask()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(250 * time.Millisecond)
	}
}

// together runs functions at the same time and returns all their errors.
func together(functions ...func() error) error {
	errs := make([]error, len(functions))
	var group sync.WaitGroup
	for i, function := range functions {
		group.Go(func() { errs[i] = function() })
	}
	group.Wait()
	return errors.Join(errs...)
}

// forNodes runs a function for every node at the same time.
func forNodes(nodes []Node, function func(Node) error) error {
	functions := make([]func() error, len(nodes))
	for i, node := range nodes {
		functions[i] = func() error { return function(node) }
	}
	return together(functions...)
}

// withLogHint adds where to look.
func (c *Cluster) withLogHint(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w\n(the components' logs are in %s)", err, c.Layout.Logs())
}
