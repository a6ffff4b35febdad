package rollout

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// Each row is one decision; the traces show how they follow each other.
func TestNext(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *metav1.Time { return new(metav1.NewTime(now.Add(-d))) }
	rev := func(name string, peak int32) *v1alpha1.RevisionStatus {
		return &v1alpha1.RevisionStatus{Revision: name, PeakReplicas: peak}
	}
	dataTier := Obstacle{Reason: v1alpha1.ReasonWaitingForDataTier, Message: "waits for the database"}
	config := Obstacle{Reason: v1alpha1.ReasonConfigMissing, Message: "ConfigMap c does not exist", Lasting: true}
	pull := Obstacle{Reason: v1alpha1.ReasonImagePullFailed, Message: "image cannot be pulled"}
	on := func(name string, replicas, available int32) Set {
		return Set{Revision: name, Exists: true, Replicas: replicas, Pods: replicas, Available: available}
	}
	for name, c := range map[string]struct {
		in      Input
		stage   string
		reason  string
		stalled bool
		migrate bool
		wake    time.Duration
		sizes   string
		says    string
	}{
		"an obstacle that passes": {
			in:    Input{Obstacle: dataTier, Target: Set{Revision: "b"}},
			stage: v1alpha1.StageWaiting, reason: v1alpha1.ReasonWaitingForDataTier, says: "waits for the database",
		},
		"an obstacle that lasts": {
			in:    Input{Obstacle: config, Target: Set{Revision: "b"}, Others: []Set{on("a", 3, 3)}, Status: v1alpha1.RolloutStatus{Stable: rev("a", 0)}},
			stage: v1alpha1.StageWaiting, reason: v1alpha1.ReasonConfigMissing, stalled: true, sizes: "a 3", says: "ConfigMap c",
		},
		"an obstacle comes too late for a target that runs": {
			in:    Input{Obstacle: dataTier, Target: on("b", 1, 0), Others: []Set{on("a", 3, 3)}, Status: v1alpha1.RolloutStatus{Stable: rev("a", 0)}},
			stage: v1alpha1.StageProgressing, reason: v1alpha1.ReasonRollingOut, wake: time.Minute, sizes: "a 3, b 1",
		},
		"while the candidate waits the stable revision follows what is wanted": {
			in:    Input{Desired: 5, Obstacle: dataTier, Target: Set{Revision: "b"}, Others: []Set{on("a", 3, 3)}, Status: v1alpha1.RolloutStatus{Stable: rev("a", 0)}},
			stage: v1alpha1.StageWaiting, reason: v1alpha1.ReasonWaitingForDataTier, sizes: "a 5",
		},
		"while the candidate waits what was given up goes as the stable revision serves": {
			in:    Input{Obstacle: dataTier, Target: Set{Revision: "c"}, Others: []Set{on("b", 2, 2), on("a", 3, 2)}, Status: v1alpha1.RolloutStatus{Stable: rev("a", 0)}},
			stage: v1alpha1.StageWaiting, reason: v1alpha1.ReasonWaitingForDataTier, sizes: "a 3, b 1",
		},
		"a migration runs": {
			in:    Input{Migration: MigrationRunning, Target: Set{Revision: "b"}},
			stage: v1alpha1.StageMigrating, reason: v1alpha1.ReasonMigrating, migrate: true, says: "the migration of b runs",
		},
		"a migration that cannot start is given the deadline": {
			in:    Input{Migration: MigrationRunning, Target: Set{Revision: "b"}, Trouble: pull},
			stage: v1alpha1.StageMigrating, reason: v1alpha1.ReasonMigrating, migrate: true, wake: time.Minute, says: "cannot be pulled",
		},
		"a migration that could not start stalls": {
			in: Input{Migration: MigrationRunning, Target: Set{Revision: "b"}, Trouble: pull,
				Status: v1alpha1.RolloutStatus{Candidate: rev("b", 0), ProgressTime: ago(time.Minute)}},
			stage: v1alpha1.StageFailed, reason: v1alpha1.ReasonImagePullFailed, migrate: true, stalled: true, says: "no progress for 1m0s",
		},
		"a migration that runs long is not hurried": {
			in: Input{Migration: MigrationRunning, Target: Set{Revision: "b"},
				Status: v1alpha1.RolloutStatus{Candidate: rev("b", 0), ProgressTime: ago(time.Hour)}},
			stage: v1alpha1.StageMigrating, reason: v1alpha1.ReasonMigrating, migrate: true,
		},
		"a migration failed": {
			in:    Input{Migration: MigrationFailed, Target: Set{Revision: "b"}},
			stage: v1alpha1.StageFailed, reason: v1alpha1.ReasonMigrationFailed, stalled: true, says: "`kubectl scalableapp retry`",
		},
		"one more pod is progress": {
			in: Input{Target: on("b", 2, 2), Others: []Set{on("a", 1, 1)},
				Status: v1alpha1.RolloutStatus{Stable: rev("a", 0), Candidate: rev("b", 1), ProgressTime: ago(time.Hour)}},
			stage: v1alpha1.StageProgressing, reason: v1alpha1.ReasonRollingOut, wake: time.Minute,
			sizes: "a 1, b 3", says: "2 of 3 pods of b serve",
		},
		"to reach the old peak again is none": {
			in: Input{Target: on("b", 2, 2), Others: []Set{on("a", 1, 1)},
				Status: v1alpha1.RolloutStatus{Stable: rev("a", 0), Candidate: rev("b", 2), ProgressTime: ago(time.Hour)}},
			stage: v1alpha1.StageAborting, reason: v1alpha1.ReasonProgressDeadlineExceeded, sizes: "a 3, b 2", says: "Traffic goes back to a",
		},
		"another candidate has its own deadline": {
			in: Input{Target: on("c", 1, 0), Others: []Set{on("a", 3, 3)},
				Status: v1alpha1.RolloutStatus{Stable: rev("a", 0), Candidate: rev("b", 2), ProgressTime: ago(time.Hour)}},
			stage: v1alpha1.StageProgressing, reason: v1alpha1.ReasonRollingOut, wake: time.Minute, sizes: "a 3, c 1",
		},
		"the trouble is the reason of the failure": {
			in: Input{Target: on("b", 1, 0), Others: []Set{on("a", 3, 3)}, Trouble: pull,
				Status: v1alpha1.RolloutStatus{Stable: rev("a", 0), Candidate: rev("b", 0), ProgressTime: ago(time.Minute)}},
			stage: v1alpha1.StageAborting, reason: v1alpha1.ReasonImagePullFailed, sizes: "a 3, b 0", says: "image cannot be pulled. Traffic goes back to a",
		},
		"a first rollout that fails promises nothing": {
			in: Input{Target: on("b", 3, 0), Trouble: pull,
				Status: v1alpha1.RolloutStatus{Candidate: rev("b", 0), ProgressTime: ago(time.Minute)}},
			stage: v1alpha1.StageFailed, reason: v1alpha1.ReasonImagePullFailed, stalled: true, sizes: "b 3", says: "cannot be pulled",
		},
		"all pods serve": {
			in:    Input{Target: on("b", 3, 3), Others: []Set{on("a", 0, 0)}, Status: v1alpha1.RolloutStatus{Stable: rev("a", 0), Candidate: rev("b", 2)}},
			stage: v1alpha1.StageStable, reason: v1alpha1.ReasonReady, sizes: "a 0, b 3",
		},
		"pods that are about to go do not count": { // its Deployment asks for 1 of the 3 that still serve
			in:    Input{Target: on("b", 1, 3), Others: []Set{on("a", 2, 2)}, Status: v1alpha1.RolloutStatus{Stable: rev("a", 0), Candidate: rev("b", 3), ProgressTime: ago(0)}},
			stage: v1alpha1.StageProgressing, reason: v1alpha1.ReasonRollingOut, wake: time.Minute, sizes: "a 2, b 2",
		},
		"a stable revision without a Deployment gets it back": {
			in:    Input{Target: Set{Revision: "a"}, Obstacle: dataTier, Migration: MigrationRunning, Status: v1alpha1.RolloutStatus{Stable: rev("a", 0)}},
			stage: v1alpha1.StageStable, reason: v1alpha1.ReasonReady, sizes: "a 3",
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := c.in
			in.Now, in.Deadline, in.MaxSurge = now, time.Minute, 1
			in.Course = NewCourse(&v1alpha1.RolloutSpec{}, false)
			in.Traffic = TrafficSeen{Applied: true, InForce: true}
			in.Status.Traffic = &v1alpha1.TrafficStatus{InForceTime: ago(time.Hour), SettledTime: ago(time.Hour)}
			if in.Status.Candidate != nil {
				in.Status.Plan, in.Status.Step, in.Status.Demand = "Rolling 100", 1, in.Desired
			}
			if in.Desired == 0 {
				in.Desired = 3
			}
			d := Next(in)
			if d.Status.Stage != c.stage || d.Reason != c.reason || d.Stalled != c.stalled || d.Migrate != c.migrate || d.Wake != c.wake {
				t.Errorf("stage %s, reason %s, stalled %t, migrate %t, wake %s; want %s, %s, %t, %t, %s",
					d.Status.Stage, d.Reason, d.Stalled, d.Migrate, d.Wake, c.stage, c.reason, c.stalled, c.migrate, c.wake)
			}
			if got := sizesOf(d); got != c.sizes {
				t.Errorf("sizes %q, want %q", got, c.sizes)
			}
			if !strings.Contains(d.Status.Message, c.says) {
				t.Errorf("message %q does not say %q", d.Status.Message, c.says)
			}
		})
	}
}
