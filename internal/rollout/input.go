package rollout

import (
	"time"

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

// Obstacle is a reason not to go on, with its words. The zero Obstacle is none.
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
	// Deadline is how long the candidate may go without progress.
	Deadline time.Duration
	// Settle is how long proxies may follow the traffic before, once a change is in force.
	Settle time.Duration
	// Hold is how long the pods of the revision before are kept after a cutover.
	Hold time.Duration
	// Course is the strategy and its steps.
	Course Course
	// Status is the rollout's status as it was stored.
	Status v1alpha1.RolloutStatus
	// Target is the revision that shall serve.
	Target Set
	// Others are all other revisions that have a Deployment, newest first.
	Others []Set
	// Obstacle keeps the target from getting its first pod, for example a data tier that is not ready.
	Obstacle Obstacle
	// Interlock is why traffic must not be moved now: the data tier is away. Empty when it is there.
	Interlock string
	// Migration is the state of the target's migration.
	Migration Migration
	// RollbackUnsafe says that the target's migration has run and the revision before does not work after
	// it.
	RollbackUnsafe bool
	// Trouble is why the target's pods do not serve, in the words of the kubelet or the scheduler.
	Trouble Obstacle
	// Traffic is what was seen of where traffic is led.
	Traffic TrafficSeen
	// Gates is what the gates of the step say.
	Gates Judged
	// Word is a person's word.
	Word Word
}

// TrafficSeen is what was seen of where traffic is led.
type TrafficSeen struct {
	// Applied says that the Service and the HTTPRoute are written as Status.Traffic wants them.
	Applied bool
	// InForce says that they are, and that the controllers behind them have taken it up: the ready
	// endpoints of the Service are those of the wanted revisions, every Gateway accepts the route at its
	// generation. Proxies follow some time later.
	InForce bool
	// Obstacle is why it is not in force, in words; Lasting if a person has to do something.
	Obstacle Obstacle
	// Unreachable are the revisions, with the reason in words, whose own Service does not lead to their pods, so
	// that no gateway could reach them.
	Unreachable map[string]string
	// Share is the share of each revision in the ready endpoints of the app's Service, in percent.
	Share map[string]int32
}

// Judged is what the gates of the stored step say, with the samples of this pass.
type Judged struct {
	// Statuses are the gates of the step, in the order of the spec.
	Statuses []v1alpha1.GateStatus
	// Invalid are gates that cannot be asked at all, in words.
	Invalid []string
	// Next is when the next sample is to be taken; zero is never.
	Next time.Time
}

// Size is the number of pods that a revision shall have.
type Size struct {
	Revision string
	Replicas int32
}

// Decision is what shall be done next.
type Decision struct {
	// Status is the whole new status of the rollout. Where traffic is led follows from it.
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

	// still says that traffic is not to be moved to the candidate, and no pod given up for it.
	still bool
	// podless says that the target is not to have a Deployment yet.
	podless bool
}

// again is the Wake of a decision that can be followed by the next one at once.
const again = time.Millisecond

// wakeAt has the decision made anew at a time, at the latest.
func (d *Decision) wakeAt(now, at time.Time) {
	wake := max(at.Sub(now), again)
	if d.Wake == 0 || wake < d.Wake {
		d.Wake = wake
	}
}

// all are all sets, the target first.
func (in *Input) all() []Set { return append([]Set{in.Target}, in.Others...) }

// set is the set of a revision; one without pods if there is none.
func (in *Input) set(revision string) Set {
	for _, set := range in.all() {
		if set.Revision == revision {
			return set
		}
	}
	return Set{Revision: revision}
}

func nameOf(r *v1alpha1.RevisionStatus) string {
	if r == nil {
		return ""
	}
	return r.Revision
}
