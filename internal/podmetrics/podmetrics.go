// Package podmetrics reads the metrics of an app's pods from the pods themselves, in the Prometheus text
// format, and makes samples of gates of them: what was counted between two looks.
//
// What a pod had counted at the last look is kept in memory alone. An operator that has just started has no
// such baseline and cannot tell yesterday's errors from today's, so its first look gives no answer
// (state.OutcomeNone): it is where the first window begins.
package podmetrics

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/gate"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// Target is a pod, and where it serves its metrics.
type Target struct {
	UID       types.UID
	Name, URL string
}

// Question is one gate, asked now.
type Question struct {
	// App and Gate say whose window it is.
	App  types.NamespacedName
	Gate string
	// Since is when the step began; nothing from before it counts.
	Since time.Time
	// Metric is what is asked.
	Metric *v1alpha1.MetricGate
	// Candidate are the pods of the new revision, and Stable those that they are compared with. Stable is
	// looked at only with maxRatioToStable.
	Candidate, Stable []Target
}

// Reader reads pods' metrics and remembers what they had counted. Its zero value is ready to use.
type Reader struct {
	// Now is the clock by which windows that nobody asks for any more are forgotten. Nil is time.Now.
	Now func() time.Time

	mu      sync.Mutex
	windows map[windowKey]*window
}

type windowKey struct {
	app  types.NamespacedName
	gate string
}

// window is what the pods had counted when it began.
type window struct {
	since time.Time
	used  time.Time
	pods  map[types.UID]counts
}

// forgetAfter is longer than any period of a gate.
const forgetAfter = 2 * time.Hour

// Sample takes one sample: the window from the last sample that said something up to now.
//
// A window goes on when there were too few requests in it, so that an app with little traffic comes to an
// answer, too; each request is counted in one sample at most.
func (r *Reader) Sample(ctx context.Context, q Question) state.Sample {
	compares := q.Metric.MaxRatioToStable != ""
	targets := q.Candidate
	if compares {
		targets = slices.Concat(q.Candidate, q.Stable)
	}
	if len(q.Candidate) == 0 {
		return inconclusive("no pod of the new revision serves")
	}
	now, failed := scrape(ctx, targets, q.Metric)
	before := r.window(q)
	sample := answer(q, before, now, failed)
	if sample.Outcome == state.OutcomeGood || sample.Outcome == state.OutcomeBad {
		for uid := range now {
			delete(before, uid) // its next window begins now
		}
	}
	r.remember(q, before, now)
	return sample
}

// answer makes a sample of what the pods had counted BEFORE and what they have counted NOW.
func answer(q Question, before, now map[types.UID]counts, failed map[types.UID]error) state.Sample {
	candidate := total(q.Candidate, before, now)
	errored, err := errorsOf(q.Candidate, failed)
	switch {
	case errored == len(q.Candidate):
		return inconclusive("%v", err)
	case len(before) == 0:
		return state.Sample{Outcome: state.OutcomeNone, Reason: "the first look at the pods: what they count is held against it"}
	case candidate.pods == 0:
		return inconclusive("all pods of the new revision are newer than the last look at them")
	}
	sample := judge(q, candidate, total(q.Stable, before, now))
	if err != nil && sample.Outcome != state.OutcomeBad {
		// The pod that cannot be asked may be the one that is broken.
		return inconclusive("%d of %d pods of the new revision could not be asked: %v", errored, len(q.Candidate), err)
	}
	return sample
}

// window is a copy of the baseline of a gate; one from before the step began is dropped.
func (r *Reader) window(q Question) map[types.UID]counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	pods := map[types.UID]counts{}
	if w := r.windows[windowKey{q.App, q.Gate}]; w != nil && w.since.Equal(q.Since) {
		maps.Copy(pods, w.pods)
	}
	return pods
}

// remember stores the baseline of the next window: what is in KEPT goes on, and all others begin now. A pod
// that did not answer keeps its baseline, and its requests count when it does; one that is gone is
// forgotten with the step.
func (r *Reader) remember(q Question, kept, now map[types.UID]counts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for uid, c := range now {
		if _, goesOn := kept[uid]; !goesOn {
			kept[uid] = c
		}
	}
	clock := time.Now
	if r.Now != nil {
		clock = r.Now
	}
	if r.windows == nil {
		r.windows = map[windowKey]*window{}
	}
	for key, w := range r.windows {
		if clock().Sub(w.used) > forgetAfter {
			delete(r.windows, key)
		}
	}
	r.windows[windowKey{q.App, q.Gate}] = &window{since: q.Since, used: clock(), pods: kept}
}

// total is what all those pods counted in the window.
func total(targets []Target, before, now map[types.UID]counts) delta {
	var sum delta
	for _, target := range targets {
		began, known := before[target.UID]
		ended, answered := now[target.UID]
		if known && answered {
			sum.add(ended.since(began))
		}
	}
	return sum
}

// judge makes a sample of what was counted.
func judge(q Question, candidate, stable delta) state.Sample {
	m := q.Metric
	required := float64(10)
	if m.MinRequests != nil {
		required = float64(*m.MinRequests)
	}
	if candidate.problem != "" {
		return inconclusive("%s", candidate.problem)
	}
	if number := candidate.number(); number < required {
		words := fmt.Sprintf("%s requests, %s are needed", gate.Number(number), gate.Number(required))
		if !candidate.found {
			words += fmt.Sprintf("; the pods' metrics hold no %s", source(m))
		}
		return inconclusive("%s", words)
	}
	value, beyond := candidate.value(m)
	if beyond {
		return beyondBuckets(m, value)
	}
	if m.MaxRatioToStable == "" {
		return gate.Measure(m, value, nil)
	}
	compared, why := compare(q, stable, required)
	sample := gate.Measure(m, value, compared)
	if compared == nil && sample.Outcome == state.OutcomeInconclusive {
		sample.Reason = why
	}
	return sample
}

// beyondBuckets is the sample of a value that is greater than the greatest bucket. How great it is nobody
// knows, but that is enough to say so when the bucket itself is at the limit.
func beyondBuckets(m *v1alpha1.MetricGate, greatest float64) state.Sample {
	words := fmt.Sprintf("the value is above %s, the greatest bucket of %s", gate.Number(greatest), source(m))
	if limit, err := strconv.ParseFloat(m.Max, 64); err == nil && greatest >= limit {
		return state.Sample{Outcome: state.OutcomeBad, Value: "> " + gate.Number(greatest), Limit: m.Max, Reason: words}
	}
	return inconclusive("%s: it cannot be told how far", words)
}

// compare is the stable revision's value, or why there is none.
func compare(q Question, stable delta, required float64) (*float64, string) {
	switch {
	case len(q.Stable) == 0:
		return nil, "no pod of the stable revision serves: there is nothing to compare with"
	case stable.problem != "":
		return nil, "the stable revision: " + stable.problem
	case stable.number() < required:
		return nil, fmt.Sprintf("the stable revision had %s requests, %s are needed", gate.Number(stable.number()), gate.Number(required))
	}
	value, beyond := stable.value(q.Metric)
	if beyond {
		return nil, fmt.Sprintf("the stable revision's value is above the greatest bucket of %s, %s: it is nothing to compare with",
			source(q.Metric), gate.Number(value))
	}
	return &value, ""
}

// source is the name of the metric that is read.
func source(m *v1alpha1.MetricGate) string {
	if m.Indicator == v1alpha1.MetricLatencyQuantile {
		return orDefault(m.Latency, "http_request_duration_seconds")
	}
	return orDefault(m.Requests.Name, "http_requests_total")
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// errorsOf is how many of those pods could not be asked, and the first one's error.
func errorsOf(targets []Target, failed map[types.UID]error) (n int, first error) {
	for _, target := range targets {
		if err := failed[target.UID]; err != nil {
			n++
			if first == nil {
				first = err
			}
		}
	}
	return n, first
}

func inconclusive(format string, args ...any) state.Sample {
	return state.Sample{Outcome: state.OutcomeInconclusive, Reason: fmt.Sprintf(format, args...)}
}
