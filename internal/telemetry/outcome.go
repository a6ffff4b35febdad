// Package telemetry counts what becomes of rollouts, for Prometheus. It reads nothing but the statuses that
// the controller stores.
package telemetry

import (
	"slices"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// Outcome is what became of a rollout.
type Outcome string

// The outcomes.
const (
	// Promoted: the candidate is the stable revision now.
	Promoted Outcome = "Promoted"
	// Aborted: a person gave it up.
	Aborted Outcome = "Aborted"
	// Failed: it was given up, or cannot go on, for any other reason.
	Failed Outcome = "Failed"
	// Superseded: another revision took its place as the candidate.
	Superseded Outcome = "Superseded"
	// Reverted: the spec, or an undo, went back to the stable revision.
	Reverted Outcome = "Reverted"
)

// Outcomes are all of them.
var Outcomes = []Outcome{Promoted, Aborted, Failed, Superseded, Reverted}

// Transition is what a change of a rollout's status tells.
type Transition struct {
	// Ended is what became of the rollout that was under way; empty if nothing did.
	Ended Outcome
	// Began says that a rollout begins: a new candidate, or a failed one that is tried again.
	Began bool
	// Stepped says that the rollout has come to another step.
	Stepped bool
	// Verdicts are the verdicts that gates have come to.
	Verdicts []Verdict
}

// Verdict is the verdict of a gate.
type Verdict struct{ Gate, Verdict string }

// Between is what the change from one status to the next tells. A rollout ends once: what failed has ended,
// and that another revision takes its place later is no end of it.
func Between(before, after v1alpha1.RolloutStatus) Transition {
	return Transition{
		Ended: ended(before, after), Began: began(before, after), Stepped: stepped(before, after), Verdicts: verdicts(before, after),
	}
}

func ended(before, after v1alpha1.RolloutStatus) Outcome {
	was, is := name(before.Candidate), name(after.Candidate)
	stable := name(after.Stable)
	promoted := stable != "" && stable != name(before.Stable) && (was == "" || stable == was)
	switch {
	case promoted: // also after it has failed its deadline, which a first rollout may
		return Promoted
	case is != "" && givenUp(after) && (!givenUp(before) || is != was):
		if after.Failure != nil && after.Failure.Reason == v1alpha1.ReasonAborted {
			return Aborted
		}
		return Failed
	case was == "" || was == is || givenUp(before):
		return ""
	case is == "":
		return Reverted
	default:
		return Superseded
	}
}

func began(before, after v1alpha1.RolloutStatus) bool {
	was, is := name(before.Candidate), name(after.Candidate)
	return is != "" && (is != was || givenUp(before) && !givenUp(after))
}

func stepped(before, after v1alpha1.RolloutStatus) bool {
	return after.Step > 0 && after.Candidate != nil && !sameStep(before, after)
}

func sameStep(before, after v1alpha1.RolloutStatus) bool {
	return before.Step == after.Step && before.Attempt == after.Attempt && name(before.Candidate) == name(after.Candidate)
}

// verdicts are those that were not there before. Pending is none.
func verdicts(before, after v1alpha1.RolloutStatus) []Verdict {
	var out []Verdict
	for _, gate := range after.Gates {
		known := sameStep(before, after) && slices.ContainsFunc(before.Gates, func(b v1alpha1.GateStatus) bool {
			return b.Name == gate.Name && b.Verdict == gate.Verdict
		})
		if gate.Verdict != "" && gate.Verdict != v1alpha1.VerdictPending && !known {
			out = append(out, Verdict{Gate: gate.Name, Verdict: gate.Verdict})
		}
	}
	return out
}

// givenUp says whether the candidate does not go on.
func givenUp(r v1alpha1.RolloutStatus) bool {
	return r.Candidate != nil && (r.Failure != nil || r.Stage == v1alpha1.StageFailed || r.Stage == v1alpha1.StageAborting)
}

func name(r *v1alpha1.RevisionStatus) string {
	if r == nil {
		return ""
	}
	return r.Revision
}
