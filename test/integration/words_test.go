package integration

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rollout"
)

// approved is a canary in which a person has to agree at each step.
const approved = `
app: {image: "registry.example/shop:1", replicas: 2}
networkPolicy: Disabled
rollout: {strategy: Canary, canary: {steps: [{weight: 20, approval: Required}, {weight: 60, approval: Required}]}}
traffic: {gateway: {parentRefs: [{name: edge}]}}
`

// A person steers a canary: on, back, again, and to the end. Each word is carried out once.
func TestWords(t *testing.T) {
	t.Parallel()
	s := awaiting(t)
	first, next := s.rollout().Stable.Revision, s.rollout().Candidate.Revision
	s.at("it waits at the first step", v1alpha1.StageAwaitingApproval, 2, 20)

	s.word(rollout.VerbPromote, next, s.rollout().Attempt, 2)
	s.at("promoted", v1alpha1.StageAwaitingApproval, 3, 60)
	s.settle()
	s.at("the word is still there, and heard", v1alpha1.StageAwaitingApproval, 3, 60)

	s.word(rollout.VerbAbort, next, s.rollout().Attempt)
	s.at("aborted", v1alpha1.StageFailed, 3, 0)
	if f := s.rollout().Failure; f.Reason != v1alpha1.ReasonAborted || s.leadsTo() != first+" 100" {
		t.Errorf("it failed for %s, traffic goes to %s", f.Reason, s.leadsTo())
	}
	if got := s.replicas()[naming.ComponentApp]; got != 2 {
		t.Errorf("%d pods are left after the abort, want those of %s", got, first)
	}

	attempt := s.rollout().Attempt
	s.word(rollout.VerbRetry, next, attempt)
	s.at("tried again", v1alpha1.StageAwaitingApproval, 2, 20)
	if got := s.rollout().Attempt; got != attempt+1 {
		t.Errorf("the attempt is %d, and was %d", got, attempt)
	}

	s.word(rollout.VerbPromoteFull, next, s.rollout().Attempt)
	s.ready()
	if got := revisionOf(s.stack); got != next || s.leadsTo() != next+" 100" {
		t.Errorf("%s is stable, traffic goes to %s, want %s", got, s.leadsTo(), next)
	}
}

// A word that means another revision, another attempt or another step, or nothing at all, is taken down as
// handled and does nothing, not even later, when what it says would mean something.
func TestStaleWords(t *testing.T) {
	t.Parallel()
	s := awaiting(t)
	stable, next, attempt := s.rollout().Stable.Revision, s.rollout().Candidate.Revision, s.rollout().Attempt
	for _, word := range []string{
		fmt.Sprintf("promote:%s:%d:2", stable, attempt),
		fmt.Sprintf("promote:%s:%d:2", next, attempt-1),
		fmt.Sprintf("promote:%s:%d:1", next, attempt),
		fmt.Sprintf("promote:%s:%d:3", next, attempt),
		fmt.Sprintf("promote-full:%s:%d", stable, attempt),
		fmt.Sprintf("abort:%s:%d", stable, attempt),
		fmt.Sprintf("abort:%s:%d", next, attempt+1),
		fmt.Sprintf("retry:%s:%d", next, attempt),
		fmt.Sprintf("explode:%s:%d", next, attempt),
		"promote", ":::", "abort:" + next + ":many", "",
	} {
		s.say(word)
		s.at(fmt.Sprintf("told %q", word), v1alpha1.StageAwaitingApproval, 2, 20)
		if got := s.rollout().HandledAction; got != word {
			t.Errorf("told %q, handled is %q", word, got)
		}
	}
	// The word for the third step was heard at the second.
	early := fmt.Sprintf("promote:%s:%d:3", next, attempt)
	s.say(early)
	s.say(fmt.Sprintf("promote:%s:%d:2", next, attempt))
	s.at("promoted", v1alpha1.StageAwaitingApproval, 3, 60)

	// A word for the revision that was given up does not hit the one that came instead.
	s.image("registry.example/shop:3")
	s.settle()
	s.at("a new version begins anew", v1alpha1.StageAwaitingApproval, 2, 20)
	s.say(fmt.Sprintf("abort:%s:%d", next, attempt))
	s.at("told to abort the version before", v1alpha1.StageAwaitingApproval, 2, 20)
}

// told is a stack that is told words.
type told struct{ *stack }

// awaiting is a canary at its first step with traffic.
func awaiting(t *testing.T) told {
	s := told{newStack(t)}
	s.edge()
	newGuard(s.stack)
	s.deploy(approved)
	s.settle()
	s.image("registry.example/shop:2")
	s.settle()
	return s
}

func (s told) rollout() v1alpha1.RolloutStatus { return s.app().Status.Rollout }

func (s told) word(verb, revision string, attempt int32, step ...int32) {
	s.Helper()
	text := fmt.Sprintf("%s:%s:%d", verb, revision, attempt)
	for _, n := range step {
		text += fmt.Sprintf(":%d", n)
	}
	s.say(text)
}

// say sets the annotation and waits for what comes of it.
func (s told) say(text string) {
	s.Helper()
	s.change(func(app *v1alpha1.ScalableApp) {
		metav1.SetMetaDataAnnotation(&app.ObjectMeta, naming.AnnotationAction, text)
	})
	s.settle()
}

func (s told) at(when, stage string, step, weight int32) {
	s.Helper()
	r := s.rollout()
	if r.Stage != stage || r.Step != step || r.Weight == nil || *r.Weight != weight {
		s.Fatalf("%s: stage %s, step %d, want %s, %d and weight %d: %+v", when, r.Stage, r.Step, stage, step, weight, r)
	}
}

// leadsTo is where the route leads, without the rule for testers.
func (s told) leadsTo() string {
	s.Helper()
	routes := all[gatewayv1.HTTPRoute](s.seen)
	if len(routes) != 1 {
		s.Fatalf("there are %d routes", len(routes))
	}
	route := routes[0]
	refs := route.Spec.Rules[len(route.Spec.Rules)-1].BackendRefs
	if len(refs) != 1 {
		return fmt.Sprintf("%d revisions", len(refs))
	}
	return fmt.Sprintf("%s %d", refs[0].Name, *refs[0].Weight)
}
