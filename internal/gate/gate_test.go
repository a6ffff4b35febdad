package gate

import (
	"flag"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

func init() {
	// The seed that rapid prints is enough to see a failure again; files would be left about.
	_ = flag.Set("rapid.nofailfile", "true")
	_ = flag.Set("rapid.checks", "2000")
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func httpGate() v1alpha1.GateSpec {
	return v1alpha1.GateSpec{Name: "g", HTTP: &v1alpha1.HTTPGate{Path: "/"}, PeriodSeconds: new(int32(10)),
		Samples: new(int32(2)), FailureLimit: new(int32(1)), InconclusiveLimit: new(int32(2))}
}

func metricGate(source v1alpha1.MetricSource) v1alpha1.GateSpec {
	g := httpGate()
	g.HTTP, g.Metric = nil, &v1alpha1.MetricGate{Source: source, Max: "0.01"}
	return g
}

func jobGate() v1alpha1.GateSpec {
	g := httpGate()
	g.HTTP, g.Job = nil, &v1alpha1.JobGate{Command: []string{"/smoke"}}
	return g
}

// samplesOf are samples by letters: g good, b bad, i inconclusive, n none, x invalid.
var samplesOf = map[rune]state.Outcome{'g': state.OutcomeGood, 'b': state.OutcomeBad, 'i': state.OutcomeInconclusive,
	'n': state.OutcomeNone, 'x': state.OutcomeInvalid}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name, samples                     string
		spec                              v1alpha1.GateSpec
		verdict                           string
		successes, failures, inconclusive int32
	}{
		{"no sample", "", httpGate(), v1alpha1.VerdictPending, 0, 0, 0},
		{"a good one is not enough", "g", httpGate(), v1alpha1.VerdictPending, 1, 0, 0},
		{"enough good ones", "gg", httpGate(), v1alpha1.VerdictPass, 2, 0, 0},
		{"a bad one is tolerated", "bgg", httpGate(), v1alpha1.VerdictPass, 2, 1, 0},
		{"one bad one too many", "bgb", httpGate(), v1alpha1.VerdictFail, 1, 2, 0},
		{"a failure is final", "bbggg", httpGate(), v1alpha1.VerdictFail, 0, 2, 0},
		{"what passed can still fail", "ggbb", metricGate(v1alpha1.MetricSourcePods), v1alpha1.VerdictFail, 2, 2, 0},
		{"silence within its limit", "ii", httpGate(), v1alpha1.VerdictPending, 0, 0, 2},
		{"silence beyond it", "iii", httpGate(), v1alpha1.VerdictInconclusive, 0, 0, 3},
		{"a good one ends the silence", "iiig", httpGate(), v1alpha1.VerdictPending, 1, 0, 0},
		{"a bad one ends the silence", "iiib", httpGate(), v1alpha1.VerdictPending, 0, 1, 0},
		{"silence in pieces", "iigii", httpGate(), v1alpha1.VerdictPending, 1, 0, 2},
		{"silence after a pass, within its limit", "ggii", httpGate(), v1alpha1.VerdictPass, 2, 0, 2},
		{"silence after a pass, beyond it", "ggiii", httpGate(), v1alpha1.VerdictInconclusive, 2, 0, 3},
		{"and data again", "ggiiig", httpGate(), v1alpha1.VerdictPass, 3, 0, 0},
		{"none counts for nothing", "nnnnnng", httpGate(), v1alpha1.VerdictPending, 1, 0, 0},
		{"none does not end silence", "iini", httpGate(), v1alpha1.VerdictInconclusive, 0, 0, 3},
		{"invalid waits for nothing", "x", httpGate(), v1alpha1.VerdictInconclusive, 0, 0, 3},
		{"a job is one sample", "g", jobGate(), v1alpha1.VerdictPass, 1, 0, 0},
		{"a job fails once, whatever is tolerated", "b", jobGate(), v1alpha1.VerdictFail, 0, 1, 0},
		{"defaults", "ggiiiiii", v1alpha1.GateSpec{Name: "g", HTTP: &v1alpha1.HTTPGate{}}, v1alpha1.VerdictPending, 2, 0, 6},
		{"default samples", "ggg", v1alpha1.GateSpec{Name: "g", HTTP: &v1alpha1.HTTPGate{}}, v1alpha1.VerdictPass, 3, 0, 0},
		{"default failures", "b", v1alpha1.GateSpec{Name: "g", HTTP: &v1alpha1.HTTPGate{}}, v1alpha1.VerdictFail, 0, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Judge(&c.spec, v1alpha1.GateStatus{}, nil, start)
			for i, letter := range c.samples {
				got = Judge(&c.spec, got, &state.Sample{Outcome: samplesOf[letter]}, start.Add(time.Duration(i)*time.Second))
			}
			got.SampledTime = nil
			want := v1alpha1.GateStatus{Name: "g", Verdict: c.verdict, Successes: c.successes, Failures: c.failures, Inconclusives: c.inconclusive}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestJudgeKeepsWhatTheSampleSaid(t *testing.T) {
	spec, now := metricGate(v1alpha1.MetricSourcePods), start.Add(300*time.Millisecond)
	sample := &state.Sample{Outcome: state.OutcomeBad, Value: "0.02", Limit: "0.01", Reason: "0.02 is above the limit of 0.01"}
	want := v1alpha1.GateStatus{Name: "g", Verdict: v1alpha1.VerdictPending, Value: "0.02", Limit: "0.01", Reason: sample.Reason,
		Failures: 1, SampledTime: &metav1.Time{Time: start.Add(time.Second)}}
	got := Judge(&spec, v1alpha1.GateStatus{}, sample, now)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// The next one without a word leaves the words, and takes only the time.
	want.SampledTime = &metav1.Time{Time: start.Add(20 * time.Second)}
	if diff := cmp.Diff(want, Judge(&spec, got, &state.Sample{Outcome: state.OutcomeNone}, start.Add(20*time.Second))); diff != "" {
		t.Error(diff)
	}
	// A Job that still runs must not have the status written.
	job := jobGate()
	if got := Judge(&job, v1alpha1.GateStatus{}, &state.Sample{Outcome: state.OutcomeNone}, now); got.SampledTime != nil {
		t.Errorf("a Job that runs changed the status: %+v", got)
	}
}

func TestDue(t *testing.T) {
	sampled := func(verdict string, after time.Duration) v1alpha1.GateStatus {
		return v1alpha1.GateStatus{Name: "g", Verdict: verdict, SampledTime: &metav1.Time{Time: start.Add(after)}}
	}
	withTraffic := func(g v1alpha1.GateSpec) v1alpha1.GateSpec { g.When = v1alpha1.GateWithTraffic; return g }
	const never = -1
	for _, c := range []struct {
		name      string
		spec      v1alpha1.GateSpec
		status    v1alpha1.GateStatus
		now, next time.Duration
		due       bool
	}{
		{"http at once", httpGate(), v1alpha1.GateStatus{}, 0, 0, true},
		{"pods at once: their window begins", metricGate(v1alpha1.MetricSourcePods), v1alpha1.GateStatus{}, 0, 0, true},
		{"Prometheus a period later", metricGate(v1alpha1.MetricSourcePrometheus), v1alpha1.GateStatus{}, 0, 10 * time.Second, false},
		{"Prometheus then", metricGate(v1alpha1.MetricSourcePrometheus), v1alpha1.GateStatus{}, 10 * time.Second, 10 * time.Second, true},
		{"not yet again", httpGate(), sampled(v1alpha1.VerdictPending, 0), 9 * time.Second, 10 * time.Second, false},
		{"again", httpGate(), sampled(v1alpha1.VerdictPending, 0), 11 * time.Second, 10 * time.Second, true},
		{"inconclusive goes on", httpGate(), sampled(v1alpha1.VerdictInconclusive, 0), 11 * time.Second, 10 * time.Second, true},
		{"a sample of a step before does not count", httpGate(), sampled(v1alpha1.VerdictPending, -time.Second), time.Second, 0, true},
		{"passed before traffic", httpGate(), sampled(v1alpha1.VerdictPass, 0), time.Hour, never, false},
		{"passed with traffic goes on", withTraffic(httpGate()), sampled(v1alpha1.VerdictPass, 0), time.Hour, 10 * time.Second, true},
		{"failed", withTraffic(httpGate()), sampled(v1alpha1.VerdictFail, 0), time.Hour, never, false},
		{"a job is looked at in each pass", jobGate(), v1alpha1.GateStatus{}, time.Minute, 70 * time.Second, true},
		{"a job has passed", withTraffic(jobGate()), sampled(v1alpha1.VerdictPass, 0), time.Hour, never, false},
		{"a job without an image, again", jobGate(), sampled(v1alpha1.VerdictPending, 0), 5 * time.Second, 10 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			due, next := Due(&c.spec, c.status, start, start.Add(c.now))
			want := start.Add(c.next)
			if c.next == never {
				want = time.Time{}
			}
			if due != c.due || !next.Equal(want) {
				t.Errorf("due %v at %v, want %v at %v", due, next, c.due, want)
			}
		})
	}
}

func TestOfStep(t *testing.T) {
	job, webhook, metric, late := jobGate(), httpGate(), metricGate(v1alpha1.MetricSourcePods), httpGate()
	webhook.HTTP, webhook.Webhook = nil, &v1alpha1.WebhookGate{}
	late.When = v1alpha1.GateWithTraffic
	job.Name, webhook.Name, metric.Name, late.Name = "job", "webhook", "metric", "late"
	names := func(when v1alpha1.GateTime) (names []string) {
		for _, g := range OfStep([]v1alpha1.GateSpec{httpGate(), webhook, job, metric, late}, when) {
			names = append(names, g.Name)
		}
		return names
	}
	if diff := cmp.Diff([]string{"g", "job"}, names(v1alpha1.GateBeforeTraffic)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"webhook", "metric", "late"}, names(v1alpha1.GateWithTraffic)); diff != "" {
		t.Error(diff)
	}
}

func TestAlone(t *testing.T) {
	ratio, both, limit := metricGate(v1alpha1.MetricSourcePods), metricGate(v1alpha1.MetricSourcePods), metricGate(v1alpha1.MetricSourcePods)
	ratio.Metric.Max, ratio.Metric.MaxRatioToStable, both.Metric.MaxRatioToStable = "", "2", "2"
	specs := []v1alpha1.GateSpec{ratio, both, httpGate()}
	if diff := cmp.Diff([]v1alpha1.GateSpec{limit, httpGate()}, Alone(specs)); diff != "" {
		t.Error(diff)
	}
	if specs[1].Metric.MaxRatioToStable != "2" {
		t.Error("the spec itself was changed")
	}
}

// What must hold whatever the source says, in whatever order and whenever passes are made.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := rapid.SampledFrom([]v1alpha1.GateSpec{
			httpGate(), jobGate(), metricGate(v1alpha1.MetricSourcePods), metricGate(v1alpha1.MetricSourcePrometheus),
		}).Draw(t, "spec")
		spec.When = rapid.SampledFrom([]v1alpha1.GateTime{"", v1alpha1.GateWithTraffic}).Draw(t, "when")
		spec.Samples = new(rapid.Int32Range(1, 5).Draw(t, "samples"))
		spec.FailureLimit = new(rapid.Int32Range(0, 3).Draw(t, "failureLimit"))
		spec.InconclusiveLimit = new(rapid.Int32Range(0, 3).Draw(t, "inconclusiveLimit"))
		spec.PeriodSeconds = new(rapid.Int32Range(1, 20).Draw(t, "period"))

		var status v1alpha1.GateStatus
		var good, bad, silent int32
		var lastAsked time.Time
		now := start
		for range rapid.IntRange(1, 60).Draw(t, "passes") {
			now = now.Add(time.Duration(rapid.IntRange(1, 8000).Draw(t, "ms")) * time.Millisecond)
			due, next := Due(&spec, status, start, now)
			if !due {
				if !next.IsZero() && !next.After(now) {
					t.Fatalf("not due, but the next sample is to be taken at once: %v", next)
				}
				continue
			}
			if spec.Job == nil && !lastAsked.IsZero() && now.Sub(lastAsked) < Period(&spec) {
				t.Fatalf("asked again after %v", now.Sub(lastAsked))
			}
			sample := draw(t, &spec)
			switch sample.Outcome {
			case state.OutcomeGood:
				good, silent = good+1, 0
			case state.OutcomeBad:
				bad, silent = bad+1, 0
			case state.OutcomeInconclusive:
				silent++
			}
			lastAsked = now
			status = Judge(&spec, status, &sample, now)
			stored := status.DeepCopy() // as it reads after it was stored
			if stored.SampledTime != nil {
				stored.SampledTime = new(stored.SampledTime.Rfc3339Copy())
			}
			status = *stored
			check(t, &spec, status, counts{good, bad, silent})
			if status.Verdict != v1alpha1.VerdictFail {
				continue
			}
			again := Judge(&spec, status, new(draw(t, &spec)), now.Add(time.Hour)) // a pass that lagged took one more
			if diff := cmp.Diff(status, again); diff != "" {
				t.Fatalf("a failure was changed: %s", diff)
			}
		}
	})
}

// draw is a sample of the gate: of a metric one that was measured, of values that are numbers or none.
func draw(t *rapid.T, spec *v1alpha1.GateSpec) state.Sample {
	if spec.Metric == nil || rapid.Bool().Draw(t, "silent") {
		return state.Sample{Outcome: rapid.SampledFrom([]state.Outcome{
			state.OutcomeGood, state.OutcomeBad, state.OutcomeInconclusive, state.OutcomeNone}).Draw(t, "outcome")}
	}
	value := rapid.SampledFrom([]float64{0, 0.005, 0.01, 0.02, math.NaN(), math.Inf(1), math.Inf(-1)}).Draw(t, "value")
	sample := Measure(spec.Metric, value, nil)
	if !finite(value) && sample.Outcome != state.OutcomeInconclusive {
		t.Fatalf("%v is %+v", value, sample)
	}
	return sample
}

// counts are the samples that were seen; silent ones only those in a row.
type counts struct{ good, bad, silent int32 }

func check(t *rapid.T, spec *v1alpha1.GateSpec, s v1alpha1.GateStatus, seen counts) {
	good, bad, silent := seen.good, seen.bad, seen.silent
	required, tolerated := *spec.Samples, *spec.FailureLimit
	if spec.Job != nil {
		required, tolerated = 1, 0
	}
	switch s.Verdict {
	case v1alpha1.VerdictPass:
		if good < required || bad > tolerated || silent > *spec.InconclusiveLimit {
			t.Fatalf("passed with %d good, %d bad, %d silent in a row", good, bad, silent)
		}
	case v1alpha1.VerdictFail:
		if bad <= tolerated {
			t.Fatalf("failed with %d bad", bad)
		}
	case v1alpha1.VerdictInconclusive:
		if silent <= *spec.InconclusiveLimit {
			t.Fatalf("inconclusive with %d silent in a row", silent)
		}
	case v1alpha1.VerdictPending:
		if good >= required {
			t.Fatalf("pending with %d good", good)
		}
	default:
		t.Fatalf("verdict %q", s.Verdict)
	}
}
