package podmetrics

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// pod is a program that counts its requests and serves its metrics, as the sample app does.
type pod struct {
	Target
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	handler  atomic.Pointer[http.Handler]
}

func newPod(t *testing.T, name string) *pod {
	p := &pod{}
	p.restart()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*p.handler.Load()).ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	p.Target = Target{UID: types.UID("uid-" + name), Name: name, URL: server.URL + "/metrics"}
	return p
}

// restart is a container that starts anew: it counts from 0.
func (p *pod) restart() {
	registry := prometheus.NewRegistry()
	labels := []string{"route", "code"}
	p.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total"}, labels)
	p.duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Buckets: []float64{.1, .2, .4, .8}}, labels)
	registry.MustRegister(p.requests, p.duration)
	p.serve(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
}

func (p *pod) serve(handler http.Handler) { p.handler.Store(&handler) }

func (p *pod) serveText(text string) {
	p.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }))
}

// answers counts n requests with that code and that time.
func (p *pod) answers(n int, code string, seconds float64) {
	for range n {
		p.requests.WithLabelValues("/", code).Inc()
		p.duration.WithLabelValues("/", code).Observe(seconds)
	}
}

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func errorRatio() *v1alpha1.MetricGate {
	return &v1alpha1.MetricGate{Indicator: v1alpha1.MetricErrorRatio, Max: "0.05", MinRequests: new(int32(10))}
}

func latency(limit string) *v1alpha1.MetricGate {
	return &v1alpha1.MetricGate{Indicator: v1alpha1.MetricLatencyQuantile, Quantile: "0.9", Max: limit, MinRequests: new(int32(10))}
}

func question(m *v1alpha1.MetricGate, pods ...*pod) Question {
	q := Question{App: types.NamespacedName{Namespace: "prod", Name: "shop"}, Gate: "errors", Since: began, Metric: m}
	for _, p := range pods {
		q.Candidate = append(q.Candidate, p.Target)
	}
	return q
}

func against(q Question, pods ...*pod) Question {
	for _, p := range pods {
		q.Stable = append(q.Stable, p.Target)
	}
	return q
}

func expect(t *testing.T, what string, got, want state.Sample) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s:\n%s", what, diff)
	}
}

var first = state.Sample{Outcome: state.OutcomeNone, Reason: "the first look at the pods: what they count is held against it"}

func TestErrorRatioOverWindows(t *testing.T) {
	one, two := newPod(t, "one"), newPod(t, "two")
	r, q := &Reader{}, question(errorRatio(), one, two)

	one.answers(1000, "500", .1) // before the step
	expect(t, "first look", r.Sample(t.Context(), q), first)

	one.answers(30, "200", .1)
	two.answers(69, "200", .1)
	two.answers(1, "503", .1) // a series that was not there before
	expect(t, "one error in a hundred", r.Sample(t.Context(), q),
		state.Sample{Outcome: state.OutcomeGood, Value: "0.01", Limit: "0.05"})

	expect(t, "nothing since", r.Sample(t.Context(), q), state.Sample{Reason: "0 requests, 10 are needed"})
	one.answers(3, "200", .1)
	expect(t, "too few", r.Sample(t.Context(), q), state.Sample{Reason: "3 requests, 10 are needed"})
	one.answers(3, "502", .1)
	one.answers(6, "404", .1)
	expect(t, "the window went on until there were enough", r.Sample(t.Context(), q),
		state.Sample{Outcome: state.OutcomeBad, Value: "0.25", Limit: "0.05", Reason: "0.25 is above the limit of 0.05"})

	one.answers(20, "200", .1)
	expect(t, "errors of a window before do not count", r.Sample(t.Context(), q),
		state.Sample{Outcome: state.OutcomeGood, Value: "0", Limit: "0.05"})
}

func TestBaselines(t *testing.T) {
	one := newPod(t, "one")
	r, q := &Reader{}, question(errorRatio(), one)
	one.answers(20, "500", .1)
	expect(t, "first look", r.Sample(t.Context(), q), first)

	one.answers(20, "500", .1)
	next := q
	next.Since = began.Add(time.Minute)
	expect(t, "another step begins anew", r.Sample(t.Context(), next), first)
	other := next
	other.Gate = "other"
	expect(t, "another gate has a window of its own", r.Sample(t.Context(), other), first)
	expect(t, "an operator that was started anew", new(Reader).Sample(t.Context(), next), first)

	one.restart()
	one.answers(15, "200", .1)
	expect(t, "a container that was started anew counts from 0", r.Sample(t.Context(), next),
		state.Sample{Outcome: state.OutcomeGood, Value: "0", Limit: "0.05"})

	two := newPod(t, "two")
	two.answers(50, "500", .1)
	expect(t, "all pods are new", r.Sample(t.Context(), withPods(next, two)),
		state.Sample{Reason: "all pods of the new revision are newer than the last look at them"})
	two.answers(10, "200", .1)
	expect(t, "from then on they count", r.Sample(t.Context(), withPods(next, two)),
		state.Sample{Outcome: state.OutcomeGood, Value: "0", Limit: "0.05"})
	expect(t, "no pods", r.Sample(t.Context(), withPods(next)), state.Sample{Reason: "no pod of the new revision serves"})
}

func withPods(q Question, pods ...*pod) Question {
	return question(q.Metric, pods...).since(q.Since)
}

func (q Question) since(t time.Time) Question { q.Since = t; return q }

func TestWindowsAreForgotten(t *testing.T) {
	one, now := newPod(t, "one"), began
	r := &Reader{Now: func() time.Time { return now }}
	r.Sample(t.Context(), question(errorRatio(), one))
	now = now.Add(forgetAfter + time.Second)
	other := question(errorRatio(), one)
	other.App.Name = "other"
	r.Sample(t.Context(), other)
	if len(r.windows) != 1 {
		t.Errorf("%d windows are kept, want that of the app that is still asked about", len(r.windows))
	}
}

func TestLatencyQuantile(t *testing.T) {
	for name, c := range map[string]struct {
		limit string
		count func(p *pod)
		want  state.Sample
	}{
		// 100 requests up to 0.1, so the 90th lies at 90 % of the first bucket.
		"within the first bucket": {limit: "0.1", count: func(p *pod) { p.answers(100, "200", .05) },
			want: state.Sample{Outcome: state.OutcomeGood, Value: "0.09", Limit: "0.1"}},
		// 80 up to 0.1, 20 up to 0.4: rank 90 is the middle of the bucket from 0.2 to 0.4.
		"within a later one": {limit: "0.25", count: func(p *pod) { p.answers(80, "200", .1); p.answers(20, "500", .3) },
			want: state.Sample{Outcome: state.OutcomeBad, Value: "0.3", Limit: "0.25", Reason: "0.3 is above the limit of 0.25"}},
		"beyond all buckets, and so beyond the limit": {limit: "0.8", count: func(p *pod) { p.answers(100, "200", 3) },
			want: state.Sample{Outcome: state.OutcomeBad, Value: "> 0.8", Limit: "0.8",
				Reason: "the value is above 0.8, the greatest bucket of http_request_duration_seconds"}},
		"beyond all buckets, which tells nothing of the limit": {limit: "2", count: func(p *pod) { p.answers(100, "200", 3) },
			want: state.Sample{Reason: "the value is above 0.8, the greatest bucket of http_request_duration_seconds: it cannot be told how far"}},
		"too few": {limit: "2", count: func(p *pod) { p.answers(9, "200", 3) }, want: state.Sample{Reason: "9 requests, 10 are needed"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t, "one")
			r, q := &Reader{}, question(latency(c.limit), p)
			p.answers(1000, "200", .7)
			expect(t, "first look", r.Sample(t.Context(), q), first)
			c.count(p)
			expect(t, "window", r.Sample(t.Context(), q), c.want)
		})
	}
}

func TestHistogramOfARestartedContainer(t *testing.T) {
	p := newPod(t, "one")
	r, q := &Reader{}, question(latency("0.5"), p)
	p.answers(50, "200", .05)
	expect(t, "first look", r.Sample(t.Context(), q), first)
	p.restart()
	p.answers(40, "200", .05) // more than before all in all, but fewer in the first bucket
	p.answers(60, "200", .3)
	expect(t, "window", r.Sample(t.Context(), q), state.Sample{Outcome: state.OutcomeGood, Value: "0.3667", Limit: "0.5"})
}

func TestAgainstStable(t *testing.T) {
	m := errorRatio()
	m.Max, m.MaxRatioToStable = "", "2"
	for name, c := range map[string]struct {
		max           string
		errors        int
		stable, wrong int
		noStable      bool
		want          state.Sample
	}{
		"good": {errors: 15, stable: 90, wrong: 10,
			want: state.Sample{Outcome: state.OutcomeGood, Value: "0.15", Limit: "0.2 (2 × 0.1 of the stable revision)"}},
		"bad": {errors: 25, stable: 90, wrong: 10,
			want: state.Sample{Outcome: state.OutcomeBad, Value: "0.25", Limit: "0.2 (2 × 0.1 of the stable revision)",
				Reason: "0.25 is above the limit of 0.2 (2 × 0.1 of the stable revision)"}},
		"stable without data":              {errors: 1, want: state.Sample{Reason: "the stable revision had 0 requests, 10 are needed"}},
		"stable without pods":              {errors: 1, noStable: true, want: state.Sample{Reason: "no pod of the stable revision serves: there is nothing to compare with"}},
		"stable without errors":            {errors: 1, stable: 50, want: state.Sample{Outcome: state.OutcomeBad, Value: "0.01", Limit: "0 (2 × 0 of the stable revision)", Reason: "0.01 is above the limit of 0 (2 × 0 of the stable revision)"}},
		"stable without errors, and a max": {max: "0.05", errors: 1, stable: 50, want: state.Sample{Outcome: state.OutcomeGood, Value: "0.01", Limit: "0.05"}},
	} {
		t.Run(name, func(t *testing.T) {
			candidate, stable := newPod(t, "candidate"), newPod(t, "stable")
			gate := m.DeepCopy()
			gate.Max = c.max
			r, q := &Reader{}, question(gate, candidate)
			if !c.noStable {
				q = against(q, stable)
			}
			stable.answers(500, "500", .1) // before the window
			expect(t, "first look", r.Sample(t.Context(), q), first)
			candidate.answers(100-c.errors, "200", .1)
			candidate.answers(c.errors, "500", .1)
			stable.answers(c.stable, "200", .1)
			stable.answers(c.wrong, "500", .1)
			expect(t, "window", r.Sample(t.Context(), q), c.want)
		})
	}
}

// What cannot be read, or is not what the gate needs, is never good.
func TestPodsThatTellNothing(t *testing.T) {
	for name, c := range map[string]struct {
		metric *v1alpha1.MetricGate
		text   string
		status int
		want   string
	}{
		"no such metric": {text: "up 1\n", want: "0 requests, 10 are needed; the pods' metrics hold no http_requests_total"},
		"no label": {text: "http_requests_total 50\n",
			want: `http_requests_total has a series whose label code is "": that is no HTTP status (metric.requests.codeLabel names the label)`},
		"no status": {text: "http_requests_total{code=\"ERROR\"} 50\n",
			want: `http_requests_total has a series whose label code is "ERROR": that is no HTTP status (metric.requests.codeLabel names the label)`},
		"NaN":          {text: "http_requests_total{code=\"200\"} NaN\n", want: "http_requests_total is NaN"},
		"a gauge":      {text: "# TYPE http_requests_total gauge\nhttp_requests_total{code=\"200\"} 50\n", want: "http_requests_total is a gauge; a counter is needed"},
		"a summary":    {metric: latency("1"), text: "# TYPE http_request_duration_seconds summary\nhttp_request_duration_seconds_count 50\n", want: "http_request_duration_seconds is a summary; a histogram is needed"},
		"no buckets":   {metric: latency("1"), text: "# TYPE http_request_duration_seconds histogram\nhttp_request_duration_seconds_count 50\n", want: "http_request_duration_seconds has no buckets"},
		"a page":       {text: "<html>hello</html>\n", want: "pod one: its metrics cannot be read: text format parsing error in line 1: invalid metric name"},
		"not found":    {status: http.StatusNotFound, want: "pod one: its metrics at /metrics are answered with 404 Not Found"},
		"a redirect":   {status: http.StatusFound, want: "pod one: its metrics at /metrics are answered with 302 Found"},
		"far too much": {text: strings.Repeat("# HELP x y\n", 2<<20), want: "pod one: its metrics are larger than 16 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t, "one")
			m := c.metric
			if m == nil {
				m = errorRatio()
			}
			r, q := &Reader{}, question(m, p)
			expect(t, "first look", r.Sample(t.Context(), q), first)
			if c.status != 0 {
				p.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(c.status)
				}))
			} else {
				p.serveText(c.text)
			}
			expect(t, "window", r.Sample(t.Context(), q), state.Sample{Reason: c.want})
		})
	}
}

func TestSomePodsCannotBeAsked(t *testing.T) {
	one, two := newPod(t, "one"), newPod(t, "two")
	r, q := &Reader{}, question(errorRatio(), one, two)
	expect(t, "first look", r.Sample(t.Context(), q), first)
	one.answers(50, "200", .1)
	two.answers(50, "500", .1)
	works := two.handler.Load()
	two.serve(http.NotFoundHandler())
	expect(t, "the pod that cannot be asked may be the broken one", r.Sample(t.Context(), q),
		state.Sample{Reason: "1 of 2 pods of the new revision could not be asked: pod two: its metrics at /metrics are answered with 404 Not Found"})
	two.handler.Store(works)
	expect(t, "what it counted counts when it answers again", r.Sample(t.Context(), q),
		state.Sample{Outcome: state.OutcomeBad, Value: "0.5", Limit: "0.05", Reason: "0.5 is above the limit of 0.05"})

	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	q.Candidate = []Target{{UID: "gone", Name: "gone", URL: gone.URL + "/metrics"}}
	if got := r.Sample(t.Context(), q); got.Outcome != state.OutcomeInconclusive || !strings.Contains(got.Reason, "connection refused") {
		t.Errorf("nobody listens: %+v", got)
	}
}
