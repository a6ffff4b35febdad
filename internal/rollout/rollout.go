// Package rollout decides how a revision of the app takes over from another: how many pods each
// revision shall have, where the rollout stands, and why.
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

// Set is the pods of one revision.
type Set struct {
	// Revision is the name of the revision.
	Revision string
	// Image and Number describe it to people.
	Image  string
	Number int64
	// Exists says whether its Deployment exists.
	Exists bool
	// Replicas is the number of pods that its Deployment asks for.
	Replicas int32
	// Pods is the number of pods that there are.
	Pods int32
	// Available is the number of pods that serve.
	Available int32
}

// Migration is the state of the target's migration.
type Migration int

// The states of a migration.
const (
	// MigrationNone: the revision has no migration, or it has been done.
	MigrationNone Migration = iota
	// MigrationRunning: its Job is to be made or has not ended.
	MigrationRunning
	// MigrationFailed: its Job has failed for good.
	MigrationFailed
)

// Obstacle is a reason not to start, with its words. The zero Obstacle is none.
type Obstacle struct {
	Reason  string
	Message string
	// Lasting obstacles do not pass by themselves: a person has to do something.
	Lasting bool
}

// Input is all that the decision rests on.
type Input struct {
	Now time.Time
	// Desired is the number of pods that shall serve.
	Desired int32
	// MaxSurge and MaxUnavailable are numbers of pods, as in a Deployment.
	MaxSurge, MaxUnavailable int32
	// Deadline is how long the candidate may go without one more available pod.
	Deadline time.Duration
	// Status is the rollout's status as it was stored.
	Status v1alpha1.RolloutStatus
	// Target is the revision that shall serve.
	Target Set
	// Others are all other revisions that have a Deployment, newest first.
	Others []Set
	// Obstacle keeps the target from getting its first pod, for example a data tier that is not ready.
	Obstacle Obstacle
	// Migration is the state of the target's migration.
	Migration Migration
	// Trouble is why the target's pods do not serve, in the words of the kubelet or the scheduler.
	Trouble Obstacle
}

// TrafficSeen is what was seen of where traffic is led.
type TrafficSeen struct {
	// InForce says that the Service and the HTTPRoute are as Status.Traffic wants them, and that the
	// controllers behind them have taken it up: the ready endpoints of the Service are those of the wanted
	// revisions, every Gateway accepts the route at its generation. Proxies follow some time later.
	InForce bool
	// Obstacle is why it is not in force, in words; Lasting if a person has to do something.
	Obstacle Obstacle
	// Share is the share of each revision in the ready endpoints of the app's Service, in percent.
	Share map[string]int32
}

// Size is the number of pods that a revision shall have.
type Size struct {
	Revision string
	Replicas int32
}

// Decision is what shall be done next.
type Decision struct {
	// Status is the whole new status of the rollout.
	Status v1alpha1.RolloutStatus
	// Sizes are the sizes of the target (first, unless it shall not have a Deployment yet) and of the
	// others. A revision that is not among them is not touched.
	Sizes []Size
	// Migrate says that the target's migration Job shall exist.
	Migrate bool
	// Reason is a CamelCase word for the decision; Status.Message says it in words.
	Reason string
	// Stalled says that the rollout does not go on by itself.
	Stalled bool
	// Wake is when to decide anew if nothing happens until then; zero is never.
	Wake time.Duration
}

// Next decides what to do next. The steps are tried in order; the first that applies is taken.
func Next(in Input) Decision {
	for _, try := range []func(Input) *Decision{
		trySteady,  // the target is the stable revision: keep its size, let the others go
		tryBlocked, // something the target needs is not there, and it has no pod yet
		tryMigrate, // its migration comes before its first pod
		tryPromote, // it has all its pods: it is the stable revision now
	} {
		if decision := try(in); decision != nil {
			return *decision
		}
	}
	return progress(in) // pods of the target replace pods of the others
}

// Paused is the decision while nothing may be changed: the rollout stands where it stood.
func Paused(in Input) Decision {
	status := in.Status
	if status.Stage == v1alpha1.StageStable && status.Stable != nil && status.Stable.Revision == in.Target.Revision {
		return Decision{Status: status, Reason: v1alpha1.ReasonReady}
	}
	status.Stage = v1alpha1.StagePaused
	status.Message = fmt.Sprintf("spec.paused is true: nothing is changed; %s is to serve when it is false", in.Target.Revision)
	return Decision{Status: status, Reason: v1alpha1.ReasonPaused}
}

// trySteady applies while the target is the revision that is rolled out, or is gone back to.
func trySteady(in Input) *Decision {
	if in.Status.Stable == nil || in.Status.Stable.Revision != in.Target.Revision {
		return nil
	}
	status := v1alpha1.RolloutStatus{Stage: v1alpha1.StageStable, Stable: describe(in.Target), Weight: new(int32(100))}
	decision := &Decision{Reason: v1alpha1.ReasonReady}
	decision.Sizes = capacity(in)
	if left := leaving(in); left != "" {
		status.Stage = v1alpha1.StageProgressing
		status.Weight = new(share(in))
		status.Message = fmt.Sprintf("%s serves; %s goes as its pods are no longer needed", in.Target.Revision, left)
		decision.Reason = v1alpha1.ReasonRollingOut
	}
	decision.Status = status
	return decision
}

// leaving is the name of a revision other than the target that still shall have pods.
func leaving(in Input) string {
	for _, set := range in.Others {
		if set.Replicas > 0 {
			return set.Revision
		}
	}
	return ""
}

// tryBlocked applies while an obstacle stands before the target's first pod. A target that has pods
// already goes on: to stop half-way would help nobody.
func tryBlocked(in Input) *Decision {
	if in.Obstacle.Reason == "" || in.Target.Exists {
		return nil
	}
	status := candidate(in, v1alpha1.StageWaiting)
	status.Message = in.Obstacle.Message
	return &Decision{Status: status, Sizes: Hold(in), Reason: in.Obstacle.Reason, Stalled: in.Obstacle.Lasting}
}

// tryMigrate applies until the target's migration has succeeded.
func tryMigrate(in Input) *Decision {
	switch {
	case in.Target.Exists || in.Migration == MigrationNone:
		return nil
	case in.Migration == MigrationFailed:
		status := candidate(in, v1alpha1.StageFailed)
		status.Message = fmt.Sprintf("the migration of %s failed: %s. Deploy a new version, go back, or delete the Job %s-migrate to try again",
			in.Target.Revision, orElse(in.Trouble.Message, "see the Job's log"), in.Target.Revision)
		return &Decision{Status: status, Sizes: Hold(in), Migrate: true, Reason: v1alpha1.ReasonMigrationFailed, Stalled: true}
	default:
		return migrating(in)
	}
}

// migrating waits for the migration. How long it may run is its own affair (timeoutSeconds); but one
// that cannot even start, for example because its image cannot be pulled, stalls at the deadline.
func migrating(in Input) *Decision {
	status := candidate(in, v1alpha1.StageMigrating)
	status.ProgressTime = in.Status.ProgressTime
	if in.Status.Candidate == nil || in.Status.Candidate.Revision != in.Target.Revision || status.ProgressTime == nil ||
		in.Status.Stage == v1alpha1.StagePaused {
		status.ProgressTime = new(metav1.NewTime(in.Now.Truncate(time.Second)))
	}
	status.Message = fmt.Sprintf("the migration of %s runs", in.Target.Revision)
	decision := &Decision{Sizes: Hold(in), Migrate: true, Reason: v1alpha1.ReasonMigrating}
	if in.Trouble.Message != "" {
		status.Message = fmt.Sprintf("the migration of %s cannot run: %s", in.Target.Revision, in.Trouble.Message)
		if left := status.ProgressTime.Add(in.Deadline).Sub(in.Now); left > 0 {
			decision.Wake = left
		} else {
			status.Stage = v1alpha1.StageFailed
			status.Message = fmt.Sprintf("no progress for %s: %s", in.Deadline, status.Message) + wayBack(in)
			decision.Reason, decision.Stalled = in.Trouble.Reason, true
		}
	}
	decision.Status = status
	return decision
}

// wayBack says to the user that nothing is lost, and what to do.
func wayBack(in Input) string {
	if in.Status.Stable == nil {
		return ""
	}
	return fmt.Sprintf(". %s keeps serving; set the image back or deploy a new version", in.Status.Stable.Revision)
}

// tryPromote applies when as many pods of the target serve as are wanted.
func tryPromote(in Input) *Decision {
	if !in.Target.Exists || in.Target.Available < in.Desired || in.Target.Replicas < in.Desired {
		return nil
	}
	in.Status.Stable = describe(in.Target)
	in.Status.Candidate = nil
	return trySteady(in)
}

// progress replaces pods and watches the deadline.
func progress(in Input) Decision {
	status := candidate(in, v1alpha1.StageProgressing)
	before := in.Status.Candidate
	fresh := before == nil || before.Revision != in.Target.Revision || in.Status.ProgressTime == nil || !in.Target.Exists ||
		in.Status.Stage == v1alpha1.StagePaused // the deadline does not count pauses
	status.ProgressTime = in.Status.ProgressTime
	if fresh || status.Candidate.PeakReplicas > before.PeakReplicas {
		status.ProgressTime = new(metav1.NewTime(in.Now.Truncate(time.Second)))
	}
	status.Weight = new(share(in))
	status.Message = fmt.Sprintf("%d of %d pods of %s serve", in.Target.Available, in.Desired, in.Target.Revision)
	if in.Trouble.Message != "" {
		status.Message += ": " + in.Trouble.Message
	}
	decision := Decision{Sizes: capacity(in), Reason: v1alpha1.ReasonRollingOut}
	left := status.ProgressTime.Add(in.Deadline).Sub(in.Now)
	if left > 0 {
		decision.Wake = left
	} else {
		status.Stage = v1alpha1.StageFailed
		status.Message = fmt.Sprintf("no progress for %s: %s", in.Deadline, status.Message) + wayBack(in)
		decision.Reason = orElse(in.Trouble.Reason, v1alpha1.ReasonProgressDeadlineExceeded)
		decision.Stalled = true
	}
	decision.Status = status
	return decision
}

// candidate is the status of a rollout whose candidate is the target.
func candidate(in Input, stage string) v1alpha1.RolloutStatus {
	status := v1alpha1.RolloutStatus{Stage: stage, Stable: in.Status.Stable, Candidate: describe(in.Target), Weight: new(int32(0))}
	for _, set := range in.Others {
		if status.Stable != nil && set.Revision == status.Stable.Revision {
			status.Stable = describe(set)
		}
	}
	status.Candidate.PeakReplicas = in.Target.Available
	if before := in.Status.Candidate; before != nil && before.Revision == in.Target.Revision {
		status.Candidate.PeakReplicas = max(before.PeakReplicas, in.Target.Available)
	}
	return status
}

func describe(set Set) *v1alpha1.RevisionStatus {
	return &v1alpha1.RevisionStatus{
		Revision: set.Revision, Number: set.Number, Image: set.Image,
		Replicas: set.Pods, AvailableReplicas: set.Available,
	}
}

// share is the target's share of the serving pods, in percent.
func share(in Input) int32 {
	total := in.Target.Available
	for _, set := range in.Others {
		total += set.Available
	}
	if total == 0 {
		return 0
	}
	return in.Target.Available * 100 / total
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
