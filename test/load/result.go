package load

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Result is what became of the requests of a run, or of a part of it.
type Result struct {
	Began   time.Time
	Samples []Sample
}

// Sent is the number of requests.
func (r *Result) Sent() int { return len(r.Samples) }

// Failures are the requests that failed, in the order in which they were due.
func (r *Result) Failures() []Sample {
	var failures []Sample
	for _, s := range r.Samples {
		if s.Err != nil {
			failures = append(failures, s)
		}
	}
	slices.SortFunc(failures, func(a, b Sample) int { return a.Due.Compare(b.Due) })
	return failures
}

// Failed is the number of requests that failed.
func (r *Result) Failed() int { return len(r.Failures()) }

// Between is the part of the requests that were due from one time until before another.
func (r *Result) Between(from, to time.Time) *Result {
	part := &Result{Began: from}
	for _, s := range r.Samples {
		if !s.Due.Before(from) && s.Due.Before(to) {
			part.Samples = append(part.Samples, s)
		}
	}
	return part
}

// Of is the part of the requests of one step.
func (r *Result) Of(step string) *Result {
	part := &Result{Began: r.Began}
	for _, s := range r.Samples {
		if s.Step == step {
			part.Samples = append(part.Samples, s)
		}
	}
	return part
}

// Quantile is the latency that the share q of the requests did not exceed: exactly, since all samples
// are kept. Failed requests count too, with the time that their senders waited in vain.
func (r *Result) Quantile(q float64) time.Duration {
	if len(r.Samples) == 0 {
		return 0
	}
	latencies := make([]time.Duration, len(r.Samples))
	for i, s := range r.Samples {
		latencies[i] = s.Latency
	}
	slices.Sort(latencies)
	rank := int(math.Ceil(q*float64(len(latencies)))) - 1
	return latencies[min(max(rank, 0), len(latencies)-1)]
}

// String is the result in one line.
func (r *Result) String() string {
	ms := func(q float64) string { return fmt.Sprintf("%.1f", float64(r.Quantile(q))/float64(time.Millisecond)) }
	return fmt.Sprintf("%d requests, %d failed, latency in ms: p50 %s  p90 %s  p99 %s  max %s",
		r.Sent(), r.Failed(), ms(0.5), ms(0.9), ms(0.99), ms(1))
}

// Why lists the first failures with the time since the start of the run, for a person who has to find
// out what happened then.
func (r *Result) Why(most int) string {
	var b strings.Builder
	failures := r.Failures()
	for _, s := range failures[:min(most, len(failures))] {
		fmt.Fprintf(&b, "%s (%7.3fs) %s after %s: status %d: %v\n", s.Due.Format("15:04:05.000"),
			s.Due.Sub(r.Began).Seconds(), s.Step, s.Latency.Round(time.Millisecond), s.Status, s.Err)
	}
	if more := len(failures) - most; more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	return b.String()
}
