package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
)

// The nodes of the local cluster are this machine's own processes, so what runs in a pod can be signalled from
// here: a kill that no shutdown hook sees, and a freeze.

// processes are the processes of a pod's container, by their command.
func (w *world) processes(pod *corev1.Pod, container string) map[int]string {
	w.Helper()
	id := ""
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == container {
			id = c.ContainerID[strings.LastIndexByte(c.ContainerID, '/')+1:]
		}
	}
	if id == "" {
		w.Fatalf("pod %s has no container %s that runs", pod.Name, container)
	}
	found := map[int]string{}
	entries, err := filepath.Glob("/proc/[0-9]*/cgroup")
	w.must(err)
	for _, entry := range entries {
		cgroup, err := os.ReadFile(entry)
		if err != nil || !strings.Contains(string(cgroup), id) {
			continue // it has ended, or is another's
		}
		dir := filepath.Dir(entry)
		pid, err := strconv.Atoi(filepath.Base(dir))
		w.must(err)
		command, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err == nil {
			found[pid] = strings.ReplaceAll(string(command), "\x00", " ")
		}
	}
	if len(found) == 0 {
		w.Fatalf("no process of container %s of pod %s was found: does it run on this machine?", container, pod.Name)
	}
	return found
}

// signal sends a signal to the processes of a container whose command holds the text.
func (w *world) signal(pod *corev1.Pod, container, command string, signal syscall.Signal) {
	w.Helper()
	n := 0
	for pid, is := range w.processes(pod, container) {
		if !strings.Contains(is, command) {
			continue
		}
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			w.Fatal(fmt.Errorf("%v to %s: %w", signal, is, err))
		}
		n++
	}
	if n == 0 {
		w.Fatalf("no process of %s has %q in its command: %v", pod.Name, command, w.processes(pod, container))
	}
}
