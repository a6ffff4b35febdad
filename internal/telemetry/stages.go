package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// known are the stages that are reported also while no app is at them.
var known = []string{
	v1alpha1.StageWaiting, v1alpha1.StageMigrating, v1alpha1.StageProgressing, v1alpha1.StageAwaitingApproval, v1alpha1.StageInconclusive,
	v1alpha1.StageHeld, v1alpha1.StageAborting, v1alpha1.StageStable, v1alpha1.StagePaused, v1alpha1.StageFailed,
}

// patience is how long a scrape waits for the list of apps. It comes from a cache; only one that is not
// filled yet lets it wait.
const patience = time.Second

// stages tells where all apps stand at the moment of a scrape.
type stages struct {
	options                  Options
	apps                     *prometheus.Desc
	info, step, weight, want *prometheus.Desc
}

func newStages(options Options) *stages {
	s := &stages{
		options: options,
		apps:    prometheus.NewDesc("scalableapp_apps", "ScalableApps, by the stage of their rollout.", []string{"stage"}, nil),
	}
	if options.PerApp {
		app := []string{"namespace", "name"}
		s.info = prometheus.NewDesc("scalableapp_rollout_info", "1 for each ScalableApp, with its strategy and stage (--metrics-per-app).",
			append(app, "strategy", "stage"), nil)
		s.step = prometheus.NewDesc("scalableapp_rollout_step", "The step that the app's rollout is at, 0 while there is none (--metrics-per-app).", app, nil)
		s.want = prometheus.NewDesc("scalableapp_rollout_weight_percent", "The share of the traffic that the candidate is to get (--metrics-per-app).", app, nil)
		s.weight = prometheus.NewDesc("scalableapp_rollout_actual_weight_percent", "The share of the traffic that the candidate gets (--metrics-per-app).", app, nil)
	}
	return s
}

// Describe lists the metrics.
func (s *stages) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{s.apps, s.info, s.step, s.want, s.weight} {
		if desc != nil {
			out <- desc
		}
	}
}

// Collect looks at all apps.
func (s *stages) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	apps, err := s.options.Apps(ctx)
	if err != nil {
		return // better no number than a wrong one; the other metrics still come
	}
	counts := map[string]int{}
	for _, stage := range known {
		counts[stage] = 0
	}
	for i := range apps {
		if stage := apps[i].Status.Rollout.Stage; stage != "" {
			counts[stage]++
		}
		if s.options.PerApp {
			s.collectApp(out, &apps[i])
		}
	}
	for stage, n := range counts {
		out <- prometheus.MustNewConstMetric(s.apps, prometheus.GaugeValue, float64(n), stage)
	}
}

func (s *stages) collectApp(out chan<- prometheus.Metric, app *v1alpha1.ScalableApp) {
	r := app.Status.Rollout
	gauge := func(desc *prometheus.Desc, value int32, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), append([]string{app.Namespace, app.Name}, labels...)...)
	}
	gauge(s.info, 1, strategyOf(app), r.Stage)
	if r.Candidate == nil {
		gauge(s.step, 0)
		return
	}
	gauge(s.step, r.Step)
	if r.Weight != nil {
		gauge(s.want, *r.Weight)
	}
	if r.ActualWeight != nil {
		gauge(s.weight, *r.ActualWeight)
	}
}
