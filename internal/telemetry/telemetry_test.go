package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/apimachinery/pkg/types"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// world is a recorder with a clock, and the apps that it sees.
type world struct {
	*Recorder
	registry *prometheus.Registry
	now      time.Time
	apps     []v1alpha1.ScalableApp
	err      error
}

func newWorld(t *testing.T, perApp bool) *world {
	t.Helper()
	w := &world{registry: prometheus.NewPedanticRegistry(), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	var err error
	w.Recorder, err = New(w.registry, Options{
		Apps:   func(context.Context) ([]v1alpha1.ScalableApp, error) { return w.apps, w.err },
		PerApp: perApp, Now: func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// series are all series that are not 0, as NAME{LABELS} VALUE; of a histogram its count and sum.
func (w *world) series(t *testing.T) []string {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, family := range families {
		for _, metric := range family.Metric {
			if text := value(metric); text != "0" {
				out = append(out, fmt.Sprintf("%s{%s} %s", family.GetName(), labels(metric), text))
			}
		}
	}
	return out
}

func labels(metric *dto.Metric) string {
	var pairs []string
	for _, pair := range metric.Label {
		pairs = append(pairs, pair.GetName()+"="+pair.GetValue())
	}
	return strings.Join(pairs, ",")
}

func value(metric *dto.Metric) string {
	switch {
	case metric.Histogram != nil:
		return fmt.Sprintf("%d in %gs", metric.Histogram.GetSampleCount(), metric.Histogram.GetSampleSum())
	case metric.Counter != nil:
		return fmt.Sprint(metric.Counter.GetValue())
	default:
		return fmt.Sprint(metric.Gauge.GetValue())
	}
}

func app(name string, strategy v1alpha1.RolloutStrategy) *v1alpha1.ScalableApp {
	a := &v1alpha1.ScalableApp{}
	a.Namespace, a.Name, a.Spec.Rollout.Strategy = "eu", name, strategy
	a.Spec.Rollout.Gates = []v1alpha1.GateSpec{
		{Name: "up", HTTP: &v1alpha1.HTTPGate{}}, {Name: "errors", Metric: &v1alpha1.MetricGate{}},
		{Name: "smoke", Job: &v1alpha1.JobGate{}}, {Name: "ask", Webhook: &v1alpha1.WebhookGate{}},
	}
	return a
}

func TestObserve(t *testing.T) {
	w := newWorld(t, false)
	shop, blog, wiki := app("shop", v1alpha1.RolloutCanary), app("blog", v1alpha1.RolloutBlueGreen), app("wiki", "")
	failed := failure(v1alpha1.ReasonGateFailed)
	goes := func(a *v1alpha1.ScalableApp, later time.Duration, before, after v1alpha1.RolloutStatus) {
		w.now = w.now.Add(later)
		w.Observe(a, before, after)
	}
	// A canary of 100 s, whose second step has gates of all kinds.
	all := []v1alpha1.GateStatus{
		gate("up", "Pass"), gate("errors", "Fail"), gate("smoke", "Inconclusive"), gate("ask", "Pass"), gate("gone", "Pass"),
	}
	goes(shop, 0, at("a", "", stable), at("a", "b", progressing, step(1)))
	goes(shop, 40*time.Second, at("a", "b", progressing, step(1)), at("a", "b", progressing, step(2, all...)))
	goes(shop, 60*time.Second, at("a", "b", progressing, step(2, all...)), at("b", "", stable))
	// A blue-green rollout that fails after 5 s, is tried again 1000 s later and is there 20 s after that.
	goes(blog, 0, at("a", "", stable), at("a", "b", progressing))
	goes(blog, 5*time.Second, at("a", "b", progressing), at("a", "b", aborting, failed))
	goes(blog, 1000*time.Second, at("a", "b", givenUpFor, failed), at("a", "b", progressing, attempt(2)))
	goes(blog, 20*time.Second, at("a", "b", progressing, attempt(2)), at("b", "", stable))
	// One that began under an operator before this one, and one of an app that was deleted in the middle and made
	// anew: nobody knows how long they took.
	goes(wiki, 0, at("a", "b", progressing), at("a", "", stable))
	goes(wiki, 0, at("a", "", stable), at("a", "c", progressing))
	w.Forget(types.NamespacedName{Namespace: "eu", Name: "wiki"})
	goes(wiki, time.Second, at("a", "c", progressing), at("c", "", stable))

	want := []string{
		"scalableapp_gate_verdicts_total{kind=http,verdict=Pass} 1",
		"scalableapp_gate_verdicts_total{kind=job,verdict=Inconclusive} 1",
		"scalableapp_gate_verdicts_total{kind=metric,verdict=Fail} 1",
		"scalableapp_gate_verdicts_total{kind=unknown,verdict=Pass} 1",
		"scalableapp_gate_verdicts_total{kind=webhook,verdict=Pass} 1",
		"scalableapp_rollout_duration_seconds{outcome=Failed,strategy=BlueGreen} 1 in 5s",
		"scalableapp_rollout_duration_seconds{outcome=Promoted,strategy=BlueGreen} 1 in 20s",
		"scalableapp_rollout_duration_seconds{outcome=Promoted,strategy=Canary} 1 in 100s",
		"scalableapp_rollout_steps_total{strategy=Canary} 2",
		"scalableapp_rollouts_total{outcome=Failed,strategy=BlueGreen} 1",
		"scalableapp_rollouts_total{outcome=Promoted,strategy=BlueGreen} 1",
		"scalableapp_rollouts_total{outcome=Promoted,strategy=Canary} 1",
		"scalableapp_rollouts_total{outcome=Promoted,strategy=Rolling} 1",
		"scalableapp_rollouts_total{outcome=Reverted,strategy=Rolling} 1",
	}
	if diff := cmp.Diff(want, w.series(t)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var none *Recorder // as in tests of the controller
	none.Observe(shop, at("a", "b", progressing), at("b", "", stable))
	none.Forget(types.NamespacedName{})
}

func TestStages(t *testing.T) {
	for _, perApp := range []bool{false, true} {
		w := newWorld(t, perApp)
		for i, r := range []v1alpha1.RolloutStatus{
			at("a", "", stable), at("a", "b", progressing, step(2)), at("a", "", stable), at("", "", ""), at("a", "", "Later"),
		} {
			a := app(fmt.Sprintf("app-%d", i), v1alpha1.RolloutCanary)
			a.Status.Rollout = r
			if r.Candidate != nil {
				a.Status.Rollout.Weight, a.Status.Rollout.ActualWeight = new(int32(10)), new(int32(17))
			}
			w.apps = append(w.apps, *a)
		}
		want := []string{
			"scalableapp_apps{stage=Later} 1", "scalableapp_apps{stage=Progressing} 1", "scalableapp_apps{stage=Stable} 2",
		}
		if perApp {
			want = append(want, "scalableapp_rollout_actual_weight_percent{name=app-1,namespace=eu} 17")
			for i, stage := range []string{"Stable", "Progressing", "Stable", "", "Later"} {
				want = append(want, fmt.Sprintf("scalableapp_rollout_info{name=app-%d,namespace=eu,stage=%s,strategy=Canary} 1", i, stage))
			}
			want = append(want, "scalableapp_rollout_step{name=app-1,namespace=eu} 2", "scalableapp_rollout_weight_percent{name=app-1,namespace=eu} 10")
		}
		if diff := cmp.Diff(want, w.series(t)); diff != "" {
			t.Errorf("per app %t (-want +got):\n%s", perApp, diff)
		}
		w.err = errors.New("the cache is not there")
		for _, line := range w.series(t) {
			t.Errorf("without a list of apps there is %s", line)
		}
	}
}

// Without the flag no series names an object of anybody's.
func TestNoNamesByDefault(t *testing.T) {
	w := newWorld(t, false)
	w.apps = []v1alpha1.ScalableApp{*app("shop", v1alpha1.RolloutCanary)}
	w.apps[0].Status.Rollout = at("a", "b", progressing, step(1, gate("errors", "Pass")))
	w.Observe(&w.apps[0], at("a", "", stable), w.apps[0].Status.Rollout)
	series := w.series(t)
	if len(series) == 0 {
		t.Fatal("there are no series")
	}
	for _, line := range series {
		for _, name := range []string{"shop", "eu", "=a", "=b", "errors"} {
			if strings.Contains(line, name) {
				t.Errorf("%s names %s", line, name)
			}
		}
	}
}

// docs/metrics.md lists what is registered, and nothing else: name, kind, labels and help.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.HasPrefix(line, "| `scalableapp_") {
			listed = append(listed, line)
		}
	}
	w := newWorld(t, true)
	a := app("shop", v1alpha1.RolloutCanary)
	a.Status.Rollout = at("a", "b", progressing, step(1, gate("errors", "Pass")))
	a.Status.Rollout.Weight, a.Status.Rollout.ActualWeight = new(int32(1)), new(int32(1))
	w.apps = []v1alpha1.ScalableApp{*a}
	w.Observe(a, at("a", "", stable), a.Status.Rollout) // each metric has a series now
	w.Observe(a, a.Status.Rollout, at("b", "", stable))
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, family := range families {
		var names []string
		for _, pair := range family.Metric[0].Label {
			names = append(names, "`"+pair.GetName()+"`")
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s |", family.GetName(), strings.ToLower(family.GetType().String()),
			strings.Join(names, ", "), family.GetHelp()))
	}
	slices.Sort(listed)
	slices.Sort(want)
	if len(want) != 9 {
		t.Errorf("%d metrics have a series, want all 9", len(want))
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("docs/metrics.md (-registry +docs):\n%s", diff)
	}
}
