// Package gate judges: it folds the samples of a gate, one after the other, into a verdict, and says when
// the next sample is to be taken.
//
// A verdict follows from three numbers that are stored in status: good samples, bad samples, and samples
// in a row that said nothing. What said nothing never counts as good.
package gate

import (
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// The defaults of the schema, for specs that no API server has completed.
const (
	defaultPeriod            = 10
	defaultSamples           = 3
	defaultInconclusiveLimit = 6
)

// OfStep are the gates that are asked at that time, in the order of the spec.
func OfStep(specs []v1alpha1.GateSpec, when v1alpha1.GateTime) []v1alpha1.GateSpec {
	var out []v1alpha1.GateSpec
	for _, spec := range specs {
		if spec.Time() == when {
			out = append(out, spec)
		}
	}
	return out
}

// Alone are the gates that can be asked while the stable revision has no traffic, as they are to be asked
// then: what compares with it is held against metric.max alone, and left out if it has none. Without this
// the last step of a canary, which has all the traffic, could never be passed.
func Alone(specs []v1alpha1.GateSpec) []v1alpha1.GateSpec {
	var out []v1alpha1.GateSpec
	for _, spec := range specs {
		if spec.Metric != nil && spec.Metric.MaxRatioToStable != "" {
			if spec.Metric.Max == "" {
				continue
			}
			spec.Metric = spec.Metric.DeepCopy()
			spec.Metric.MaxRatioToStable = ""
		}
		out = append(out, spec)
	}
	return out
}

// Judge folds one sample into the status of a gate. Without a sample it only names the gate and its
// verdict.
//
// Fail is final: it takes the candidate back, and a good sample later must not make as if it had not
// been. Every other verdict follows from the counts. So a gate that has passed and is asked further while
// its step lasts can still fail, and is Inconclusive when its source falls silent; good samples end that.
func Judge(spec *v1alpha1.GateSpec, before v1alpha1.GateStatus, sample *state.Sample, now time.Time) v1alpha1.GateStatus {
	after := *before.DeepCopy()
	after.Name = spec.Name
	if after.Verdict == v1alpha1.VerdictFail {
		return after
	}
	if sample != nil {
		count(spec, &after, sample, now)
	}
	after.Verdict = verdict(spec, &after)
	return after
}

func count(spec *v1alpha1.GateSpec, s *v1alpha1.GateStatus, sample *state.Sample, now time.Time) {
	switch sample.Outcome {
	case state.OutcomeNone:
		// It counts for nothing. Only its time is kept, so that the source is not asked again at once; a
		// Job is looked at, not asked, and its status must not be written in each pass.
		if spec.Job == nil {
			s.SampledTime = stamp(now)
		}
		return
	case state.OutcomeGood:
		s.Successes, s.Inconclusives = s.Successes+1, 0
	case state.OutcomeBad:
		s.Failures, s.Inconclusives = s.Failures+1, 0
	case state.OutcomeInvalid:
		// No answer can come until the spec changes, so nothing is waited for.
		s.Inconclusives = max(s.Inconclusives, inconclusiveLimit(spec)) + 1
	default:
		s.Inconclusives++
	}
	s.Inconclusives = min(s.Inconclusives, math.MaxInt32-1) // a rollout may be left waiting for years
	s.Value, s.Limit, s.Reason = sample.Value, sample.Limit, sample.Reason
	s.SampledTime = stamp(now)
}

func verdict(spec *v1alpha1.GateSpec, s *v1alpha1.GateStatus) string {
	switch {
	case s.Failures > failureLimit(spec):
		return v1alpha1.VerdictFail
	case s.Inconclusives > inconclusiveLimit(spec):
		return v1alpha1.VerdictInconclusive
	case s.Successes >= samples(spec):
		return v1alpha1.VerdictPass
	default:
		return v1alpha1.VerdictPending
	}
}

// Due says whether a sample is to be taken now, and when the next one is: a time that is not after now
// means at once, and the zero time means never. STARTED is when the step began.
//
// The first sample is taken at once. A Prometheus is asked one period later, because before that there is
// nothing to be seen of the weight. The pods' own metrics are read at once, too: that first look gives
// no answer (state.OutcomeNone), but from it the window of the first sample counts.
//
// A Job is looked at in every pass, because it costs nothing and its end wakes a pass by itself; the next
// look is one period away only in case that the word of its end gets lost.
func Due(spec *v1alpha1.GateSpec, status v1alpha1.GateStatus, started, now time.Time) (due bool, next time.Time) {
	if over(spec, status.Verdict) {
		return false, time.Time{}
	}
	first := started
	if spec.Metric != nil && spec.Metric.Source == v1alpha1.MetricSourcePrometheus {
		first = started.Add(Period(spec))
	}
	next = first
	if status.SampledTime != nil && !status.SampledTime.Time.Before(started) {
		next = status.SampledTime.Add(Period(spec))
	}
	due = !now.Before(next)
	if due && spec.Job != nil {
		next = now.Add(Period(spec))
	}
	return due, next
}

// over says whether nothing more is to be asked. A gate that is asked before traffic is asked until it has
// passed, and a Job answers once.
func over(spec *v1alpha1.GateSpec, verdict string) bool {
	switch verdict {
	case v1alpha1.VerdictFail:
		return true
	case v1alpha1.VerdictPass:
		return spec.Job != nil || spec.Time() == v1alpha1.GateBeforeTraffic
	default:
		return false
	}
}

// Period is the time between two samples.
func Period(spec *v1alpha1.GateSpec) time.Duration {
	return time.Duration(or(spec.PeriodSeconds, defaultPeriod)) * time.Second
}

func samples(spec *v1alpha1.GateSpec) int32 {
	if spec.Job != nil {
		return 1
	}
	return max(1, or(spec.Samples, defaultSamples))
}

// failureLimit of a Job is 0: it runs once, so that no second run could make up for the first.
func failureLimit(spec *v1alpha1.GateSpec) int32 {
	if spec.Job != nil {
		return 0
	}
	return or(spec.FailureLimit, 0)
}

func inconclusiveLimit(spec *v1alpha1.GateSpec) int32 {
	return or(spec.InconclusiveLimit, defaultInconclusiveLimit)
}

func or(value *int32, otherwise int32) int32 {
	if value == nil {
		return otherwise
	}
	return *value
}

// stamp is a time as it is stored: in whole seconds. It is rounded up, so that the time between two
// samples is never less than the period.
func stamp(now time.Time) *metav1.Time {
	whole := now.Truncate(time.Second)
	if whole.Before(now) {
		whole = whole.Add(time.Second)
	}
	return &metav1.Time{Time: whole}
}
