package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// fault is one way to lose the primary of a database.
type fault struct {
	name string
	// hurt begins it and returns what ends it, if it has to be ended.
	hurt func(f *failovers, primary *corev1.Pod) (mend func())
	// node says that the whole node of the primary is hurt.
	node bool
	// fresh says that the kubelet must not have restarted the primary's containers before: it waits longer each time.
	fresh bool
	// inPlace says that the same member may lead again without a new life: its container goes on.
	inPlace bool
	// until, when set, is how long it lasts; otherwise it is mended as soon as another member leads.
	until time.Duration
}

var faults = []fault{
	{name: "planned switchover", hurt: func(f *failovers, primary *corev1.Pod) func() {
		f.changeApp(f.name, func(app *v1alpha1.ScalableApp) {
			annotate(app, naming.AnnotationDatabaseAction, "switchover:"+primary.Name+"::"+strconv.FormatInt(time.Now().UnixNano(), 36))
		})
		return nil
	}},
	{name: "pod deleted", hurt: func(f *failovers, primary *corev1.Pod) func() {
		f.must(api.Delete(f.ctx, primary))
		return nil
	}},
	{name: "pod force-deleted", hurt: func(f *failovers, primary *corev1.Pod) func() {
		f.must(api.Delete(f.ctx, primary, client.GracePeriodSeconds(0)))
		return nil
	}},
	{name: "container killed", fresh: true, hurt: func(f *failovers, primary *corev1.Pod) func() {
		f.signal(primary, components.DatabaseContainer, "", syscall.SIGKILL)
		return nil
	}},
	{name: "postmaster killed", inPlace: true, hurt: func(f *failovers, primary *corev1.Pod) func() {
		f.signal(primary, components.DatabaseContainer, "/usr/lib/postgresql/17/bin/postgres -D", syscall.SIGKILL)
		return nil
	}},
	{name: "container killed, operator down", fresh: true, hurt: func(f *failovers, primary *corev1.Pod) func() {
		f.operators(0)
		f.signal(primary, components.DatabaseContainer, "", syscall.SIGKILL)
		return func() { f.operators(1) }
	}},
	{name: "node drained", hurt: func(f *failovers, primary *corev1.Pod) func() {
		node := &corev1.Node{}
		f.must(api.Get(f.ctx, client.ObjectKey{Name: primary.Spec.NodeName}, node))
		f.cordon(node.Name, true)
		eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: primary.Name, Namespace: primary.Namespace}}
		f.eventually(time.Minute, "it may be evicted", func() error { // the disruption budget counts with a delay
			return pods.PolicyV1().Evictions(primary.Namespace).Evict(f.ctx, eviction)
		})
		return func() { f.cordon(node.Name, false) }
	}},
	{name: "node silent", node: true, hurt: func(f *failovers, primary *corev1.Pod) func() {
		f.node("partition", primary.Spec.NodeName)
		return func() { f.node("heal", primary.Spec.NodeName) }
	}},
	{name: "node frozen 30 s", node: true, until: 30 * time.Second, hurt: func(f *failovers, primary *corev1.Pod) func() {
		kubelet := f.kubelet(primary.Spec.NodeName)
		f.must(syscall.Kill(kubelet, syscall.SIGSTOP))
		f.signal(primary, components.DatabaseContainer, "", syscall.SIGSTOP)
		return func() {
			f.signal(primary, components.DatabaseContainer, "", syscall.SIGCONT)
			f.must(syscall.Kill(kubelet, syscall.SIGCONT))
		}
	}},
}

// cordon keeps new pods from a node, or no longer. However the test ends, the node is open afterwards.
func (f *failovers) cordon(node string, cordoned bool) {
	f.Helper()
	set := func(ctx context.Context, cordoned bool) error {
		patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, cordoned)
		return api.Patch(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, client.RawPatch("application/merge-patch+json", patch))
	}
	if cordoned {
		f.Cleanup(func() {
			if err := set(context.Background(), false); err != nil {
				f.Error(err)
			}
		})
	}
	f.must(set(f.ctx, cordoned))
}

// operators sets how many operators there are, and waits for it.
func (f *failovers) operators(n int32) {
	f.Helper()
	operator := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: operatorName, Namespace: operatorNamespace}}
	f.must(api.Patch(f.ctx, operator, client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n))))
	f.eventually(2*time.Minute, fmt.Sprintf("there are %d operators", n), func() error {
		there, err := operatorPods(f.ctx)
		ready := 0
		for i := range there {
			if isPodReady(&there[i]) {
				ready++
			}
		}
		if err != nil || len(there) != int(n) || ready != int(n) {
			return fmt.Errorf("there are %d, of which %d are ready; %w", len(there), ready, errors.Join(err, errNotYet))
		}
		return nil
	})
}

// node hurts or mends a node by the local cluster's own command.
func (f *failovers) node(verb, name string) {
	f.Helper()
	out, err := exec.Command("go", "-C", "../cluster", "run", ".", verb, name).CombinedOutput()
	if err != nil {
		f.Fatalf("%s %s: %v\n%s", verb, name, err, out)
	}
}

// kubelet is the process of a node's kubelet.
func (f *failovers) kubelet(node string) int {
	f.Helper()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	f.must(err)
	for _, file := range commands {
		raw, _ := os.ReadFile(file)
		words := strings.Split(string(raw), "\x00")
		if filepath.Base(words[0]) == "kubelet" && slices.ContainsFunc(words, func(w string) bool { return strings.HasSuffix(w, "="+node) }) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			f.must(err)
			return pid
		}
	}
	f.Fatalf("the kubelet of %s was not found", node)
	return 0
}
