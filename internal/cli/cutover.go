package cli

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// rolloutNode is where the rollout under way stands: its step, traffic, gates, and what it waits for.
func rolloutNode(s sight) *node {
	r := s.app.Status.Rollout
	if r.Candidate == nil || (r.Steps == 0 && r.Failure == nil) {
		return nil // there is none, or it has not begun: the message says it all
	}
	n := &node{cells: []string{"rollout", rolloutWords(s.app), r.Stage}}
	if r.Message != "" && !strings.Contains(headline(s.app), r.Message) {
		n.cells[2] += ": " + r.Message
	}
	n.add(trafficNode(s.app))
	for _, gate := range r.Gates {
		n.add(gateNode(gate))
	}
	if left := pauseLeft(s); left > 0 {
		n.add(&node{cells: []string{"pause", remaining(left)}})
	}
	if left := until(r.DrainTime, s.seen.Now); left > 0 {
		n.add(&node{cells: []string{"drain", remaining(left), "pods that lost their traffic end what they have begun"}})
	}
	if f := r.Failure; f != nil {
		cells := []string{"failure", f.Reason, f.Message}
		if strings.Contains(headline(s.app)+r.Message, f.Message) {
			cells[2] = ""
		}
		if !f.Time.IsZero() {
			cells[1] += fmt.Sprintf(", %s ago", duration.HumanDuration(s.seen.Now.Sub(f.Time.Time)))
		}
		n.add(&node{cells: cells})
	}
	if text := wayOut(s.app); text != "" {
		n.add(&node{cells: []string{"waits for", "a person", text}})
	}
	return n
}

// rolloutWords are strategy, step and attempt.
func rolloutWords(app *v1alpha1.ScalableApp) string {
	r := app.Status.Rollout
	text := string(strategyOf(app.Spec.Rollout))
	if r.Steps > 0 {
		text += fmt.Sprintf(", step %d/%d", r.Step, r.Steps)
	}
	if r.Attempt > 1 {
		text += fmt.Sprintf(", attempt %d", r.Attempt)
	}
	return text
}

// trafficNode is the candidate's share of the traffic, as it is wanted and as it is.
func trafficNode(app *v1alpha1.ScalableApp) *node {
	r := app.Status.Rollout
	if r.Weight == nil {
		return nil
	}
	text := fmt.Sprintf("%d%%", *r.Weight)
	if r.ActualWeight != nil && *r.ActualWeight != *r.Weight {
		text = fmt.Sprintf("%d%% wanted, %d%% actual", *r.Weight, *r.ActualWeight)
	}
	state := trouble(app, v1alpha1.ConditionTrafficReady)
	switch {
	case state != "" || r.Traffic == nil:
	case r.Traffic.InForceTime == nil:
		state = "not in force yet"
	case r.Traffic.SettledTime == nil:
		state = "settling"
	}
	return &node{cells: []string{"traffic", text, state}}
}

// gateNode is a gate with its verdict, what was measured last, and how that came about.
func gateNode(gate v1alpha1.GateStatus) *node {
	verdict := gate.Verdict
	if verdict == "" {
		verdict = v1alpha1.VerdictPending
	}
	measured := gate.Value
	if gate.Limit != "" {
		measured = strings.TrimSpace(fmt.Sprintf("%s (limit %s)", gate.Value, gate.Limit))
	}
	var counts []string
	for _, each := range []struct {
		n    int32
		what string
	}{{gate.Successes, "good"}, {gate.Failures, "bad"}, {gate.Inconclusives, "without a word"}} {
		if each.n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", each.n, each.what))
		}
	}
	return &node{cells: []string{"gate " + gate.Name, verdict, joined(measured, strings.Join(counts, ", "), gate.Reason)}}
}

// pauseLeft is how long the step's weight is kept at least from now.
func pauseLeft(s sight) time.Duration {
	r, steps := s.app.Status.Rollout, knownSteps(s.app)
	if steps == nil || r.StepStartedTime == nil || failed(s.app) {
		return 0
	}
	return until(r.StepStartedTime, s.seen.Now.Add(-steps[r.Step-1].Pause))
}

func until(t *metav1.Time, now time.Time) time.Duration {
	if t == nil {
		return 0
	}
	return max(0, t.Sub(now))
}

func remaining(left time.Duration) string { return duration.HumanDuration(left) + " left" }

// countsDown says whether something that is shown changes with the time alone.
func countsDown(s sight) bool {
	r := s.app.Status.Rollout
	return pauseLeft(s) > 0 || until(r.DrainTime, s.seen.Now) > 0 || (r.Previous != nil && until(r.HoldTime, s.seen.Now) > 0)
}

// wayOut is what a person can do about a rollout that waits for one; empty if it does not.
func wayOut(app *v1alpha1.ScalableApp) string {
	command := func(verb string, flags ...string) string {
		return fmt.Sprintf("`%s`", strings.Join(append([]string{"kubectl scalableapp", verb, app.Name}, flags...), " "))
	}
	r := app.Status.Rollout
	switch {
	case r.Candidate == nil || isPaused(app):
		return ""
	case frozen(app):
		return command("abort", "--force") + " goes back all the same, " + command("promote", "--full") + " goes on, " + command("retry") +
			" asks again, a new version takes its place"
	case r.Stage == v1alpha1.StageAwaitingApproval:
		return command("promote") + " goes on, " + command("abort") + " goes back"
	case r.Stage == v1alpha1.StageInconclusive:
		return command("promote") + " goes on without an answer, " + command("abort") + " goes back"
	case r.Stage == v1alpha1.StageFailed && r.Failure != nil:
		return command("retry") + " tries it again, a new version takes its place"
	default:
		return ""
	}
}

// needsPerson says whether a rollout does not go on without a person, although it may not be stalled.
func needsPerson(app *v1alpha1.ScalableApp) bool { return wayOut(app) != "" }

// reasonOf is why Ready is not True, or the stage.
func reasonOf(app *v1alpha1.ScalableApp) string {
	r := app.Status.Rollout
	if f := r.Failure; f != nil && r.Stage == v1alpha1.StageFailed {
		return f.Reason
	}
	return r.Stage
}

// messageOf is what the rollout says, or else the app.
func messageOf(app *v1alpha1.ScalableApp) string {
	r := app.Status.Rollout
	if r.Message != "" {
		return r.Message
	}
	if r.Failure != nil && r.Failure.Message != "" {
		return r.Failure.Message
	}
	if ready := meta.FindStatusCondition(app.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return ready.Message
	}
	return ""
}
