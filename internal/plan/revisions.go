package plan

import (
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/rollout"
	"github.com/scalableapp/scalableapp-operator/internal/status"
)

// sets are the pods of the target and of all other revisions that have a Deployment, newest first.
func (b *builder) sets() (target rollout.Set, others []rollout.Set) {
	target = b.set(b.target.Name)
	target.Image = b.target.Inputs.App.Image
	if target.Number == 0 {
		target.Number = b.number()
	}
	return target, b.setsBut(b.target.Name)
}

// setsBut are the pods of all revisions that have a Deployment but one, newest first.
func (b *builder) setsBut(name string) []rollout.Set {
	var sets []rollout.Set
	for _, d := range b.seen.Deployments {
		if d.Name != name && d.Labels[naming.LabelRevision] == d.Name {
			sets = append(sets, b.set(d.Name))
		}
	}
	slices.SortFunc(sets, func(x, y rollout.Set) int { return int(y.Number - x.Number) })
	return sets
}

// number is the number of the target.
func (b *builder) number() int64 {
	if stored := b.seen.Revision(b.target.Name); stored != nil {
		return stored.Revision
	}
	for _, r := range []*v1alpha1.RevisionStatus{b.app.Status.Rollout.Candidate, b.app.Status.Rollout.Stable} {
		if r != nil && r.Revision == b.target.Name {
			return r.Number // recorded, but the ControllerRevision is not seen yet, or no more
		}
	}
	return revision.Number(b.seen.Revisions, b.app.Status.Rollout)
}

func (b *builder) set(name string) rollout.Set {
	set := rollout.Set{Revision: name}
	if stored := b.seen.Revision(name); stored != nil {
		set.Number = stored.Revision
		if r, err := revision.Stored(stored); err == nil {
			set.Image = r.Inputs.App.Image
		}
	}
	if d := b.seen.Deployment(name); d != nil {
		set.Exists = true
		if d.Spec.Replicas != nil {
			set.Replicas = *d.Spec.Replicas
		}
	}
	for _, pod := range b.seen.PodsWith(map[string]string{naming.LabelRevision: name, naming.LabelComponent: naming.ComponentApp}) {
		if pod.DeletionTimestamp == nil {
			set.Pods++
		}
		if status.Serving(pod) {
			set.Available++
		}
	}
	return set
}

// migrated says whether the target's migration has been done, now or at any time before.
func (b *builder) migrated() bool {
	if stored := b.seen.Revision(b.target.Name); stored != nil && stored.Annotations[naming.AnnotationMigrated] != "" {
		return true
	}
	return jobCondition(b.seen.Job(naming.Migration(b.target.Name)), batchv1.JobComplete)
}

func (b *builder) migration() rollout.Migration {
	job := b.seen.Job(naming.Migration(b.target.Name))
	switch {
	case b.target.Inputs.App.Migration == nil || b.migrated():
		return rollout.MigrationNone
	case jobCondition(job, batchv1.JobFailed) && !b.neverRan() && !b.outdated(job):
		return rollout.MigrationFailed
	default:
		return rollout.MigrationRunning
	}
}

// outdated says whether a migration's Job was made in an attempt of the rollout before this one: after a retry
// it is made anew. One that runs for a candidate that was given up is of no use either.
func (b *builder) outdated(job *batchv1.Job) bool {
	if job == nil || job.Labels[naming.LabelComponent] != naming.ComponentMigration {
		return false
	}
	attempt, err := strconv.Atoi(job.Annotations[naming.AnnotationAttempt])
	c := b.app.Status.Rollout.Candidate
	if err != nil || c == nil || c.Revision != job.Labels[naming.LabelRevision] {
		return false
	}
	return int32(attempt) < b.app.Status.Rollout.Attempt || b.app.Status.Rollout.Failure != nil && !ended(job)
}

// proven says whether the target was rolled out in full before.
func (b *builder) proven() bool {
	stored := b.seen.Revision(b.target.Name)
	return stored != nil && stored.Annotations[naming.AnnotationProven] != ""
}

// rollbackUnsafe says whether the target has migrated the database so that the revision before does not
// work any more.
func (b *builder) rollbackUnsafe() bool {
	m, stable := b.target.Inputs.App.Migration, b.app.Status.Rollout.Stable
	if stable != nil && stable.Number > b.number() {
		return false // it is the target that is gone back to
	}
	return m != nil && m.RollbackSafe == v1alpha1.RollbackSafeNo && b.migrated()
}

// neverRan says whether the target's migration Job ran out of time before its container ever started,
// for example because the image could not be pulled. Such a Job is made anew: the cause may have
// gone, and nothing has been done to the database. The stored status is the witness, because the
// Job's pods are gone.
func (b *builder) neverRan() bool {
	c := b.app.Status.Rollout.Candidate
	ready := meta.FindStatusCondition(b.app.Status.Conditions, v1alpha1.ConditionReady)
	if c == nil || c.Revision != b.target.Name || ready == nil {
		return false
	}
	return slices.Contains([]string{v1alpha1.ReasonImagePullFailed, v1alpha1.ReasonUnschedulable, v1alpha1.ReasonCannotStart}, ready.Reason) &&
		jobCondition(b.seen.Job(naming.Migration(b.target.Name)), batchv1.JobFailed)
}

// otherMigration is a revision other than the target whose migration has not ended: one that was given
// up while it ran. Its Job is deleted, but its pod has time to end.
func (b *builder) otherMigration() string {
	for _, job := range b.seen.Jobs {
		migrates := job.Labels[naming.LabelComponent] == naming.ComponentMigration
		if name := job.Labels[naming.LabelRevision]; name != b.target.Name && migrates && !ended(job) {
			return name
		}
	}
	for _, pod := range b.seen.PodsWith(map[string]string{naming.LabelComponent: naming.ComponentMigration}) {
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		if name := pod.Labels[naming.LabelRevision]; name != b.target.Name && !ended {
			return name
		}
	}
	return ""
}

func ended(job *batchv1.Job) bool {
	return jobCondition(job, batchv1.JobComplete) || jobCondition(job, batchv1.JobFailed)
}

func jobCondition(job *batchv1.Job, kind batchv1.JobConditionType) bool {
	return job != nil && slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == kind && c.Status == corev1.ConditionTrue
	})
}

// live says whether a revision has a part in the rollout.
func (b *builder) live(name string) bool {
	s := b.decision.Status
	for _, r := range []*v1alpha1.RevisionStatus{s.Stable, s.Candidate, s.Previous} {
		if r != nil && r.Revision == name {
			return true
		}
	}
	led := s.Traffic != nil && slices.ContainsFunc(s.Traffic.Backends, func(t v1alpha1.BackendStatus) bool { return t.Revision == name })
	return led || name == b.target.Name
}

// ceased says whether no pod of a revision runs any more. That of its migration may still be there for its log.
func (b *builder) ceased(d *appsv1.Deployment) bool {
	if d.Spec.Replicas == nil || *d.Spec.Replicas > 0 || d.Status.ObservedGeneration < d.Generation || d.Status.Replicas > 0 {
		return false
	}
	return !slices.ContainsFunc(b.seen.PodsWith(map[string]string{naming.LabelRevision: d.Name}), func(pod *corev1.Pod) bool {
		return pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
	})
}

// gone says whether nothing of a revision runs any more.
func (b *builder) gone(name string) bool {
	d := b.seen.Deployment(name)
	if d == nil {
		return true
	}
	asked := d.Spec.Replicas == nil || *d.Spec.Replicas > 0
	return !asked && d.Status.ObservedGeneration >= d.Generation && d.Status.Replicas == 0 &&
		len(b.seen.PodsWith(map[string]string{naming.LabelRevision: name})) == 0
}

// forgotten are the revisions beyond the history limit: the oldest that have no part in the rollout.
func (b *builder) forgotten() map[string]bool {
	limit := 10
	if l := b.app.Spec.Rollout.RevisionHistoryLimit; l != nil {
		limit = int(*l)
	}
	var idle []*appsv1.ControllerRevision
	for _, r := range b.seen.Revisions {
		if !b.live(r.Name) && b.gone(r.Name) {
			idle = append(idle, r)
		}
	}
	slices.SortFunc(idle, func(x, y *appsv1.ControllerRevision) int { return int(x.Revision - y.Revision) })
	forget := map[string]bool{}
	for _, r := range idle[:max(0, len(idle)-limit)] {
		forget[r.Name] = true
	}
	return forget
}
