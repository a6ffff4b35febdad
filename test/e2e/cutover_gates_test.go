package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// What is asked before traffic moves costs its users nothing: a bad version that an http gate finds out answers
// nobody, and a good one waits for a person, who can look at it meanwhile. Then the strategy is changed, at
// rest and in the middle.
func TestCutoverBeforeTraffic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := w.cutoverApp("shop", v1alpha1.RolloutBlueGreen, true)
	app.Spec.Rollout.Gates = append(app.Spec.Rollout.Gates, v1alpha1.GateSpec{
		Name: "front-page", PeriodSeconds: new(int32(1)), Samples: new(int32(2)), HTTP: &v1alpha1.HTTPGate{Path: "/"},
	})
	app.Spec.Rollout.BlueGreen = v1alpha1.BlueGreenSpec{PreviewReplicas: new(int32(1)), Approval: v1alpha1.ApprovalRequired}
	w.create(app)
	c := w.startCutover("shop", cutoverRate)
	time.Sleep(3 * time.Second) // a measurement, not a wait: what "before" is

	stable := c.stable()
	bad := c.begin("http gate fails before traffic", c.next(env("FAULT_ERROR_RATIO", "1")...))
	bad.back, bad.bad = true, c.candidate(bad.changed)
	bad.done = c.failedFor(bad.changed, bad.bad, v1alpha1.ReasonGateFailed)
	bad.decided, bad.cutover = bad.done, bad.done.Sub(bad.changed)
	bad.settled = c.settled(bad.done, stable)
	w.waitStalled("shop", v1alpha1.ReasonGateFailed, "front-page", stable)
	c.end(bad, stable)
	bad.bad = "" // not one answer of it is allowed

	good := c.begin("approved by hand", c.next())
	candidate := c.candidate(good.changed)
	c.await("shop", good.changed, "a person is asked", func(app *v1alpha1.ScalableApp) bool {
		return app.Status.Rollout.Stage == v1alpha1.StageAwaitingApproval
	})
	c.previewed(candidate, stable)
	good.decided = time.Now()
	c.say("shop", "promote")
	good.done = c.promoted(good.decided, candidate)
	good.settled, good.cutover = good.done, good.done.Sub(good.decided)
	c.end(good, candidate)
	c.strategyChanges()
	c.finish()
}

// previewed: requests that ask for the candidate get it while it has none of the traffic, and no others do.
func (c *cutover) previewed(candidate, stable string) {
	c.Helper()
	to := c.way("shop")
	ask := func(header string) (string, error) {
		request, err := to.request("/version")
		c.must(err)
		if header != "" {
			request.Header.Set(naming.PreviewHeader, header)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return "", err
		}
		defer func() { _ = answer.Body.Close() }()
		var who identity
		if err := json.NewDecoder(answer.Body).Decode(&who); err != nil {
			return "", fmt.Errorf("status %d: %w", answer.StatusCode, err)
		}
		return who.Revision, nil
	}
	c.eventually(30*time.Second, "a request with X-Canary: always reaches the candidate", func() error {
		if who, err := ask(naming.PreviewValue); err != nil || who != candidate {
			return fmt.Errorf("%s answered, %w", who, err)
		}
		return nil
	})
	for range 20 {
		for header, wanted := range map[string]string{naming.PreviewValue: candidate, "": stable, "never": stable} {
			if who, err := ask(header); err != nil || who != wanted {
				c.Errorf("with %s: %q %s answered (%v), want %s", naming.PreviewHeader, header, who, err, wanted)
			}
		}
	}
}

// strategyChanges: another strategy is no new revision, and takes over a rollout that is under way.
func (c *cutover) strategyChanges() {
	c.Helper()
	stable := c.stable()
	c.changeApp("shop", func(app *v1alpha1.ScalableApp) {
		app.Spec.Rollout.Strategy = v1alpha1.RolloutCanary
		app.Spec.Rollout.Canary.Steps = []v1alpha1.CanaryStep{{Weight: canaryWeight, Approval: v1alpha1.ApprovalRequired}}
		app.Spec.Rollout.BlueGreen = v1alpha1.BlueGreenSpec{}
	})
	if now := c.waitReady("shop").Status.Rollout; now.Stable.Revision != stable || now.Candidate != nil {
		c.Errorf("another strategy made another revision: %s %v", now.Stable.Revision, now.Candidate)
	}
	l := c.begin("Canary to BlueGreen midway", c.next())
	candidate := c.candidate(l.changed)
	c.await("shop", l.changed, "a person is asked", func(app *v1alpha1.ScalableApp) bool {
		return app.Status.Rollout.Stage == v1alpha1.StageAwaitingApproval && shareOf(app.Status.Rollout.Traffic, candidate) == canaryWeight
	})
	l.decided = time.Now()
	c.changeApp("shop", func(app *v1alpha1.ScalableApp) {
		app.Spec.Rollout.Strategy, app.Spec.Rollout.Canary = v1alpha1.RolloutBlueGreen, v1alpha1.CanarySpec{}
	})
	l.done = c.promoted(l.decided, candidate)
	l.settled, l.cutover = l.done, l.done.Sub(l.decided)
	c.end(l, candidate)
}

// A Gateway that does not exist is said, and costs nobody a request: the app's Service leads on to its pods.
func TestGatewayMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(w.cutoverApp("shop", v1alpha1.RolloutBlueGreen, false))
	c := w.startCutover("shop", 10)
	stable := c.stable()
	w.changeApp("shop", func(app *v1alpha1.ScalableApp) {
		w.throughGateway(app)
		app.Spec.Traffic.Gateway.ParentRefs[0].Name = "nowhere"
	})
	stalled := w.waitStalled("shop", v1alpha1.ReasonGatewayMissing, "gateway-system/nowhere")
	if err := isCondition(stalled, v1alpha1.ConditionTrafficReady, metav1.ConditionFalse, v1alpha1.ReasonGatewayMissing); err != nil {
		t.Error(err)
	}
	serves := meta.IsStatusConditionTrue(stalled.Status.Conditions, v1alpha1.ConditionAvailable)
	if !serves || stalled.Status.Rollout.Stable.Revision != stable {
		t.Errorf("the app does not serve as before:\n%s", describeApp(stalled))
	}
	staysQuiet(w)

	w.changeApp("shop", func(app *v1alpha1.ScalableApp) { app.Spec.Traffic.Gateway.ParentRefs[0].Name = "web" })
	healed := w.waitReady("shop")
	if err := isCondition(healed, v1alpha1.ConditionTrafficReady, metav1.ConditionTrue, ""); err != nil {
		t.Error(err)
	}
	w.waitOpen(w.way("shop"))
	result := c.shower.finish()
	if failed := result.Failed(); failed > 0 {
		t.Errorf("%d of %d requests failed:\n%s", failed, result.Sent(), strings.TrimSpace(result.Why(20)))
	}
}
