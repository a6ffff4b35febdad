package e2e

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// A version that cannot work does no harm: the old one serves on without a failed request, the app says
// at the deadline why the new one does not come, in the words of its pods, and taking it back heals.
func TestBadVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := w.light("shop", 2)
	app.Spec.Rollout.ProgressDeadlineSeconds = new(int32(30)) // a busy node takes long to find that it cannot pull
	w.create(app)
	good := w.waitReady("shop").Status.Rollout.Stable.Revision
	base := w.base("shop")
	user, _ := w.login(base, "ada")
	tr := w.startTraffic("shop", 10, false)
	for _, bad := range []struct {
		what, reason string
		parts        []string
		edit         func(*v1alpha1.AppSpec)
	}{
		{"an image that cannot be pulled", v1alpha1.ReasonImagePullFailed, []string{imageNone, good},
			func(app *v1alpha1.AppSpec) { app.Image = imageNone }},
		{"a program that ends at once", v1alpha1.ReasonCrashLoop, []string{"exit code", good},
			func(app *v1alpha1.AppSpec) { app.Env = env("FAULT_CRASH", "true") }},
		{"a program that is never ready", v1alpha1.ReasonNeverReady, []string{"readiness", good},
			func(app *v1alpha1.AppSpec) { app.Env = env("FAULT_NEVER_READY", "true") }},
	} {
		began := time.Now()
		w.changeApp("shop", func(app *v1alpha1.ScalableApp) { bad.edit(&app.Spec.App) })
		stalled := w.waitStalled("shop", bad.reason, bad.parts...)
		t.Logf("%s: after %s: %s", bad.what, time.Since(began).Round(time.Second), readyMessage(stalled))
		checkOldSetServes(w, stalled, good)
		staysQuiet(w)

		bad := stalled.Status.Rollout.Candidate.Revision
		w.waitGone(bad) // given up: its pods keep nothing busy
		w.changeApp("shop", func(now *v1alpha1.ScalableApp) {
			now.Spec.App.Image, now.Spec.App.Env = app.Spec.App.Image, nil
		})
		healed := w.waitReady("shop")
		if meta.FindStatusCondition(healed.Status.Conditions, v1alpha1.ConditionStalled) != nil ||
			healed.Status.Rollout.Stage != v1alpha1.StageStable || healed.Status.Rollout.Stable.Revision != good {
			t.Errorf("taken back, but:\n%s", describeApp(healed))
		}
		w.waitGone(bad)
	}
	w.get(user, "/cart", nil)
	tr.finish()
}

// staysQuiet: a stalled app does not make the operator write its status again and again. Once is allowed:
// another crash may have other last words.
func staysQuiet(w *world) {
	w.Helper()
	said := func(app *v1alpha1.ScalableApp) string {
		text, err := json.Marshal([]any{app.Status.Conditions, app.Status.Rollout})
		w.must(err)
		return string(text)
	}
	stored, writes := said(w.app("shop")), 0
	w.stays(4*time.Second, "the status of a stalled app is quiet", func() error {
		if now := w.app("shop"); said(now) != stored {
			stored = said(now)
			if writes++; writes > 1 {
				return fmt.Errorf("written %d times, now: %s", writes, readyMessage(now))
			}
		}
		return nil
	})
}

func readyMessage(app *v1alpha1.ScalableApp) string {
	if c := meta.FindStatusCondition(app.Status.Conditions, v1alpha1.ConditionReady); c != nil {
		return c.Reason + ": " + c.Message
	}
	return "no condition Ready"
}

func checkOldSetServes(w *world, app *v1alpha1.ScalableApp, good string) {
	w.Helper()
	if err := isCondition(app, v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonReady); err != nil {
		w.Error(err)
	}
	r := app.Status.Rollout
	if r.Stage != v1alpha1.StageFailed || r.Stable == nil || r.Stable.Revision != good || r.Stable.AvailableReplicas != 2 {
		w.Errorf("the old set does not serve on:\n%s", describeApp(app))
	}
	if f := r.Failure; f == nil || f.Reason == "" || f.Message == "" || f.Time.IsZero() {
		w.Errorf("the status does not keep why the candidate was given up: %+v", f)
	}
	if app.Status.App.ReadyReplicas != 2 {
		w.Errorf("%d pods serve, want 2", app.Status.App.ReadyReplicas)
	}
	reason := meta.FindStatusCondition(app.Status.Conditions, v1alpha1.ConditionStalled).Reason
	w.eventually(30*time.Second, "an event says "+reason, func() error { // events come after the status
		events := &corev1.EventList{}
		if err := api.List(w.ctx, events); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.InvolvedObject.UID == app.UID && e.Reason == reason && e.Type == corev1.EventTypeWarning {
				return nil
			}
		}
		return fmt.Errorf("no event says %s", reason)
	})
}
