// Package paths knows where everything of the local cluster lies: state in the repository's
// .cluster directory, whatever can be rebuilt in the user's cache directory.
package paths

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Module is the module path that marks the repository's root.
const Module = "github.com/scalableapp/scalableapp-operator"

// maxSocketPath is what fits into a Unix socket's address, less the longest name a node puts there.
const maxSocketPath = 107 - len("/n99/kubelet/device-plugins/kubelet.sock")

// Layout is the set of directories that one checkout's cluster uses.
type Layout struct {
	Root  string // the repository
	State string // Root/.cluster
	Cache string // binaries and their logs, shared by all checkouts
}

// Find returns the layout for the repository that this source file was compiled from, or else the one
// that the working directory lies in. The first matters to `go -C DIR run .`, the second to a
// binary that was copied elsewhere.
func Find() (Layout, error) {
	var starts []string
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	for _, start := range starts {
		if root, ok := findRoot(start); ok {
			return layout(root)
		}
	}
	return Layout{}, fmt.Errorf("no go.mod of module %s above %s", Module, strings.Join(starts, " or "))
}

func layout(root string) (Layout, error) {
	cache, err := os.UserCacheDir() // honours XDG_CACHE_HOME
	if err != nil {
		return Layout{}, err
	}
	l := Layout{Root: root, State: filepath.Join(root, ".cluster"), Cache: filepath.Join(cache, "scalableapp-operator")}
	if len(l.State) > maxSocketPath {
		return Layout{}, fmt.Errorf("the path %s is too long: Unix sockets below it cannot be addressed; use a checkout with a shorter path", l.State)
	}
	return l, nil
}

// findRoot walks up to the directory that holds the operator's go.mod or, before that file is
// written, the repository's .git.
func findRoot(dir string) (string, bool) {
	for {
		if isRoot(dir) {
			return dir, true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}

func isRoot(dir string) bool {
	if content, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil {
		for line := range strings.Lines(string(content)) {
			if strings.TrimSpace(line) == "module "+Module {
				return true
			}
		}
	}
	_, err := os.Stat(filepath.Join(dir, ".git"))
	return err == nil
}

// Kubeconfig is the administrator's kubeconfig, for people and tests.
func (l Layout) Kubeconfig() string { return filepath.Join(l.State, "kubeconfig") }

// Logs holds one log file for each process.
func (l Layout) Logs() string { return filepath.Join(l.State, "logs") }

// Pids holds one record for each process.
func (l Layout) Pids() string { return filepath.Join(l.State, "pids") }

// PKI holds keys, certificates and the components' kubeconfigs.
func (l Layout) PKI() string { return filepath.Join(l.State, "pki") }

// Etcd is etcd's data directory.
func (l Layout) Etcd() string { return filepath.Join(l.State, "etcd") }

// Volumes holds the persistent volumes.
func (l Layout) Volumes() string { return filepath.Join(l.State, "volumes") }

// Images holds the archives that every node must have.
func (l Layout) Images() string { return filepath.Join(l.State, "images") }

// Node is the directory of one node.
func (l Layout) Node(name string) string { return filepath.Join(l.State, name) }

// MakeState makes the state directories.
func (l Layout) MakeState() error {
	var errs []error
	for _, dir := range []string{l.Logs(), l.Pids(), l.PKI(), l.Volumes(), l.Images()} {
		errs = append(errs, os.MkdirAll(dir, 0o755))
	}
	return errors.Join(errs...)
}
