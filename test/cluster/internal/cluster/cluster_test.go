package cluster

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/paths"
)

func testCluster(t *testing.T) *Cluster {
	t.Helper()
	state := t.TempDir()
	return &Cluster{Layout: paths.Layout{Root: filepath.Dir(state), State: state, Cache: t.TempDir()}}
}

func TestParseNode(t *testing.T) {
	if n, err := ParseNode("n12"); err != nil || n.Number != 12 {
		t.Errorf("n12: %v %v", n, err)
	}
	for _, name := range []string{"", "n", "n0", "n21", "12", "n01", "m1", "n1x", "n-1"} {
		if n, err := ParseNode(name); err == nil {
			t.Errorf("%q was taken for node %v", name, n)
		}
	}
}

func TestReadyNodesCountsOnlyReadyTrue(t *testing.T) {
	list := `{"items":[
	 {"metadata":{"name":"n1"},"status":{"conditions":[{"type":"DiskPressure","status":"False"},{"type":"Ready","status":"True","lastHeartbeatTime":"2026-01-01T10:00:00Z"}]}},
	 {"metadata":{"name":"n2"},"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}},
	 {"metadata":{"name":"n3"},"status":{"conditions":[{"type":"DiskPressure","status":"True"}]}}]}`
	heartbeat := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	got, err := readyNodes(list, heartbeat)
	if err != nil || !slices.Equal(got, []string{"n1"}) {
		t.Errorf("ready: %v %v", got, err)
	}
	if got, _ := readyNodes(list, heartbeat.Add(time.Second)); len(got) != 0 {
		t.Errorf("a node that has not reported since is ready: %v", got)
	}
}

// TestPodNamespaces covers what decides which network namespaces are deleted: only those that a pod of
// the node's has, and only what the CNI plugins made.
func TestPodNamespaces(t *testing.T) {
	c, results := testCluster(t), t.TempDir()
	cached := `{"result":{"interfaces":[{"name":"veth0"},{"name":"eth0","sandbox":"/var/run/netns/cni-2"}]}}`
	if err := os.WriteFile(filepath.Join(results, cniNetwork+"n1-abc-eth0"), []byte(cached), 0o644); err != nil {
		t.Fatal(err)
	}
	bundle := c.nodeFile(Node{1}, "containerd-state", "io.containerd.runtime.v2.task", "k8s.io", "abc")
	if err := os.MkdirAll(bundle, 0o755); err != nil {
		t.Fatal(err)
	}
	spec := `{"linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/var/run/netns/cni-1"},{"type":"network","path":"/run/netns/sa-n1"}]}}`
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), []byte(spec), 0o644); err != nil {
		t.Fatal(err)
	}
	got := c.podNamespaces(Node{1}, results)
	slices.Sort(got)
	if !slices.Equal(got, []string{"cni-1", "cni-2"}) {
		t.Errorf("pod namespaces %v", got)
	}
	if got := c.podNamespaces(Node{2}, results); len(got) != 0 {
		t.Errorf("pod namespaces of another node %v", got)
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{`/a\040b`: "/a b", `/plain`: "/plain", `/end\04`: `/end\04`, `/a\134040`: `/a\040`} {
		if got := unescape(in); got != want {
			t.Errorf("unescape(%s) = %s, want %s", in, got, want)
		}
	}
}

func TestLoopbackResult(t *testing.T) {
	got := loopbackResult("/var/lib/cni/results/scalableapp-n1-abc-eth0")
	if want := "/var/lib/cni/results/cni-loopback-abc-lo"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTeardownKeepsImagesOnlyWhenAsked(t *testing.T) {
	c := testCluster(t)
	if err := c.Layout.MakeState(); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(c.Layout.Images(), "a.tar")
	if err := os.WriteFile(image, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := c.removeState(keepImages); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(c.Layout.State)
	if len(entries) != 1 {
		t.Errorf("left: %v", entries)
	}
	if _, err := os.Stat(image); err != nil {
		t.Error("the image is gone")
	}
	if err := c.removeState(keepNothing); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Layout.State); !os.IsNotExist(err) {
		t.Errorf("the state directory is still there: %v", err)
	}
}

// TestComponentsStayInTheirDirectory guards `down`: what a component writes elsewhere stays behind.
func TestComponentsStayInTheirDirectory(t *testing.T) {
	c := testCluster(t)
	for name, config := range map[string]string{
		"containerd": c.containerdConfig(Node{1}), "kubelet": c.kubeletConfig(Node{1}), "cni": c.cniConfig(Node{1}),
	} {
		for line := range strings.Lines(config) {
			for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \"\n{},[]", r) }) {
				inside := strings.HasPrefix(word, c.Layout.State) || strings.HasPrefix(word, "/scalableapp-cluster/") ||
					word == "/usr/lib/cni" || strings.Contains(word, "0.0.0.0/0")
				if strings.HasPrefix(word, "/") && !inside {
					t.Errorf("%s: %s lies outside %s", name, word, c.Layout.State)
				}
			}
		}
	}
}
