package e2e

import (
	"fmt"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// The operator is killed in the middle of a rollout, without a chance to tidy up. The next one goes on
// where it stopped, and the app's users see nothing of it.
func TestOperatorRestart(t *testing.T) {
	w := newWorld(t)
	w.create(w.light("shop", 3))
	before := w.waitReady("shop").Status.Rollout.Stable.Revision
	tr := w.startTraffic("shop", w.rate()/2, false)
	began := time.Now()
	w.changeApp("shop", func(app *v1alpha1.ScalableApp) { app.Spec.App.Image = image110 })
	w.eventually(time.Minute, "the rollout is under way", func() error {
		if c := w.app("shop").Status.Rollout.Candidate; c == nil || c.Replicas == 0 {
			return errNotYet
		}
		return nil
	})
	operators, err := operatorPods(w.ctx)
	w.must(err)
	killed := map[string]bool{}
	for i := range operators {
		w.must(client.IgnoreNotFound(api.Delete(w.ctx, &operators[i], client.GracePeriodSeconds(0))))
		killed[operators[i].Name] = true
	}
	if r := w.app("shop").Status.Rollout; r.Candidate == nil {
		t.Errorf("the rollout was over before the operator died; this run shows nothing")
	}
	w.waitStable("shop", before)
	t.Logf("the rollout ended %s after it began, with the operator killed meanwhile", time.Since(began).Round(100*time.Millisecond))
	w.waitGone(before)
	tr.finish()
	for _, app := range w.history.since("shop", began) {
		if app.Status.App.ReadyReplicas < 3 {
			t.Errorf("only %s pods served", app.Status.App.Ready)
		}
	}
	w.eventually(time.Minute, "a new operator runs", func() error {
		operators, err := operatorPods(w.ctx)
		w.must(err)
		for _, pod := range operators {
			if !killed[pod.Name] && pod.Status.Phase == "Running" {
				return nil
			}
		}
		return fmt.Errorf("there are %d pods of it", len(operators))
	})
}
