// Package cgroups keeps the cluster's processes in a cgroup tree of their own, with cgroup v1 and
// v2. The tree is what `down` trusts when records are lost: whatever runs in it belongs to the cluster.
package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Tree is the directory's name in every hierarchy.
const Tree = "scalableapp-cluster"

const mountRoot = "/sys/fs/cgroup"

// Hierarchies returns the mount points to use: one with cgroup v2, one a controller with v1.
func Hierarchies() ([]string, error) {
	content, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var v1 []string
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		switch {
		case fields[2] == "cgroup2" && fields[1] == mountRoot:
			return []string{mountRoot}, nil
		case fields[2] == "cgroup":
			v1 = append(v1, fields[1])
		}
	}
	if len(v1) == 0 {
		return nil, errors.New("no cgroup hierarchy is mounted below " + mountRoot)
	}
	return v1, nil
}

// withUnified adds the v2 hierarchy that stands beside v1 on some machines: runc makes cgroups there
// too, though nothing else uses them.
func withUnified() []string {
	hierarchies, _ := Hierarchies()
	if unified := filepath.Join(mountRoot, "unified"); !slices.Contains(hierarchies, unified) {
		hierarchies = append(hierarchies, unified)
	}
	return hierarchies
}

// Make makes a cgroup, named by its path below the tree, in every hierarchy.
func Make(name string) error {
	hierarchies, err := Hierarchies()
	if err != nil {
		return err
	}
	for _, h := range hierarchies {
		dir := h
		for _, part := range append([]string{Tree}, strings.Split(name, "/")...) {
			if h == mountRoot {
				delegate(dir)
			}
			parent := dir
			dir = filepath.Join(dir, part)
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			if err := inheritCPUSet(parent, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// delegate makes the controllers that kubelet needs available in a v2 cgroup's children, as far as
// the machine has them; kubelet names what is missing.
func delegate(dir string) {
	for _, controller := range []string{"cpu", "cpuset", "memory", "pids", "io", "hugetlb"} {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
	}
}

// inheritCPUSet copies the processors and memory nodes of the parent: a v1 cpuset starts empty and
// takes no process before it is filled.
func inheritCPUSet(parent, dir string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(parent, file))
		if errors.Is(err, fs.ErrNotExist) || strings.TrimSpace(string(value)) == "" {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), value, 0o644); err != nil {
			return fmt.Errorf("filling the cpuset: %w", err)
		}
	}
	return nil
}

// Join moves a process into a cgroup in every hierarchy.
func Join(name string, pid int) error {
	hierarchies, err := Hierarchies()
	if err != nil {
		return err
	}
	for _, h := range hierarchies {
		if err := os.WriteFile(filepath.Join(h, Tree, name, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Processes returns the ids of all processes in a cgroup and below; the empty name is the tree.
func Processes(name string) []int {
	seen := map[int]bool{}
	for _, h := range withUnified() {
		for _, dir := range directories(filepath.Join(h, Tree, name)) {
			content, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
			for _, field := range strings.Fields(string(content)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
					seen[pid] = true
				}
			}
		}
	}
	pids := make([]int, 0, len(seen))
	for pid := range seen {
		pids = append(pids, pid)
	}
	sort.Ints(pids)
	return pids
}

// Kill kills every process in a cgroup and below, again and again until none is left.
func Kill(name string) error {
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		pids := Processes(name)
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of cgroup %s/%s do not end", pids, Tree, name)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// Remove removes a cgroup and all below it from every hierarchy.
func Remove(name string) error {
	var errs []error
	for _, h := range withUnified() {
		dirs := directories(filepath.Join(h, Tree, name))
		for i := len(dirs) - 1; i >= 0; i-- {
			errs = append(errs, removeDir(dirs[i]))
		}
	}
	return errors.Join(errs...)
}

// removeDir tries for a while: the kernel refuses as long as a dead process is not quite gone.
func removeDir(dir string) error {
	var err error
	for range 50 {
		if err = os.Remove(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// directories lists a directory and all below it, parents first.
func directories(root string) []string {
	var dirs []string
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	return dirs
}

// Memory is the sum of what the processes of a cgroup hold in memory, without the page cache.
func Memory(name string) int64 {
	var sum int64
	for _, pid := range Processes(name) {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue
		}
		if fields := strings.Fields(string(content)); len(fields) > 1 {
			pages, _ := strconv.ParseInt(fields[1], 10, 64)
			sum += pages * int64(os.Getpagesize())
		}
	}
	return sum
}
