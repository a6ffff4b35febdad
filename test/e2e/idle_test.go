package e2e

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// An operator whose apps are as they shall be asks nothing of the API server and writes nothing: it only
// listens, and renews its lease. Its requests are counted where they arrive, in the audit log.
func TestIdle(t *testing.T) {
	w := newWorld(t)
	othersAreGone(w)
	log := openAudit(t)
	w.create(w.sample())
	w.waitReady("shop")
	idle := setting(t, "E2E_IDLE", 40*time.Second)
	var bad []request
	var written bool
	// A server of the data tier that answers late on a busy machine is told in the status, rightly: a second or a
	// third look decides. What is written regularly is seen in each.
	for try := 0; try == 0 || (len(bad) > 0 || written) && try < 3; try++ {
		settle(w, log)
		stored := w.app("shop").ResourceVersion
		time.Sleep(idle) // the measurement
		requests := log.more(t)
		bad, written = costly(requests), w.app("shop").ResourceVersion != stored
		t.Logf("the operator's requests in %s with 1 stack: %d, of which %d beyond watches and its lease\n%s", idle, len(requests), len(bad), tally(requests))
		if len(requests) == 0 {
			t.Error("not even the lease was renewed: does the audit log speak of this operator?")
		}
	}
	for _, r := range bad {
		t.Errorf("%s %s %s/%s: %s: %d", r.Received.Format(time.TimeOnly), r, r.Object.Namespace, r.Object.Name, r.RequestURI, r.Answer.Code)
	}
	if written {
		t.Errorf("the app was written to meanwhile:\n%s", describeApp(w.app("shop")))
	}
}

// othersAreGone waits until the worlds of other tests and their apps are gone; an app that is not as it shall be
// keeps the operator busy, rightly.
func othersAreGone(w *world) {
	w.Helper()
	w.eventually(5*time.Minute, "the apps of other tests are gone", func() error {
		list := &corev1.NamespaceList{}
		w.must(api.List(w.ctx, list, client.MatchingLabels{labelWorld: "true"}))
		for _, namespace := range list.Items {
			if namespace.Name != w.namespace && namespace.DeletionTimestamp != nil {
				return fmt.Errorf("%s is there", namespace.Name)
			}
		}
		return nil
	})
	apps := &v1alpha1.ScalableAppList{}
	w.must(api.List(w.ctx, apps))
	for i := range apps.Items {
		if app := &apps.Items[i]; !meta.IsStatusConditionTrue(app.Status.Conditions, v1alpha1.ConditionReady) {
			w.Logf("%s/%s is not Ready and may keep the operator busy", app.Namespace, app.Name)
		}
	}
}

// settle waits until the last echoes of the creation are over: 10 s without a request that counts.
func settle(w *world, log *auditLog) {
	w.Helper()
	var last time.Time
	w.eventually(2*time.Minute, "the operator has come to rest", func() error {
		now := time.Now()
		requests := costly(log.more(w.T))
		if len(requests) > 0 || last.IsZero() {
			last = now
		}
		if now.Sub(last) < 10*time.Second {
			return fmt.Errorf("its last requests:\n%s", tally(requests))
		}
		return nil
	})
}
