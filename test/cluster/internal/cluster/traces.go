package cluster

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Fixed places outside the state directory where containerd, kubelet and the CNI library leave files.
const (
	cniResults    = "/var/lib/cni/results"
	shimSocketDir = "/run/containerd/s"
	containerLogs = "/var/log/containers"
	pluginSocket  = "/var/lib/kubelet/device-plugins/kubelet.sock" // kubelet puts it there whatever its root directory
)

// mountsBelow lists mount points in a directory, the deepest last.
func mountsBelow(dir string) ([]string, error) {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var mounts []string
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			if path := unescape(fields[4]); strings.HasPrefix(path, dir+"/") {
				mounts = append(mounts, path)
			}
		}
	}
	return mounts, nil
}

// unescape undoes the octal escapes that the kernel writes for blanks.
func unescape(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '\\' && i+4 <= len(path) {
			if code, err := strconv.ParseUint(path[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

// unmountBelow unmounts everything in a directory, also what is mounted several times over.
func unmountBelow(dir string) error {
	for range 10 {
		mounts, err := mountsBelow(dir)
		if err != nil || len(mounts) == 0 {
			return err
		}
		for i := len(mounts) - 1; i >= 0; i-- {
			if err := syscall.Unmount(mounts[i], syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
				return &fs.PathError{Op: "unmount", Path: mounts[i], Err: err}
			}
		}
	}
	return nil
}

// podNamespaces finds the network namespaces of a node's pods, in what the CNI library recorded and
// in what the containers were started with.
func (c *Cluster) podNamespaces(n Node, results string) []string {
	found := map[string]bool{}
	files, _ := filepath.Glob(filepath.Join(results, cniNetwork+n.Name()+"-*"))
	for _, file := range files {
		var cached struct {
			Result struct{ Interfaces []struct{ Sandbox string } }
		}
		if content, err := os.ReadFile(file); err == nil && json.Unmarshal(content, &cached) == nil {
			for _, i := range cached.Result.Interfaces {
				addNamespace(found, i.Sandbox)
			}
		}
	}
	for _, bundle := range c.bundles(n) {
		var spec struct {
			Linux struct{ Namespaces []struct{ Type, Path string } }
		}
		if content, err := os.ReadFile(filepath.Join(bundle, "config.json")); err == nil && json.Unmarshal(content, &spec) == nil {
			for _, ns := range spec.Linux.Namespaces {
				addNamespace(found, ns.Path)
			}
		}
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	return names
}

func addNamespace(found map[string]bool, path string) {
	if name := filepath.Base(path); strings.HasPrefix(name, "cni-") {
		found[name] = true
	}
}

func (c *Cluster) bundles(n Node) []string {
	bundles, _ := filepath.Glob(c.nodeFile(n, "containerd-state", "io.containerd.runtime.v2.task", "*", "*"))
	return bundles
}

// shimSockets finds the sockets of a node's shims; a shim that was killed leaves its own behind.
func (c *Cluster) shimSockets(n Node) []string {
	var sockets []string
	for _, bundle := range c.bundles(n) {
		content, err := os.ReadFile(filepath.Join(bundle, "address"))
		if path := strings.TrimPrefix(string(content), "unix://"); err == nil && filepath.Dir(path) == shimSocketDir {
			sockets = append(sockets, path)
		}
	}
	return sockets
}

// removeTraces removes the cluster's files outside its state directory.
func (c *Cluster) removeTraces() error {
	var errs []error
	results, _ := filepath.Glob(filepath.Join(cniResults, cniNetwork+"*"))
	for _, file := range results {
		errs = append(errs, os.Remove(file))
		_ = os.Remove(loopbackResult(file)) // there only if the pod's start came that far
	}
	logs, _ := filepath.Glob(filepath.Join(containerLogs, "*.log"))
	for _, link := range logs {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, c.Layout.State+"/") {
			errs = append(errs, os.Remove(link))
		}
	}
	if conn, err := net.Dial("unix", pluginSocket); err == nil {
		conn.Close() // a kubelet that is not ours
	} else {
		_ = os.Remove(pluginSocket)
	}
	for _, dir := range []string{
		cniResults, filepath.Dir(cniResults),
		shimSocketDir, filepath.Dir(shimSocketDir),
		filepath.Dir(pluginSocket), filepath.Dir(filepath.Dir(pluginSocket)),
		containerLogs,
	} {
		_ = os.Remove(dir) // only if it is empty
	}
	return errors.Join(errs...)
}

// loopbackResult is the record of a pod's loopback, beside the given one of its network: names are
// NETWORK-CONTAINER-INTERFACE.
func loopbackResult(result string) string {
	fields := strings.Split(filepath.Base(result), "-")
	if len(fields) < 3 {
		return ""
	}
	return filepath.Join(filepath.Dir(result), "cni-loopback-"+fields[len(fields)-2]+"-lo")
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
