package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/cgroups"
)

// died returns an error for the first process that was started and has ended.
func (c *Cluster) died(names []string) error {
	for _, name := range names {
		record, err := c.store().Load(name)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s was not started", name)
		}
		if err != nil {
			return err
		}
		if !record.Alive() {
			return fmt.Errorf("%s has ended; its log is %s", name, filepath.Join(c.Layout.Logs(), name+".log"))
		}
	}
	return nil
}

// apiHealthy tells whether the control plane's processes run and the API answers.
func (c *Cluster) apiHealthy() error {
	if err := c.died(controlPlane); err != nil {
		return err
	}
	_, err := c.kubectl("", "get", "--raw=/readyz", "--request-timeout=5s")
	return err
}

type nodeList struct {
	Items []struct {
		Metadata struct{ Name string }
		Status   struct {
			Conditions []struct {
				Type, Status      string
				LastHeartbeatTime time.Time
			}
		}
	}
}

// nodesReady returns an error that names the nodes that are not ready, or have not said so since.
func (c *Cluster) nodesReady(nodes []Node, since time.Time) error {
	out, err := c.kubectl("", "get", "nodes", "-o", "json", "--request-timeout=5s")
	if err != nil {
		return err
	}
	ready, err := readyNodes(out, since)
	if err != nil {
		return err
	}
	var missing []string
	for _, node := range nodes {
		if !slices.Contains(ready, node.Name()) {
			missing = append(missing, node.Name())
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("not ready: %s", strings.Join(missing, ", "))
	}
	return nil
}

func readyNodes(list string, since time.Time) ([]string, error) {
	var nodes nodeList
	if err := json.Unmarshal([]byte(list), &nodes); err != nil {
		return nil, err
	}
	var ready []string
	for _, item := range nodes.Items {
		for _, condition := range item.Status.Conditions {
			if condition.Type == "Ready" && condition.Status == "True" && !condition.LastHeartbeatTime.Before(since) {
				ready = append(ready, item.Metadata.Name)
			}
		}
	}
	return ready, nil
}

// dnsReady returns an error unless cluster DNS answers.
func (c *Cluster) dnsReady() error {
	out, err := c.kubectl("", "get", "deployment", "coredns", "-n", "kube-system", "-o", "jsonpath={.status.availableReplicas}", "--request-timeout=5s")
	if err == nil && (out == "" || out == "0") {
		err = errors.New("CoreDNS is not available")
	}
	return err
}

// metricsReady tells whether the metrics API is available.
func (c *Cluster) metricsReady() bool {
	out, err := c.kubectl("", "get", "apiservice", "v1beta1.metrics.k8s.io", "--request-timeout=5s",
		"-o", `jsonpath={.status.conditions[?(@.type=="Available")].status}`)
	return err == nil && out == "True"
}

// Owner returns the state directory of the checkout whose cluster runs on this machine, or "". It is
// read off the processes themselves, since records can be lost. A directory that was removed since is
// marked as such by the kernel; such a cluster is nobody's.
func Owner() (dir string, abandoned bool) {
	for _, pid := range cgroups.Processes(controlPlaneCgroup) {
		if wd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil {
			return strings.CutSuffix(wd, " (deleted)")
		}
	}
	return "", false
}
