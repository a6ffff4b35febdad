package rollout

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// tryBlocked applies while an obstacle stands before the target's first pod. A target that has pods
// already goes on: to stop half-way would help nobody.
func tryBlocked(in Input) *Decision {
	if in.Obstacle.Reason == "" || in.Target.Exists {
		return nil
	}
	in.Status.Stage, in.Status.Message = v1alpha1.StageWaiting, in.Obstacle.Message
	in.Status.ProgressTime = in.held()
	return &Decision{Status: in.Status, Reason: in.Obstacle.Reason, Stalled: in.Obstacle.Lasting, podless: true}
}

// held is the time of the last progress while something is waited for that the deadline does not count:
// it is written anew only when a tenth of the deadline has passed, not in each pass.
func (in *Input) held() *metav1.Time {
	if in.Now.Sub(in.Status.ProgressTime.Time) > in.Deadline/10 {
		return in.seconds()
	}
	return in.Status.ProgressTime
}

// tryMigrate applies until the target's migration has succeeded. How long it may run is its own affair
// (timeoutSeconds); but one that cannot even start, for example because its image cannot be pulled, fails
// at the deadline.
func tryMigrate(in Input) *Decision {
	if in.Target.Exists || in.Migration == MigrationNone {
		return nil
	}
	if in.Migration == MigrationFailed {
		message := fmt.Sprintf("the migration of %s failed: %s", in.Target.Revision, orElse(in.Trouble.Message, "see the Job's log"))
		in.Status.Failure = &v1alpha1.FailureStatus{Reason: v1alpha1.ReasonMigrationFailed, Message: message, Time: *in.seconds()}
		return tryBack(in)
	}
	in.Status.Stage = v1alpha1.StageMigrating
	in.Status.Message = fmt.Sprintf("the migration of %s runs", in.Target.Revision)
	d := Decision{Migrate: true, Reason: v1alpha1.ReasonMigrating, podless: true}
	if in.Trouble.Message == "" {
		in.Status.ProgressTime = in.held()
		d.Status = in.Status
		return &d
	}
	in.Status.Message = fmt.Sprintf("the migration of %s cannot run: %s", in.Target.Revision, in.Trouble.Message)
	d.Status = in.Status
	return new(untilDeadline(in, d, in.Trouble.Reason))
}

// tryHeld applies while the data tier is away: errors of that time say nothing about the candidate, and
// traffic that moves would only add to them.
func tryHeld(in Input) *Decision {
	if in.Interlock == "" {
		return nil
	}
	in.Status.Stage = v1alpha1.StageHeld
	in.Status.Message = fmt.Sprintf("the rollout of %s is held at step %d of %d until the data tier is back: %s",
		in.Target.Revision, in.Status.Step, in.Status.Steps, in.Interlock)
	return &Decision{Status: in.Status, Reason: v1alpha1.ReasonHeld, still: true}
}

// tryPods applies until the candidate has the pods that the step needs.
func tryPods(in Input) *Decision {
	need := in.Course.pods(in.step(), in.Desired)
	c := in.Status.Candidate
	if in.Target.Exists && in.Target.Available >= need && (!in.step().Roll || in.Target.Replicas >= need) {
		c.PeakReplicas = max(c.PeakReplicas, in.Target.Available)
		return nil
	}
	if opened := in.Status.StepStartedTime != nil; opened && c.PeakReplicas >= need {
		return new(reopened(in, need))
	}
	if in.Target.Available > c.PeakReplicas {
		c.PeakReplicas = in.Target.Available
		in.Status.ProgressTime = in.seconds()
	}
	d := progressing(in, v1alpha1.ReasonRollingOut, "%d of %d pods of %s serve", in.Target.Available, need, in.Target.Revision)
	if in.Trouble.Message != "" {
		d.Status.Message += ": " + in.Trouble.Message
	}
	if in.Status.StepStartedTime != nil {
		return &d // more pods are wanted than before; the deadline does not count growth
	}
	return new(untilDeadline(in, d, orElse(in.Trouble.Reason, v1alpha1.ReasonProgressDeadlineExceeded)))
}

// reopened is a step that begins anew, because pods that the candidate had are gone. A candidate that
// loses them again and again has failed.
func reopened(in Input, need int32) Decision {
	lost := in.Status.Reopened + 1
	in = at(in, in.Status.Step)
	in.Status.Reopened = lost
	message := fmt.Sprintf("%s lost pods that it had: %d of %d serve", in.Target.Revision, in.Target.Available, need)
	if in.Trouble.Message != "" {
		message += ": " + in.Trouble.Message
	}
	if lost > reopenLimit {
		return fail(in, v1alpha1.ReasonUnstable, fmt.Sprintf("%s, for the %dth time at this step", message, lost))
	}
	return untilDeadline(in, progressing(in, v1alpha1.ReasonRollingOut, "%s", message), v1alpha1.ReasonProgressDeadlineExceeded)
}

// tryTraffic applies until the step's traffic is in force and proxies follow it.
func tryTraffic(in Input) *Decision {
	goal, t := in.rescued(in.goal()), in.Status.Traffic
	if in.step().Roll || (goal.is(t) && t.SettledTime != nil) {
		return nil
	}
	d := progressing(in, v1alpha1.ReasonRollingOut, "%s", goal.describe(in))
	switch barred := in.barred(goal, t); {
	case !goal.is(t) && barred != "":
		d.Status.Message += ", which waits: " + barred
		if in.Traffic.Obstacle.Lasting {
			d.Reason, d.Stalled = in.Traffic.Obstacle.Reason, true
		}
	case !goal.is(t) && !in.able(goal, t):
		d.Status.Message += " as soon as there are the pods for it, and none of other revisions"
	case !goal.is(t):
	case t.InForceTime != nil:
		d.Status.Message += ": proxies take it up"
	case in.Traffic.Obstacle.Message != "":
		d.Status.Message += ", which is not in force: " + in.Traffic.Obstacle.Message
		if in.Traffic.Obstacle.Lasting {
			d.Reason, d.Stalled = in.Traffic.Obstacle.Reason, true
		}
	}
	return new(untilDeadline(in, d, orElse(in.Traffic.Obstacle.Reason, v1alpha1.ReasonProgressDeadlineExceeded)))
}

// tryOpen applies when a step that asks something has what it needs: gates, pause and approval count from
// now on.
func tryOpen(in Input) *Decision {
	step := in.step()
	if in.Status.StepStartedTime != nil || !step.asks() {
		return nil
	}
	in.Status.StepStartedTime = in.seconds()
	in.Status.Gates = nil
	for _, rule := range step.Gates {
		in.Status.Gates = append(in.Status.Gates, v1alpha1.GateStatus{Name: rule.Name, Verdict: v1alpha1.VerdictPending})
	}
	d := progressing(in, v1alpha1.ReasonRollingOut, "%s is at step %d of %d (%d%% of the traffic)",
		in.Target.Revision, in.Status.Step, in.Status.Steps, step.Weight)
	d.Wake = again
	return &d
}

// tryGates applies until all gates of the step pass. A gate that fails ends the rollout.
func tryGates(in Input) *Decision {
	if len(in.Gates.Invalid) > 0 && slices.ContainsFunc(in.Course.Steps, func(s Step) bool { return len(s.Gates) > 0 }) {
		d := progressing(in, v1alpha1.ReasonGateInvalid, "%s", strings.Join(in.Gates.Invalid, "; "))
		d.Stalled = true
		return &d
	}
	if len(in.step().Gates) == 0 || in.Status.StepStartedTime == nil {
		return nil
	}
	var pending, silent []string
	for _, g := range in.Gates.Statuses {
		switch g.Verdict {
		case v1alpha1.VerdictFail:
			return new(fail(in, v1alpha1.ReasonGateFailed, fmt.Sprintf("gate %s failed at step %d of %d (%d%% of the traffic): %s",
				g.Name, in.Status.Step, in.Status.Steps, in.step().Weight, sampleWords(g))))
		case v1alpha1.VerdictInconclusive:
			silent = append(silent, fmt.Sprintf("gate %s: %s", g.Name, sampleWords(g)))
			if slices.Contains(in.step().Gates, Rule{Name: g.Name, Abort: true}) {
				return new(fail(in, v1alpha1.ReasonGateInconclusive, fmt.Sprintf("gate %s says nothing: %s", g.Name, sampleWords(g))))
			}
		case v1alpha1.VerdictPending:
			pending = append(pending, g.Name)
		}
	}
	if len(silent) == 0 && len(pending) == 0 {
		return nil
	}
	d := progressing(in, v1alpha1.ReasonRollingOut, "%s is at step %d of %d (%d%% of the traffic): waits for %s",
		in.Target.Revision, in.Status.Step, in.Status.Steps, in.step().Weight, plural("gate", pending))
	if len(silent) > 0 {
		d.Status.Stage, d.Reason, d.Stalled = v1alpha1.StageInconclusive, v1alpha1.ReasonGateInconclusive, true
		d.Status.Message = fmt.Sprintf("%s keeps %d%% of the traffic, because nothing can be said of it: %s. "+
			"`kubectl scalableapp promote` goes on, `abort` goes back", in.Target.Revision, in.step().Weight, strings.Join(silent, "; "))
	}
	if !in.Gates.Next.IsZero() {
		d.wakeAt(in.Now, in.Gates.Next)
	}
	return &d
}

// sampleWords tells of a gate's last sample.
func sampleWords(g v1alpha1.GateStatus) string {
	if g.Reason != "" {
		return g.Reason
	}
	return strings.TrimSpace(fmt.Sprintf("%s, the limit is %s", orElse(g.Value, "no value"), orElse(g.Limit, "not given")))
}

func plural(what string, names []string) string {
	if len(names) == 1 {
		return what + " " + names[0]
	}
	return what + "s " + strings.Join(names, ", ")
}

// tryPause applies until the step has lasted as long as it shall. Its gates are sampled all the while.
func tryPause(in Input) *Decision {
	step := in.step()
	if step.Pause == 0 || in.Status.StepStartedTime == nil {
		return nil
	}
	until := in.Status.StepStartedTime.Add(step.Pause)
	if !in.Now.Before(until) {
		return nil
	}
	d := progressing(in, v1alpha1.ReasonRollingOut, "%s is at step %d of %d (%d%% of the traffic) until %s",
		in.Target.Revision, in.Status.Step, in.Status.Steps, step.Weight, until.UTC().Format("15:04:05"))
	d.wakeAt(in.Now, until)
	if !in.Gates.Next.IsZero() {
		d.wakeAt(in.Now, in.Gates.Next)
	}
	return &d
}

// tryApprove applies to a step that a person has to agree to. The word is heard in tryWord.
func tryApprove(in Input) *Decision {
	step := in.step()
	if !step.Approval {
		return nil
	}
	d := progressing(in, v1alpha1.ReasonAwaitingApproval,
		"%s waits for approval at step %d of %d (%d%% of the traffic): `kubectl scalableapp promote` goes on, `abort` goes back",
		in.Target.Revision, in.Status.Step, in.Status.Steps, step.Weight)
	d.Status.Stage = v1alpha1.StageAwaitingApproval
	if !in.Gates.Next.IsZero() {
		d.wakeAt(in.Now, in.Gates.Next)
	}
	return &d
}
