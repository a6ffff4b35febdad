package plan

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/state"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// When a pass is made for the next samples: a Job that runs tells of its end by itself, and must not have
// passes made one upon the other until then.
func TestWhenGatesAreAskedNext(t *testing.T) {
	app := testkit.App(t, testkit.Small+`
rollout: {strategy: Canary, gates: [{name: smoke, job: {command: [/smoke]}}, {name: web, http: {path: /}}]}`)
	target, err := revision.Of(app, nil)
	if err != nil {
		t.Fatal(err)
	}
	app.Status.Rollout = v1alpha1.RolloutStatus{
		Candidate: &v1alpha1.RevisionStatus{Revision: target.Name}, Plan: "Canary 0 10 100", Step: 1, Steps: 3, Attempt: 1,
		StepStartedTime: &metav1.Time{Time: testkit.Born.Time},
	}
	now := testkit.Born.Add(time.Minute)
	for name, c := range map[string]struct {
		samples map[string]state.Sample
		next    time.Duration
	}{
		"both were looked at": {map[string]state.Sample{"smoke": {Outcome: state.OutcomeNone}, "web": {Outcome: state.OutcomeGood}}, 10 * time.Second},
		"one was not asked":   {map[string]state.Sample{"smoke": {Outcome: state.OutcomeNone}}, -time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			b := builder{app: app, seen: &state.Observed{Now: now, Gates: c.samples}, target: target}
			if got := b.judged().Next.Sub(now); got != c.next {
				t.Errorf("next after %s, want %s", got, c.next)
			}
		})
	}
}
