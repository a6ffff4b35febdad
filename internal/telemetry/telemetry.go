package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// Apps lists all apps, for the metrics that are a state and not a count. It is asked at each scrape, so it
// has to read from a cache; an operator that does not act lists none.
type Apps func(ctx context.Context) ([]v1alpha1.ScalableApp, error)

// Options say which metrics there are.
type Options struct {
	// Apps lists all apps.
	Apps Apps
	// PerApp adds metrics with the names of apps. They are as many as the apps.
	PerApp bool
	// Now is the clock.
	Now func() time.Time
}

// Recorder counts what becomes of rollouts. A nil Recorder counts nothing.
type Recorder struct {
	options  Options
	rollouts *prometheus.CounterVec
	duration *prometheus.HistogramVec
	steps    *prometheus.CounterVec
	verdicts *prometheus.CounterVec
	stages   *stages

	mu sync.Mutex
	// began is when each rollout under way began. Those that began under an operator before this one are
	// not in it: their duration is not known.
	began map[types.NamespacedName]time.Time
}

// buckets are from a rolling update of a small app to a canary of days.
var buckets = []float64{5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 3 * 3600, 12 * 3600, 24 * 3600, 7 * 24 * 3600}

// New makes a recorder and registers its metrics.
func New(registry prometheus.Registerer, options Options) (*Recorder, error) {
	r := &Recorder{
		options: options,
		began:   map[types.NamespacedName]time.Time{},
		rollouts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scalableapp_rollouts_total", Help: "Rollouts that ended, by strategy and outcome.",
		}, []string{"strategy", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "scalableapp_rollout_duration_seconds", Help: "How long rollouts took from their beginning to their end.", Buckets: buckets,
		}, []string{"strategy", "outcome"}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scalableapp_rollout_steps_total", Help: "Steps that rollouts have come to, by strategy.",
		}, []string{"strategy"}),
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scalableapp_gate_verdicts_total", Help: "Verdicts that gates have come to, by kind of gate and verdict.",
		}, []string{"kind", "verdict"}),
	}
	r.stages = newStages(options)
	for _, c := range []prometheus.Collector{r.rollouts, r.duration, r.steps, r.verdicts, r.stages} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	// All series are there from the start, or a rate would not see the first of each.
	for _, strategy := range strategies {
		r.steps.WithLabelValues(string(strategy))
		for _, outcome := range Outcomes {
			r.rollouts.WithLabelValues(string(strategy), string(outcome))
		}
	}
	return r, nil
}

var strategies = []v1alpha1.RolloutStrategy{v1alpha1.RolloutRolling, v1alpha1.RolloutBlueGreen, v1alpha1.RolloutCanary}

// Observe counts what the change from one status of an app to the next tells. It is to be called once for
// each status that was stored.
func (r *Recorder) Observe(app *v1alpha1.ScalableApp, before, after v1alpha1.RolloutStatus) {
	if r == nil {
		return
	}
	t, strategy := Between(before, after), strategyOf(app)
	began := r.track(types.NamespacedName{Namespace: app.Namespace, Name: app.Name}, t)
	if t.Ended != "" {
		r.rollouts.WithLabelValues(strategy, string(t.Ended)).Inc()
		if !began.IsZero() {
			r.duration.WithLabelValues(strategy, string(t.Ended)).Observe(r.options.Now().Sub(began).Seconds())
		}
	}
	if t.Stepped {
		r.steps.WithLabelValues(strategy).Inc()
	}
	for _, v := range t.Verdicts {
		r.verdicts.WithLabelValues(kindOf(app, v.Gate), v.Verdict).Inc()
	}
}

// Forget ends the memory of an app that is gone.
func (r *Recorder) Forget(app types.NamespacedName) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.began, app)
}

// track remembers when rollouts began, and returns when the one began that has ended; zero if nobody knows.
func (r *Recorder) track(app types.NamespacedName, t Transition) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	began := r.began[app]
	if t.Ended != "" {
		delete(r.began, app)
	}
	// What begins and fails in one change has no duration.
	if t.Began && t.Ended != Failed && t.Ended != Aborted {
		r.began[app] = r.options.Now()
	}
	return began
}

func strategyOf(app *v1alpha1.ScalableApp) string {
	if app.Spec.Rollout.Strategy == "" {
		return string(v1alpha1.RolloutRolling)
	}
	return string(app.Spec.Rollout.Strategy)
}

// kindOf is the kind of a gate: its name is the user's own, and there may be any number of them.
func kindOf(app *v1alpha1.ScalableApp, name string) string {
	for _, gate := range app.Spec.Rollout.Gates {
		switch {
		case gate.Name != name:
		case gate.HTTP != nil:
			return "http"
		case gate.Metric != nil:
			return "metric"
		case gate.Job != nil:
			return "job"
		case gate.Webhook != nil:
			return "webhook"
		}
	}
	return "unknown" // it is no longer in the spec
}
