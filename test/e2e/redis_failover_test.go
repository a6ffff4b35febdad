package e2e

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

func (w *world) redisApp(members int32) *v1alpha1.ScalableApp {
	app := w.light("shop", 1)
	memory := resource.MustParse("64Mi")
	app.Spec.Sessions.Redis = &v1alpha1.SessionRedisSpec{
		Members: members, Memory: &memory, Persistence: v1alpha1.PersistenceEnabled,
		Storage: v1alpha1.StorageSpec{Size: resource.MustParse("256Mi"), OnDelete: v1alpha1.StorageDelete},
	}
	return app
}

// The sessions live on when their master is deleted, ends, or is lost, also while the operator is away, and when
// their memory changes. The table says how long nobody could log in, and how many were logged out.
func TestRedisFailover(t *testing.T) {
	w := newWorld(t)
	w.create(w.redisApp(3))
	w.waitReady("shop")
	load := w.startSessions("shop")
	defer load.end()
	load.acknowledgedAfter(time.Now())

	var table []string
	var began time.Time // what is done may set it anew, if it prepares something first
	measure := func(what string, planned bool, do func(i int)) {
		t.Helper()
		var gaps []time.Duration
		before := load.lost()
		for i := range repeats() {
			began = time.Now()
			do(i)
			load.acknowledgedAfter(time.Now().Add(5 * time.Second)) // long enough for what comes late
			w.waitReady("shop")
			gaps = append(gaps, load.gap(began))
		}
		lost := load.lost() - before
		table = append(table, redisRow(what, gaps, lost))
		// A hand-over holds the writes until a replica has them all; a kill may lose what had not reached one.
		if planned && lost > 0 {
			t.Errorf("%s: %d sessions are lost by a planned change", what, lost)
		}
	}
	crash := func(int) {
		pod := &corev1.Pod{}
		w.must(w.read(w.redisMaster("shop"), pod))
		for restarts(pod) > 0 { // the kubelet waits longer with each restart: meet it fresh
			w.must(api.Delete(w.ctx, pod))
			w.eventually(time.Minute, "another one is master, or it is made anew", func() error {
				now := &corev1.Pod{}
				if err := w.read(w.redisMaster("shop"), now); err != nil || now.UID == pod.UID {
					return errors.Join(err, errNotYet)
				}
				return nil
			})
			w.waitReady("shop")
			pod = &corev1.Pod{}
			w.must(w.read(w.redisMaster("shop"), pod))
		}
		began = time.Now()
		w.signal(pod, "redis", "redis-server", syscall.SIGKILL)
	}
	force := func(int) {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.redisMaster("shop")}}
		w.must(api.Delete(w.ctx, pod, client.GracePeriodSeconds(0)))
	}
	measure("the master's pod is deleted", true, func(int) {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.redisMaster("shop")}}
		w.must(api.Delete(w.ctx, pod))
	})
	measure("the master's server ends", false, crash)
	measure("the master's pod is force-deleted", false, force)
	measure("the memory changes: every member restarts", true, func(i int) {
		memory := fmt.Sprintf("%dMi", 80+8*i)
		w.changeApp("shop", func(app *v1alpha1.ScalableApp) { app.Spec.Sessions.Redis.Memory = new(resource.MustParse(memory)) })
		w.waitReady("shop")
		for _, pod := range w.podsOf(map[string]string{naming.LabelComponent: naming.ComponentSessions}) {
			if got := pod.Spec.Containers[0].Resources.Limits.Memory().String(); got != memory {
				t.Errorf("%s has %s", pod.Name, got)
			}
		}
	})
	measure("the master's pod is force-deleted, without an operator", false, func(i int) {
		w.withoutOperator(func() {
			force(i)
			load.acknowledgedAfter(time.Now().Add(5 * time.Second))
		})
	})
	measure("all members and Sentinels are lost at once", false, func(int) {
		for _, component := range []string{naming.ComponentSessions, naming.ComponentSessionsSentinel} {
			for _, pod := range w.podsOf(map[string]string{naming.LabelComponent: component}) {
				w.must(client.IgnoreNotFound(api.Delete(w.ctx, &pod, client.GracePeriodSeconds(0))))
			}
		}
	})
	printRedis(t.Name(), table)
}

// withoutOperator does something while the operator is away.
func (w *world) withoutOperator(do func()) {
	w.Helper()
	scale := func(n int32) {
		operator := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: operatorName}}
		w.must(api.Patch(w.ctx, operator, client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n))))
		w.eventually(2*time.Minute, fmt.Sprintf("%d operators", n), func() error {
			pods, err := operatorPods(w.ctx)
			w.must(err)
			if len(pods) != int(n) || n > 0 && !isPodReady(&pods[0]) {
				return fmt.Errorf("there are %d", len(pods))
			}
			return nil
		})
	}
	scale(0)
	defer scale(1)
	do()
}

// One member becomes three, and all sessions are kept.
func TestRedisGrows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(w.redisApp(1))
	w.waitReady("shop")
	load := w.startSessions("shop")
	defer load.end()
	load.acknowledgedAfter(time.Now())
	began := time.Now()
	w.changeApp("shop", func(app *v1alpha1.ScalableApp) { app.Spec.Sessions.Redis.Members = 3 })
	w.waitReady("shop")
	if s := w.app("shop").Status.Sessions; s == nil || s.Members != 3 || s.ReadyMembers != 3 || s.Sentinels != 3 || s.Master == "" {
		t.Errorf("status.sessions is %+v", s)
	}
	load.acknowledgedAfter(time.Now())
	lost := load.lost()
	printRedis(t.Name(), []string{redisRow("one member becomes three", []time.Duration{load.gap(began)}, lost)})
	if lost > 0 {
		t.Errorf("%d sessions are lost", lost)
	}
}

func redisRow(what string, gaps []time.Duration, lost int) string {
	slices.Sort(gaps)
	return row(what, len(gaps), seconds(gaps[len(gaps)/2]), seconds(gaps[len(gaps)-1]), lost)
}

func printRedis(test string, table []string) {
	fmt.Printf("\n%s\n\n| %s |\n|---|---:|---:|---:|---:|\n", test, row("what happens", "times", "nobody can log in for: median", "worst", "logged out"))
	for _, line := range table {
		fmt.Printf("| %s |\n", line)
	}
}

// down-after 3000 beside Sentinel's default of 30000: what the setting is worth when a master is silent.
func TestBenchRedisDownAfter(t *testing.T) {
	if os.Getenv("E2E_BENCH") == "" {
		t.Skip("a bench: make bench-failover")
	}
	w := newWorld(t)
	w.create(w.redisApp(3))
	w.waitReady("shop")
	load := w.startSessions("shop")
	defer load.end()
	var table []string
	for _, c := range []struct {
		downAfter string
		silent    time.Duration
	}{{"3000", 15 * time.Second}, {"30000", 50 * time.Second}} {
		for i := range 3 { // one after the other: they keep the rest of what they know
			w.inPod(fmt.Sprintf("shop-sessions-sentinel-%d", i), "sentinel", "bash", "-c",
				"sed -i '/^sentinel down-after/d; $a sentinel down-after-milliseconds shop-sessions "+c.downAfter+"' /run/redis/sentinel.conf; kill 1")
		}
		w.waitReady("shop")
		var gaps []time.Duration
		before := load.lost()
		for range repeats() {
			load.acknowledgedAfter(time.Now())
			began, master := time.Now(), w.redisMaster("shop")
			// It answers nobody, as one whose node is silent.
			w.inPod(master, "redis", "bash", "-c",
				fmt.Sprintf("REDISCLI_AUTH=$SENTINEL_PASSWORD redis-cli --user sentinel client pause %d all", c.silent.Milliseconds()))
			load.acknowledgedAfter(began.Add(c.silent))
			w.waitReady("shop")
			gaps = append(gaps, load.gap(began))
		}
		table = append(table, redisRow("a silent master, down-after "+c.downAfter, gaps, load.lost()-before))
	}
	printRedis(t.Name(), table)
}
