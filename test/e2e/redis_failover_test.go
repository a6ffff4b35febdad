package e2e

import (
	"fmt"
	"os"
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
	measure := func(what string, planned bool, do func()) {
		t.Helper()
		began, before := time.Now(), load.lost()
		do()
		load.acknowledgedAfter(time.Now().Add(5 * time.Second)) // long enough for what comes late
		w.waitReady("shop")
		gap, lost := load.gap(began), load.lost()
		table = append(table, row(what, seconds(gap), lost))
		// A hand-over holds the writes until a replica has them all; a kill may lose what had not reached one.
		if planned && lost > before {
			t.Errorf("%s: %d sessions are lost by a planned change", what, lost-before)
		}
	}
	crash := func() {
		pod := &corev1.Pod{}
		w.must(w.read(w.redisMaster("shop"), pod))
		w.signal(pod, "redis", "redis-server", syscall.SIGKILL)
	}
	force := func() {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.redisMaster("shop")}}
		w.must(api.Delete(w.ctx, pod, client.GracePeriodSeconds(0)))
	}
	measure("the master's pod is deleted", true, func() {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.redisMaster("shop")}}
		w.must(api.Delete(w.ctx, pod))
	})
	measure("the master's server ends", false, crash)
	measure("the master's pod is force-deleted", false, force)
	measure("the memory changes: every member restarts", true, func() {
		w.changeApp("shop", func(app *v1alpha1.ScalableApp) { app.Spec.Sessions.Redis.Memory = new(resource.MustParse("80Mi")) })
		w.waitReady("shop")
		for _, pod := range w.podsOf(map[string]string{naming.LabelComponent: naming.ComponentSessions}) {
			if got := pod.Spec.Containers[0].Resources.Limits.Memory().String(); got != "80Mi" {
				t.Errorf("%s has %s", pod.Name, got)
			}
		}
	})
	w.withoutOperator(func() {
		began := time.Now()
		force()
		load.acknowledgedAfter(time.Now().Add(5 * time.Second))
		gap := load.gap(began)
		table = append(table, row("the master's pod is force-deleted, without an operator", seconds(gap), load.lost()))
	})
	w.waitReady("shop")
	measure("all members and Sentinels are lost at once", false, func() {
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
	printRedis(t.Name(), []string{row("one member becomes three", seconds(load.gap(began)), lost)})
	if lost > 0 {
		t.Errorf("%d sessions are lost", lost)
	}
}

func printRedis(test string, table []string) {
	fmt.Printf("\n%s\n\n| %s |\n|---|---:|---:|\n", test, row("what happens", "nobody can log in for", "logged out"))
	for _, line := range table {
		fmt.Printf("| %s |\n", line)
	}
}

// down-after 3000 beside Sentinel's default of 30000: what the setting is worth when a master is silent.
func TestBenchRedisDownAfter(t *testing.T) {
	if os.Getenv("E2E_BENCH") == "" {
		t.Skip("a measurement and no test")
	}
	w := newWorld(t)
	w.create(w.redisApp(3))
	w.waitReady("shop")
	load := w.startSessions("shop")
	defer load.end()
	var table []string
	for _, downAfter := range []string{"3000", "30000"} {
		for i := range 3 { // one after the other: they keep the rest of what they know
			w.inPod(fmt.Sprintf("shop-sessions-sentinel-%d", i), "sentinel", "bash", "-c",
				"sed -i '/^sentinel down-after/d; $a sentinel down-after-milliseconds shop-sessions "+downAfter+"' /run/redis/sentinel.conf; kill 1")
		}
		w.waitReady("shop")
		load.acknowledgedAfter(time.Now())
		began, master := time.Now(), w.redisMaster("shop")
		// It answers nobody, as one whose node is silent.
		w.inPod(master, "redis", "bash", "-c", "REDISCLI_AUTH=$SENTINEL_PASSWORD redis-cli --user sentinel client pause 60000 all")
		load.acknowledgedAfter(time.Now().Add(50 * time.Second))
		w.waitReady("shop")
		table = append(table, row("a silent master, down-after "+downAfter, seconds(load.gap(began)), load.lost()))
	}
	printRedis(t.Name(), table)
}
