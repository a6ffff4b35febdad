package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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
	{name: "container killed", hurt: func(f *failovers, primary *corev1.Pod) func() {
		f.signal(primary, components.DatabaseContainer, "", syscall.SIGKILL)
		return nil
	}},
	{name: "postmaster killed", hurt: func(f *failovers, primary *corev1.Pod) func() {
		f.signal(primary, components.DatabaseContainer, "/usr/lib/postgresql/17/bin/postgres -D", syscall.SIGKILL)
		return nil
	}},
	{name: "node drained", hurt: func(f *failovers, primary *corev1.Pod) func() {
		node := &corev1.Node{}
		f.must(api.Get(f.ctx, client.ObjectKey{Name: primary.Spec.NodeName}, node))
		f.cordon(node.Name, true)
		eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: primary.Name, Namespace: primary.Namespace}}
		f.must(pods.PolicyV1().Evictions(primary.Namespace).Evict(f.ctx, eviction))
		return func() { f.cordon(node.Name, false) }
	}},
	{name: "node silent", hurt: func(f *failovers, primary *corev1.Pod) func() {
		f.node("partition", primary.Spec.NodeName)
		return func() { f.node("heal", primary.Spec.NodeName) }
	}},
	{name: "node frozen 30 s", until: 30 * time.Second, hurt: func(f *failovers, primary *corev1.Pod) func() {
		kubelet := f.kubelet(primary.Spec.NodeName)
		f.must(syscall.Kill(kubelet, syscall.SIGSTOP))
		f.signal(primary, components.DatabaseContainer, "", syscall.SIGSTOP)
		return func() {
			f.signal(primary, components.DatabaseContainer, "", syscall.SIGCONT)
			f.must(syscall.Kill(kubelet, syscall.SIGCONT))
		}
	}},
}

// failovers is a database under writers.
type failovers struct {
	*world
	name string
}

func (f *failovers) cordon(node string, cordoned bool) {
	f.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, cordoned)
	f.must(api.Patch(f.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, client.RawPatch("application/merge-patch+json", patch)))
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

// database is an app with a database alone that is worth a look, and the way to it.
func (w *world) database(name string, instances int32, durability v1alpha1.Durability) *failovers {
	w.Helper()
	app := w.bare(name, 1)
	app.Spec.Database = postgres(instances)
	app.Spec.Database.Postgres.Durability = durability
	w.create(app)
	w.waitReady(name)
	return &failovers{world: w, name: name}
}

// primary is the pod of the primary, as Patroni's record says and as the operator does.
func (f *failovers) primary() *corev1.Pod {
	f.Helper()
	pod := &corev1.Pod{}
	f.must(f.read(f.app(f.name).Status.Database.Primary, pod))
	return pod
}

func (f *failovers) leader() string {
	f.Helper()
	record := &corev1.ConfigMap{}
	f.must(f.read(naming.DatabaseLeader(f.app(f.name)), record))
	return record.Annotations["leader"]
}

// outage hurts the primary once and measures how long nothing was written.
func (f *failovers) outage(fault fault, load *writers) time.Duration {
	f.Helper()
	before := f.primary()
	began := time.Now()
	mend := fault.hurt(f, before)
	mended := mend == nil
	defer func() {
		if !mended {
			mend()
		}
	}()
	f.eventually(90*time.Second, fault.name+": another member leads", func() error {
		if leader := f.leader(); leader == "" || leader == before.Name {
			return fmt.Errorf("the leader is %q", leader)
		}
		return nil
	})
	time.Sleep(fault.until - time.Since(began)) // the fault's own length
	if !mended {
		mend()
		mended = true
	}
	f.waitReady(f.name)
	f.onePrimary()
	return load.gap(began, time.Minute)
}

// onePrimary sees that just one pod carries the label that clients are led by.
func (f *failovers) onePrimary() {
	f.Helper()
	labels := naming.Selector(f.app(f.name), naming.ComponentDatabase)
	labels[naming.LabelRole] = "primary"
	f.eventually(time.Minute, "one pod is labelled as the primary", func() error {
		if found := f.podsOf(labels); len(found) != 1 || found[0].Name != f.leader() {
			return fmt.Errorf("%d pods are; the leader is %s", len(found), f.leader())
		}
		return nil
	})
}

// Whatever happens to the primary, another member takes over by itself, within seconds, and no acknowledged
// commit is lost.
func TestFailover(t *testing.T) {
	w := newWorld(t)
	f := w.database("shop", 2, v1alpha1.DurabilityPreferred)
	load := w.startWriters(w.databaseURI("shop"), 4)
	repeats := 1
	if os.Getenv("E2E_BENCH") != "" {
		repeats = 5
	}
	t.Logf("failover | fault | seconds without writes: median | worst | transactions that failed")
	for _, fault := range faults {
		var gaps []time.Duration
		failed := load.failed()
		for range repeats {
			gaps = append(gaps, f.outage(fault, load))
		}
		slices.Sort(gaps)
		t.Logf("failover | %s", row(fault.name, seconds(gaps[len(gaps)/2]), seconds(gaps[len(gaps)-1]), load.failed()-failed))
	}
	acknowledged, lost := load.finish()
	t.Logf("failover | %d commits were acknowledged, %d of them are lost", acknowledged, lost)
	if lost > 0 {
		t.Errorf("%d of %d acknowledged commits are lost", lost, acknowledged)
	}
}
