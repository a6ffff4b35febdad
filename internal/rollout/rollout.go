// Package rollout decides how a revision of the app takes over from another: how many pods each
// revision shall have, where traffic is led, where the rollout stands, and why.
//
// All strategies are one machine. A course (course.go) is a list of steps; in each, first the candidate
// gets the pods that it needs, then its share of the traffic, then the step's gates, pause and approval are
// waited for. Where traffic is led (traffic.go) and how many pods there are (capacity.go) follow from
// the status that was decided, alike for a rollout, an abort, growth and an undo.
//
// Next is a pure function. What it decides is a function of what is stored (status, and the sizes of
// the revisions' Deployments), so a pass that is cut short is simply decided again.
package rollout

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// drain is how long a set of pods that lost its traffic is kept, for requests that are under way.
const drain = 30 * time.Second

// reopenLimit is how often a candidate may lose pods that it had at one step.
const reopenLimit = 3

// Next decides what to do next. The tries are made in order; the first that applies is taken. Traffic and
// sizes follow from the status that it decides.
func Next(in Input) Decision {
	in = begun(heard(in))
	decision := decide(in)
	lead(in, &decision)
	decision.Sizes = sizes(in, &decision)
	return decision
}

func decide(in Input) Decision {
	for _, try := range []func(Input) *Decision{
		tryWord,    // a person said what to do
		trySteady,  // the target is the stable revision: keep its size, let the others go
		tryBack,    // the target failed: the traffic goes back, then its pods go
		tryBlocked, // something the target needs is not there, and it has no pod yet
		tryMigrate, // its migration comes before its first pod
		tryHeld,    // the data tier is away: nothing is moved
		tryPods,    // the step's pods
		tryTraffic, // the step's traffic
		tryOpen,    // all that the step asks for is there: its questions are asked from now on
		tryGates,   // its gates
		tryPause,   // its time
		tryApprove, // its approval
	} {
		if decision := try(in); decision != nil {
			return *decision
		}
	}
	return advance(in) // the next step, or the end
}

// Paused is the decision while nothing may be changed: the rollout stands where it stood.
func Paused(in Input) Decision {
	status := in.Status
	if status.Stage == v1alpha1.StageStable && nameOf(status.Stable) == in.Target.Revision {
		return Decision{Status: status, Reason: v1alpha1.ReasonReady}
	}
	status.Stage = v1alpha1.StagePaused
	status.Message = fmt.Sprintf("spec.paused is true: nothing is changed; %s is to serve when it is false", in.Target.Revision)
	return Decision{Status: status, Reason: v1alpha1.ReasonPaused}
}

// begun is the input with a status in which the target, unless it is stable, is the candidate, at a
// step of its course.
func begun(in Input) Input {
	status := &in.Status
	status.Stable = refreshed(in, status.Stable)
	if nameOf(status.Stable) == in.Target.Revision {
		return in
	}
	if nameOf(status.Candidate) != in.Target.Revision {
		in.Status = v1alpha1.RolloutStatus{
			Stage: v1alpha1.StageWaiting, Stable: status.Stable, Traffic: status.Traffic, DrainTime: status.DrainTime,
			HandledAction: status.HandledAction, Attempt: status.Attempt + 1, ProgressTime: in.seconds(), Demand: status.Demand,
		}
	}
	status.Candidate = described(in.Target, status.Candidate)
	if in.Desired > status.Demand && status.Demand > 0 {
		status.ProgressTime = in.seconds() // the deadline does not count growth
	}
	ended := status.Stage == v1alpha1.StageFailed && in.Target.Replicas == 0
	if status.Demand = max(status.Demand, in.Desired); in.Desired == 0 || ended {
		status.Demand = in.Desired
	}
	in.Desired = status.Demand // what is wanted does not shrink while a revision takes over
	if waited := status.Stage == v1alpha1.StagePaused || status.Stage == v1alpha1.StageHeld; waited && in.Interlock == "" {
		status.ProgressTime = in.seconds() // nor does it count waiting
	}
	if in = stepped(in); in.Status.StepStartedTime != nil && in.Status.Failure == nil && in.Interlock == "" {
		in.Status.Gates = in.Gates.Statuses // the samples of a time in which the data tier was away do not count
	}
	return in
}

// stepped puts the candidate at a step of the course. When the steps are others than those that were
// begun, that is the last step which does not lower the candidate's share of the traffic.
func stepped(in Input) Input {
	in.Course.Steps = in.Course.stepsFor(in.Status, in.Desired)
	plan := in.Course.plan(in.Course.Steps)
	if plan == in.Status.Plan {
		return in
	}
	step := int32(1)
	for i, s := range in.Course.Steps {
		if s.Weight <= weightOf(in.Status.Traffic, in.Target.Revision) {
			step = int32(i + 1)
		}
	}
	if in.Status.Plan != "" {
		in.Status.Attempt++
	}
	in.Status.Plan, in.Status.Steps = plan, int32(len(in.Course.Steps))
	return at(in, step)
}

// at is the input with the candidate at the beginning of a step.
func at(in Input, step int32) Input {
	in.Status.Step, in.Status.StepStartedTime, in.Status.Gates, in.Status.Reopened = step, nil, nil, 0
	in.Status.ProgressTime = in.seconds()
	if in.Status.Candidate != nil {
		in.Status.Candidate.PeakReplicas = in.Target.Available
	}
	return in
}

// step is the step that the candidate is at.
func (in *Input) step() Step {
	return in.Course.Steps[min(max(in.Status.Step, 1), int32(len(in.Course.Steps)))-1]
}

// refreshed is a revision with the numbers of pods that were seen.
func refreshed(in Input, r *v1alpha1.RevisionStatus) *v1alpha1.RevisionStatus {
	if r == nil {
		return nil
	}
	for _, set := range in.all() {
		if set.Revision == r.Revision {
			return described(set, nil)
		}
	}
	return r
}

// described is the status of a set; the peak of the same set is kept.
func described(set Set, before *v1alpha1.RevisionStatus) *v1alpha1.RevisionStatus {
	out := &v1alpha1.RevisionStatus{
		Revision: set.Revision, Number: set.Number, Image: set.Image,
		Replicas: set.Pods, AvailableReplicas: set.Available,
	}
	if nameOf(before) == set.Revision {
		out.PeakReplicas = before.PeakReplicas
	}
	return out
}

// progressing is a decision to go on, or to wait for something that passes by itself.
func progressing(in Input, reason, format string, args ...any) Decision {
	in.Status.Stage = v1alpha1.StageProgressing
	in.Status.Message = fmt.Sprintf(format, args...)
	return Decision{Status: in.Status, Reason: reason}
}

// untilDeadline is a decision to wait for progress; at the deadline the candidate has failed.
func untilDeadline(in Input, d Decision, reason string) Decision {
	deadline := in.Status.ProgressTime.Add(in.Deadline)
	if in.Now.Before(deadline) {
		d.wakeAt(in.Now, deadline)
		return d
	}
	in.Status.Message = fmt.Sprintf("no progress for %s: %s", in.Deadline, d.Status.Message)
	failed := fail(in, reason, in.Status.Message)
	failed.Migrate = d.Migrate && in.Status.Stable == nil
	failed.podless = d.podless
	return failed
}

// fail gives the candidate up. A candidate that has nothing before it is not given up: it goes on when
// what it lacks is there.
func fail(in Input, reason, message string) Decision {
	if in.Status.Stable == nil {
		in.Status.Stage, in.Status.Message = v1alpha1.StageFailed, message
		return Decision{Status: in.Status, Reason: reason, Stalled: true}
	}
	in.Status.Failure = &v1alpha1.FailureStatus{Reason: reason, Message: message, Time: *in.seconds()}
	return *tryBack(in)
}

// advance goes to the next step, or to the end.
func advance(in Input) Decision {
	if in.Status.Step < int32(len(in.Course.Steps)) {
		in = at(in, in.Status.Step+1)
		next := in.step()
		d := progressing(in, v1alpha1.ReasonRollingOut, "%s goes on to step %d of %d (%d%% of the traffic)",
			in.Target.Revision, in.Status.Step, len(in.Course.Steps), next.Weight)
		if next.Roll {
			d.Status.Message = fmt.Sprintf("pods of %s replace the others", in.Target.Revision)
		}
		d.Wake = again
		return d
	}
	return promoted(in)
}

// promoted makes the candidate the stable revision.
func promoted(in Input) Decision {
	before := in.Status.Stable
	in.Status.Stable = described(in.Target, nil)
	if !in.Course.rolling() {
		in.Status.DrainTime = new(metav1.NewTime(in.seconds().Add(drain)))
		if before != nil && in.Hold > 0 && in.set(before.Revision).Replicas > 0 {
			in.Status.Previous = before
			in.Status.HoldTime = new(metav1.NewTime(in.seconds().Add(max(in.Hold, drain))))
		}
	}
	in.Status.Candidate = nil
	return *trySteady(in)
}

// trySteady applies while the target is the revision that is rolled out, or is gone back to.
func trySteady(in Input) *Decision {
	before := in.Status
	if nameOf(before.Stable) != in.Target.Revision {
		return nil
	}
	status := v1alpha1.RolloutStatus{
		Stage: v1alpha1.StageStable, Stable: described(in.Target, nil), Previous: refreshed(in, before.Previous),
		Traffic: before.Traffic, Attempt: before.Attempt, HandledAction: before.HandledAction,
		DrainTime: before.DrainTime, HoldTime: before.HoldTime,
	}
	d := &Decision{Reason: v1alpha1.ReasonReady}
	if t := status.DrainTime; t != nil && !in.Now.Before(t.Time) {
		status.DrainTime = nil
	}
	switch t := status.HoldTime; {
	case status.Previous == nil || t == nil || !in.Now.Before(t.Time) || in.set(status.Previous.Revision).Replicas == 0:
		status.Previous, status.HoldTime = nil, nil
	default:
		d.wakeAt(in.Now, t.Time)
	}
	if left := leaving(in, status); left != "" {
		status.Stage = v1alpha1.StageProgressing
		status.Message = fmt.Sprintf("%s serves; %s goes as its pods are no longer needed", in.Target.Revision, left)
		d.Reason = v1alpha1.ReasonRollingOut
		// Since when traffic is on its way back: at the deadline it goes without waiting for more pods.
		if status.ProgressTime = before.ProgressTime; before.Candidate != nil || status.ProgressTime == nil {
			status.ProgressTime = in.seconds()
		}
	}
	d.Status = status
	return d
}

// leaving is the name of a revision other than the stable one that still has a part in the traffic.
func leaving(in Input, status v1alpha1.RolloutStatus) string {
	for _, set := range in.Others {
		if set.Replicas > 0 && set.Revision != nameOf(status.Previous) && carries(status.Traffic, set.Revision) {
			return set.Revision
		}
	}
	return ""
}

// tryBack applies to a candidate that has failed: traffic goes back to the stable revision, pods go when
// they have none any more.
func tryBack(in Input) *Decision {
	failure := in.Status.Failure
	if failure == nil {
		return nil
	}
	in.Status.StepStartedTime = nil
	d := &Decision{Reason: failure.Reason, podless: !in.Target.Exists}
	switch {
	case in.Status.Stable == nil:
		d.Stalled = true
		in.Status.Stage = v1alpha1.StageFailed
		in.Status.Message = failure.Message + ". There is no revision before it: set another image or `kubectl scalableapp retry`"
	case frozen(in):
		d.Reason, d.Stalled = v1alpha1.ReasonRollbackUnsafe, true
		in.Status.Stage = v1alpha1.StageFailed
		in.Status.Message = fmt.Sprintf("%s. Traffic stays as it is, because %s has migrated the database and %s does not work after that "+
			"(rollbackSafe: No): `kubectl scalableapp abort --force` goes back all the same, `promote --full` goes on, `retry` asks again",
			failure.Message, in.Target.Revision, in.Status.Stable.Revision)
	case in.Target.Replicas > 0 && !in.abandonable():
		in.Status.Stage = v1alpha1.StageAborting
		in.Status.Message = fmt.Sprintf("%s. Traffic goes back to %s", failure.Message, in.Status.Stable.Revision)
	default:
		d.Stalled = true
		in.Status.Stage = v1alpha1.StageFailed
		in.Status.Message = failure.Message + wayBack(in)
	}
	d.Status = in.Status
	return d
}

// abandonable says whether the candidate's pods are asked to go in this pass: nothing is sent to them.
func (in *Input) abandonable() bool {
	return !carries(in.Status.Traffic, in.Target.Revision) && (in.Target.Available == 0 || drained(*in, in.Status))
}

// frozen says whether a failed candidate keeps its traffic because the revision before does not work
// on the migrated database.
func frozen(in Input) bool {
	return in.Status.Failure != nil && in.Status.Failure.ForcedTime == nil && in.RollbackUnsafe && in.Status.Stable != nil &&
		in.Target.Available > 0 && carries(in.Status.Traffic, in.Target.Revision)
}

// wayBack says to the user that nothing is lost, and what to do.
func wayBack(in Input) string {
	return fmt.Sprintf(". %s keeps serving; set the image back, deploy a new version or `kubectl scalableapp retry`", in.Status.Stable.Revision)
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
