package observe

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/gate"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/podmetrics"
	"github.com/scalableapp/scalableapp-operator/internal/promql"
	"github.com/scalableapp/scalableapp-operator/internal/rollout"
	"github.com/scalableapp/scalableapp-operator/internal/state"
	"github.com/scalableapp/scalableapp-operator/internal/status"
)

const (
	// gatesTimeout is how long a pass waits for all its gates together.
	gatesTimeout = 10 * time.Second
	// probeTimeout is the longest that one URL is waited for, a little less than for all.
	probeTimeout = 9500 * time.Millisecond
	// dryTimeout is how long a pass waits for what only tells mistakes early.
	dryTimeout = 3 * time.Second
)

// PodMetrics makes samples of the pods' own metrics.
type PodMetrics interface {
	Sample(ctx context.Context, question podmetrics.Question) state.Sample
}

// Prometheus asks a Prometheus for a number.
type Prometheus interface {
	Ask(ctx context.Context, address, query string) (float64, error)
}

// Prober asks URLs.
type Prober interface {
	Get(ctx context.Context, url string, timeout time.Duration) state.Sample
	Post(ctx context.Context, url string, body any, timeout time.Duration) state.Sample
}

// Gates asks the gates of rollouts.
type Gates struct {
	Pods       PodMetrics
	Prometheus Prometheus
	Prober     Prober
	// Silent asks nobody: what is due has no sample. Jobs are looked at all the same.
	Silent bool

	mu  sync.Mutex
	dry map[types.UID]*dryAnswers
}

// asking is one pass's look at the gates of an app.
type asking struct {
	*Gates
	app  *v1alpha1.ScalableApp
	seen *state.Observed
}

// gates takes the samples that are due. Whatever goes wrong is a sample that says so and never an error: a
// source that is away must not keep the operator from its other work.
func (o *Observer) gates(ctx context.Context, app *v1alpha1.ScalableApp, seen *state.Observed) error {
	a := asking{o.Gates, app, seen}
	r := &app.Status.Rollout
	paused := app.Spec.Paused != nil && *app.Spec.Paused
	switch {
	case r.Candidate == nil || r.Failure != nil || paused:
		o.Gates.forget(app.UID)
		return nil
	case r.StepStartedTime != nil:
		o.Gates.forget(app.UID)
		seen.Gates = a.all(ctx, gatesTimeout, a.due(), a.ask)
	case r.Step <= 1 && o.Gates != nil && !o.Gates.Silent:
		seen.Gates = a.askDry(ctx)
	}
	return nil
}

// due are the gates of the step whose time has come.
func (a asking) due() []v1alpha1.GateSpec {
	r := &a.app.Status.Rollout
	stored := map[string]v1alpha1.GateStatus{}
	for _, s := range r.Gates {
		stored[s.Name] = s
	}
	var due []v1alpha1.GateSpec
	for _, g := range rollout.Asked(a.app.Spec.Rollout.Gates, *r) {
		if a.Gates != nil && a.Silent && g.Job == nil {
			continue
		}
		if now, _ := gate.Due(&g, stored[g.Name], r.StepStartedTime.Time, a.seen.Now); now {
			due = append(due, g)
		}
	}
	return due
}

// all asks gates in parallel.
func (a asking) all(
	ctx context.Context, timeout time.Duration, gates []v1alpha1.GateSpec, ask func(context.Context, *v1alpha1.GateSpec) state.Sample,
) map[string]state.Sample {
	if len(gates) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	samples := map[string]state.Sample{}
	for i := range gates {
		wg.Go(func() {
			sample := ask(ctx, &gates[i])
			mu.Lock()
			defer mu.Unlock()
			samples[gates[i].Name] = sample
		})
	}
	wg.Wait()
	return samples
}

func (a asking) ask(ctx context.Context, g *v1alpha1.GateSpec) state.Sample {
	candidate := a.app.Status.Rollout.Candidate.Revision
	switch {
	case g.Job != nil:
		return a.job(g)
	case a.Gates == nil:
		return state.Sample{Reason: "this operator has nothing to ask gates with"}
	case g.HTTP != nil:
		return a.Prober.Get(ctx, components.PreviewURL(a.app, candidate)+g.HTTP.Path, patience(g.HTTP.TimeoutSeconds, 2))
	case g.Webhook != nil:
		return a.Prober.Post(ctx, g.Webhook.URL, a.webhook(), patience(g.Webhook.TimeoutSeconds, 3))
	case g.Metric != nil && g.Metric.Source == v1alpha1.MetricSourcePrometheus && g.Metric.Prometheus != nil:
		return a.prometheus(ctx, g.Metric, a.seen.Now.Sub(a.app.Status.Rollout.StepStartedTime.Time))
	case g.Metric != nil && g.Metric.Source != v1alpha1.MetricSourcePrometheus:
		return a.Pods.Sample(ctx, a.pods(g))
	default: // the schema lets nothing else through
		return state.Sample{Outcome: state.OutcomeInvalid, Reason: "the gate has no source: set one of http, metric, job and webhook"}
	}
}

func patience(seconds *int32, otherwise int32) time.Duration {
	if seconds == nil {
		seconds = &otherwise
	}
	return min(time.Duration(*seconds)*time.Second, probeTimeout)
}

// job looks at the gate's Job. That of another step or attempt tells nothing of this one.
func (a asking) job(g *v1alpha1.GateSpec) state.Sample {
	r := &a.app.Status.Rollout
	job := a.seen.Job(naming.Gate(r.Candidate.Revision, g.Name))
	if job == nil || components.GateOutdated(job, r.Attempt, r.Step) {
		return state.Sample{Outcome: state.OutcomeNone}
	}
	return status.GateJob(job, a.seen.PodsWith(map[string]string{batchv1.JobNameLabel: job.Name}))
}

// webhookBody is what a webhook is told.
type webhookBody struct {
	Namespace string `json:"namespace"`
	App       string `json:"app"`
	Revision  string `json:"revision"`
	Image     string `json:"image"`
	Step      int32  `json:"step"`
	Weight    int32  `json:"weight"`
}

func (a asking) webhook() webhookBody {
	r := &a.app.Status.Rollout
	body := webhookBody{Namespace: a.app.Namespace, App: a.app.Name, Revision: r.Candidate.Revision, Image: r.Candidate.Image, Step: r.Step}
	if r.Weight != nil {
		body.Weight = *r.Weight
	}
	return body
}

// prometheus asks for the candidate's value and, to compare, for the stable revision's of the same time.
func (a asking) prometheus(ctx context.Context, m *v1alpha1.MetricGate, window time.Duration) state.Sample {
	ask := func(revision string) (float64, error) {
		return a.Prometheus.Ask(ctx, m.Prometheus.Address, promql.Substitute(m.Prometheus.Query, promql.Values{
			Revision: revision, Namespace: a.app.Namespace, App: a.app.Name, Window: window}))
	}
	value, err := ask(a.app.Status.Rollout.Candidate.Revision)
	if err != nil {
		return unanswered("", err)
	}
	var stable *float64
	if m.MaxRatioToStable != "" && a.app.Status.Rollout.Stable != nil {
		compared, err := ask(a.app.Status.Rollout.Stable.Revision)
		if err != nil {
			sample := gate.Measure(m, value, nil)
			if sample.Outcome != state.OutcomeBad { // above metric.max it is bad, whatever the stable one does
				return unanswered("the stable revision: ", err)
			}
			return sample
		}
		stable = &compared
	}
	return gate.Measure(m, value, stable)
}

func unanswered(whose string, err error) state.Sample {
	sample := state.Sample{Reason: whose + err.Error()}
	if _, invalid := errors.AsType[*promql.InvalidError](err); invalid {
		sample.Outcome = state.OutcomeInvalid
	}
	return sample
}

// dryAnswers are the Prometheus gates of a spec that cannot be asked.
type dryAnswers struct {
	generation int64
	revision   string
	invalid    map[string]state.Sample
}

// askDry asks the Prometheus gates of a rollout that has not begun, once for each spec, only to find what
// cannot be asked at all before a pod is started for it.
func (a asking) askDry(ctx context.Context) map[string]state.Sample {
	candidate := a.app.Status.Rollout.Candidate.Revision
	a.mu.Lock()
	known := a.dry[a.app.UID]
	a.mu.Unlock()
	if known == nil || known.generation != a.app.Generation || known.revision != candidate {
		var gates []v1alpha1.GateSpec
		for _, g := range a.app.Spec.Rollout.Gates {
			if g.Metric != nil && g.Metric.Prometheus != nil {
				gates = append(gates, g)
			}
		}
		samples := a.all(ctx, dryTimeout, gates, func(ctx context.Context, g *v1alpha1.GateSpec) state.Sample {
			return a.prometheus(ctx, g.Metric, gate.Period(g))
		})
		maps.DeleteFunc(samples, func(_ string, s state.Sample) bool { return s.Outcome != state.OutcomeInvalid })
		known = &dryAnswers{a.app.Generation, candidate, samples}
		a.mu.Lock()
		if a.dry == nil {
			a.dry = map[types.UID]*dryAnswers{}
		}
		a.dry[a.app.UID] = known
		a.mu.Unlock()
	}
	if len(known.invalid) == 0 {
		return nil
	}
	return maps.Clone(known.invalid)
}

func (g *Gates) forget(app types.UID) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.dry, app)
}

// pods is what the pods' own metrics are asked.
func (a asking) pods(g *v1alpha1.GateSpec) podmetrics.Question {
	r := &a.app.Status.Rollout
	question := podmetrics.Question{
		App: client.ObjectKeyFromObject(a.app), Gate: g.Name, Since: r.StepStartedTime.Time, Metric: g.Metric,
		Candidate: a.targets(r.Candidate.Revision),
	}
	if r.Stable != nil {
		question.Stable = a.targets(r.Stable.Revision)
	}
	return question
}
