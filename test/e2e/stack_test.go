package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// The sample stack comes up, says so in every way that it should, and serves; a user stays logged in when
// the pod that served the login dies.
func TestStack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := w.sample()
	began := time.Now()
	w.create(app)
	if app.Status.ObservedGeneration != -1 {
		t.Errorf("at birth observedGeneration is %d, want -1: until the operator has looked, nothing may say Ready", app.Status.ObservedGeneration)
	}
	wait := exec.CommandContext(w.ctx, "kubectl", "wait", "--namespace", w.namespace,
		"--for=condition=Ready", "--timeout=240s", "scalableapp/"+app.Name)
	if out, err := wait.CombinedOutput(); err != nil {
		t.Fatalf("kubectl wait: %v\n%s", err, out)
	}
	t.Logf("Ready after %s", time.Since(began).Round(100*time.Millisecond))
	checkWholeStatus(w, w.waitReady(app.Name))
	checkFirstStatus(w, app.Name)
	checkEventsOfCreation(w, app)

	base := w.base(app.Name)
	checkShop(w, base)
	checkLoginOutlivesItsPod(w, base)
	w.waitReady(app.Name)
	checkMetrics(w, app.Name)
	checkRefusedParameter(w, app.Name)
}

func checkWholeStatus(w *world, app *v1alpha1.ScalableApp) {
	w.Helper()
	for _, kind := range []string{
		v1alpha1.ConditionReady, v1alpha1.ConditionAvailable, v1alpha1.ConditionDatabaseReady,
		v1alpha1.ConditionSessionsReady, v1alpha1.ConditionCacheReady, v1alpha1.ConditionTrafficReady,
	} {
		if err := isCondition(app, kind, metav1.ConditionTrue, v1alpha1.ReasonReady); err != nil {
			w.Error(err)
		}
	}
	if n := len(app.Status.Conditions); n != 6 {
		w.Errorf("there are %d conditions, want one for each component of the spec and no other:\n%s", n, describeApp(app))
	}
	status := app.Status
	if status.App.Replicas != 2 || status.App.ReadyReplicas != 2 || status.App.Ready != "2/2" || status.App.Selector == "" {
		w.Errorf("status.app is %+v", status.App)
	}
	if status.Rollout.Stage != v1alpha1.StageStable || status.Rollout.Stable == nil || status.Rollout.Candidate != nil ||
		status.Rollout.Stable.Image != image100 || status.Rollout.Stable.Number != 1 || *status.Rollout.Weight != 100 {
		w.Errorf("status.rollout is %+v, stable %+v", status.Rollout, status.Rollout.Stable)
	}
	if db := status.Database; db == nil || db.Primary == "" || db.Instances != 2 || db.ReadyInstances != 2 || len(db.Synchronous) != 1 {
		w.Errorf("status.database is %+v", db)
	}
	e := status.Endpoints
	if e.App == "" || e.DatabaseReadWrite == "" || e.DatabaseReadOnly == "" || e.Sessions == "" || e.Cache == "" {
		w.Errorf("status.endpoints is not complete: %+v", e)
	}
}

// checkFirstStatus: the history shows Reconciling first, and never Ready before everything was.
func checkFirstStatus(w *world, name string) {
	w.Helper()
	seen := map[string]bool{}
	for _, app := range w.history.since(name, time.Time{}) {
		for _, c := range app.Status.Conditions {
			if c.Type == v1alpha1.ConditionReconciling {
				seen["Reconciling"] = true
			}
		}
		seen[app.Status.Rollout.Stage] = true
	}
	for _, what := range []string{
		"Reconciling", v1alpha1.StageWaiting, v1alpha1.StageMigrating, v1alpha1.StageProgressing, v1alpha1.StageStable,
	} {
		if !seen[what] {
			w.Errorf("on the way the status never said %s; it said %v", what, seen)
		}
	}
}

// checkEventsOfCreation: one event per transition.
func checkEventsOfCreation(w *world, app *v1alpha1.ScalableApp) {
	w.Helper()
	w.eventually(time.Minute, "the events of the creation are there", func() error {
		list := &corev1.EventList{}
		w.must(api.List(w.ctx, list))
		count := map[string]int32{}
		for _, e := range list.Items {
			if e.InvolvedObject.UID == app.UID {
				count[e.Reason] += max(1, e.Count)
			}
		}
		for _, reason := range []string{"RolloutStarted", "MigrationStarted", "RolloutCompleted", "DatabaseReady", "Ready"} {
			if count[reason] != 1 {
				return fmt.Errorf("%d events %s, want 1; there are %v", count[reason], reason, count)
			}
		}
		return nil
	})
}

// checkShop buys something.
func checkShop(w *world, base string) {
	w.Helper()
	user, _ := w.login(base, "ada")
	w.post(user, "/cart", map[string]any{"item": "saw", "quantity": 2}, http.StatusOK, nil)
	var cart struct{ Items map[string]int }
	w.get(user, "/cart", &cart)
	if cart.Items["saw"] != 2 {
		w.Fatalf("the cart holds %v, want 2 saws", cart.Items)
	}
	var placed order
	w.post(user, "/orders", nil, http.StatusCreated, &placed)
	w.eventually(30*time.Second, "the order is on the replica", func() error {
		for _, o := range w.orders(user) {
			if o.ID == placed.ID && len(o.Lines) == 1 && o.Lines[0].ProductID == "saw" && o.Lines[0].Quantity == 2 {
				return nil
			}
		}
		return errors.New("it is not")
	})
	w.eventually(30*time.Second, "the catalogue comes from the cache", func() error { // which a slow Redis is spared for a second
		if hit := w.get(user, "/catalogue", nil).Get("X-Cache"); hit != "hit" {
			return fmt.Errorf("it is a %q", hit)
		}
		return nil
	})
}

func checkLoginOutlivesItsPod(w *world, base string) {
	w.Helper()
	user, served := w.login(base, "grace")
	w.post(user, "/cart", map[string]any{"item": "hammer", "quantity": 3}, http.StatusOK, nil)
	w.remove(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: served, Namespace: w.namespace}})
	var cart struct {
		User  string
		Items map[string]int
	}
	w.get(user, "/cart", &cart)
	if cart.User != "grace" || cart.Items["hammer"] != 3 {
		w.Errorf("after the death of %s the session is %+v, want grace with 3 hammers", served, cart)
	}
	if now := w.identify(user).Pod; now == served {
		w.Errorf("the deleted pod %s still answers", served)
	}
	if n := len(w.podsOf(map[string]string{naming.LabelComponent: naming.ComponentApp})); n == 0 {
		w.Error("no pod of the app carries its labels")
	}
}
