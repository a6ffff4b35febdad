package plan

import (
	"fmt"
	"slices"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/gate"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rollout"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// judged is what the gates of the stored step say, with the samples of this pass.
func (b *builder) judged() rollout.Judged {
	stored := b.app.Status.Rollout
	out := rollout.Judged{Invalid: b.invalidGates()}
	if stored.Candidate == nil || stored.Candidate.Revision != b.target.Name {
		return out
	}
	for _, spec := range rollout.Asked(b.app.Spec.Rollout.Gates, stored) {
		before := v1alpha1.GateStatus{Name: spec.Name, Verdict: v1alpha1.VerdictPending}
		if i := slices.IndexFunc(stored.Gates, func(g v1alpha1.GateStatus) bool { return g.Name == spec.Name }); i >= 0 {
			before = stored.Gates[i]
		}
		after := gate.Judge(&spec, before, b.sample(&spec), b.seen.Now)
		out.Statuses = append(out.Statuses, after)
		// What is due already was due too late for this pass: its time lies before now, but for a Job, whose end
		// is told by a watch.
		_, next := gate.Due(&spec, after, stored.StepStartedTime.Time, b.seen.Now)
		if !next.IsZero() && (out.Next.IsZero() || next.Before(out.Next)) {
			out.Next = next
		}
	}
	return out
}

// sample is what the gate's source said in this pass; nil if it was not asked.
func (b *builder) sample(spec *v1alpha1.GateSpec) *state.Sample {
	if sample, ok := b.seen.Gates[spec.Name]; ok {
		return &sample
	}
	return nil
}

// invalidGates are gates that cannot be asked until the spec changes, in words.
func (b *builder) invalidGates() []string {
	var invalid []string
	for _, spec := range b.app.Spec.Rollout.Gates {
		if sample, ok := b.seen.Gates[spec.Name]; ok && sample.Outcome == state.OutcomeInvalid {
			invalid = append(invalid, fmt.Sprintf("gate %s cannot be asked: %s", spec.Name, sample.Reason))
		}
	}
	return invalid
}

// asks says whether gates are asked of the target: not of the first revision, nor of one that was rolled out in
// full before, nor where a person has had them passed over.
func (b *builder) asks() bool {
	stored := b.app.Status.Rollout
	full := stored.FullTime != nil && stored.Candidate != nil && stored.Candidate.Revision == b.target.Name
	return stored.Stable != nil && stored.Stable.Revision != b.target.Name && !b.proven() && !full
}

// gateUnread says whether the target is the candidate only from this pass on, and has gates that the next pass
// will have looked at: a Prometheus says of PromQL whether it parses.
func (b *builder) gateUnread() bool {
	c := b.app.Status.Rollout.Candidate
	return b.asks() && (c == nil || c.Revision != b.target.Name) &&
		slices.ContainsFunc(b.app.Spec.Rollout.Gates, func(g v1alpha1.GateSpec) bool { return g.Metric != nil && g.Metric.Prometheus != nil })
}

// gateJobs are the Jobs of the gates of the decided step. One of the step before has to go first.
func (b *builder) gateJobs() []components.Object {
	var jobs []components.Object
	for _, spec := range rollout.Asked(b.app.Spec.Rollout.Gates, b.decision.Status) {
		if spec.Job != nil && !b.gateOutdated(naming.Gate(b.target.Name, spec.Name)) {
			jobs = append(jobs, components.Gate(b.in, b.target, &spec, b.decision.Status.Attempt, b.decision.Status.Step))
		}
	}
	return jobs
}

// gateOutdated says whether a Job is that of a gate, made for another step or attempt than the decided one.
func (b *builder) gateOutdated(name string) bool {
	job := b.seen.Job(name)
	return job != nil && job.Labels[naming.LabelComponent] == naming.ComponentGate &&
		components.GateOutdated(job, b.decision.Status.Attempt, b.decision.Status.Step)
}

// marks are what a revision's record remembers of it.
func (b *builder) marks() components.Marks {
	stable := b.decision.Status.Stable
	return components.Marks{Migrated: b.migrated(), Proven: b.proven() || stable != nil && stable.Revision == b.target.Name}
}
