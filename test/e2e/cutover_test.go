package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// How an app of the matrix is cut over. The bad version fails most requests, so that a few of them convict
// it; the canary's first share bounds what its users see of that.
const (
	cutoverPods   = 3
	cutoverRate   = 20
	canaryWeight  = 25
	faultRatio    = "0.8"
	faultShare    = 0.8
	rollbackHold  = 30
	cutoverWithin = 5 * time.Minute
)

// Each strategy cuts over in both ways to lead traffic, and goes back in every way there is, under an open-loop
// load of which nothing fails but what a bad version answered itself.
func TestCutover(t *testing.T) {
	t.Parallel()
	for _, gateway := range []bool{false, true} {
		for _, strategy := range []v1alpha1.RolloutStrategy{v1alpha1.RolloutCanary, v1alpha1.RolloutRolling, v1alpha1.RolloutBlueGreen} {
			t.Run(string(strategy)+modeName(gateway), func(t *testing.T) {
				t.Parallel()
				c := newCutover(t, strategy, gateway)
				first := c.stable()
				c.success()
				c.undo(first)
				c.bumpInTheMiddle()
				c.revertInTheMiddle()
				c.abortByHand()
				c.growInTheMiddle()
				c.gateFails()
				c.finish()
			})
		}
	}
}

func modeName(gateway bool) string {
	if gateway {
		return "Gateway"
	}
	return "Replicas"
}

// cutoverApp is an app with nothing around it, with a gate on the errors of its pods.
func (w *world) cutoverApp(name string, strategy v1alpha1.RolloutStrategy, gateway bool) *v1alpha1.ScalableApp {
	app := w.bare(name, cutoverPods)
	app.Spec.App.Metrics = &v1alpha1.MetricsSpec{}
	app.Spec.App.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("24Mi")}
	app.Spec.Rollout = v1alpha1.RolloutSpec{
		Strategy: strategy, RollbackHoldSeconds: new(int32(rollbackHold)),
		Gates: []v1alpha1.GateSpec{{
			Name: "errors", PeriodSeconds: new(int32(2)), Samples: new(int32(2)),
			Metric: &v1alpha1.MetricGate{Indicator: v1alpha1.MetricErrorRatio, Max: "0.05", MinRequests: new(int32(3))},
		}},
	}
	if strategy == v1alpha1.RolloutCanary {
		app.Spec.Rollout.Canary.Steps = []v1alpha1.CanaryStep{{Weight: canaryWeight, PauseSeconds: new(int32(2))}}
	}
	if gateway {
		w.throughGateway(app)
	}
	return app
}

// cutover is an app of the matrix, and what has become of it so far.
type cutover struct {
	*world
	name     string
	strategy v1alpha1.RolloutStrategy
	gateway  bool
	pods     *podWatch
	shower   *shower
	known    map[string]bool
	release  int
	wanted   int
	legs     []*leg
}

func newCutover(t *testing.T, strategy v1alpha1.RolloutStrategy, gateway bool) *cutover {
	t.Helper()
	w := newWorld(t)
	w.create(w.cutoverApp("shop", strategy, gateway))
	c := w.startCutover("shop", cutoverRate)
	time.Sleep(5 * time.Second) // a measurement, not a wait: what "before" is
	return c
}

// startCutover puts an app under load, as soon as it is ready.
func (w *world) startCutover(name string, rate float64) *cutover {
	w.Helper()
	app := w.waitReady(name)
	c := &cutover{
		world: w, name: name, strategy: app.Spec.Rollout.Strategy, gateway: app.Spec.Traffic.Gateway != nil,
		pods: w.appPods(name), shower: w.startShower(w.way(name), rate), known: map[string]bool{}, release: 1,
		wanted: int(*app.Spec.App.Replicas),
	}
	c.known[c.stable()] = true
	return c
}

func (c *cutover) stable() string {
	c.Helper()
	return c.app(c.name).Status.Rollout.Stable.Revision
}

// next is the edit that makes another revision.
func (c *cutover) next(more ...corev1.EnvVar) func(*v1alpha1.ScalableApp) {
	c.release++
	return c.to(c.release, more...)
}

func (c *cutover) to(release int, more ...corev1.EnvVar) func(*v1alpha1.ScalableApp) {
	return func(app *v1alpha1.ScalableApp) {
		app.Spec.App.Image = image110
		app.Spec.App.Env = append(env("RELEASE", fmt.Sprint(release)), more...)
	}
}

// candidate waits for the revision that a change made.
func (c *cutover) candidate(since time.Time) string {
	c.Helper()
	_, app := c.await(c.name, since, "there is a new candidate", func(app *v1alpha1.ScalableApp) bool {
		candidate := app.Status.Rollout.Candidate
		return candidate != nil && !c.known[candidate.Revision]
	})
	candidate := app.Status.Rollout.Candidate.Revision
	c.known[candidate] = true
	return candidate
}

func (c *cutover) promoted(since time.Time, revision string) time.Time {
	c.Helper()
	at, _ := c.await(c.name, since, revision+" is the stable revision", func(app *v1alpha1.ScalableApp) bool {
		r := app.Status.Rollout
		return r.Candidate == nil && r.Stable != nil && r.Stable.Revision == revision
	})
	return at
}

// middle waits until the candidate is in the middle of its rollout: traffic is on its way to it, or, with
// the strategy Rolling, some of its pods serve.
func (c *cutover) middle(since time.Time, revision string) {
	c.Helper()
	c.await(c.name, since, revision+" is in the middle", func(app *v1alpha1.ScalableApp) bool {
		r := app.Status.Rollout
		if r.Candidate == nil || r.Candidate.Revision != revision {
			return false
		}
		if c.strategy == v1alpha1.RolloutRolling {
			return r.Candidate.AvailableReplicas > 0
		}
		return shareOf(r.Traffic, revision) > 0
	})
}

// asked waits until the gates of a step with traffic are asked of the candidate.
func (c *cutover) asked(since time.Time, revision string) {
	c.Helper()
	c.await(c.name, since, revision+" is asked for errors", func(app *v1alpha1.ScalableApp) bool {
		r := app.Status.Rollout
		return r.Candidate != nil && r.Candidate.Revision == revision && r.StepStartedTime != nil && len(r.Gates) > 0
	})
}

// shareOf is the greatest share of the traffic that the revision may get.
func shareOf(t *v1alpha1.TrafficStatus, revision string) int32 {
	if t == nil {
		return 0
	}
	for _, b := range t.Backends {
		if b.Revision == revision {
			return b.Highest
		}
	}
	if t.Service == "" && len(t.Backends) == 0 {
		return 100 // the pods of all revisions share
	}
	return 0
}

// settled waits until all traffic is led to a revision and nothing may reach another one.
func (c *cutover) settled(since time.Time, revision string) time.Time {
	c.Helper()
	if c.strategy != v1alpha1.RolloutRolling {
		at, _ := c.await(c.name, since, "all traffic goes to "+revision, func(app *v1alpha1.ScalableApp) bool {
			return settledOn(app.Status.Rollout.Traffic, revision)
		})
		return at
	}
	var at time.Time
	c.eventually(cutoverWithin, "only pods of "+revision+" serve", func() (err error) {
		var ok bool
		if at, ok = c.pods.when(since, func(n podCount) bool { return n.served() >= c.wanted && n.serving[revision] == n.served() }); !ok {
			err = errNotYet
		}
		return err
	})
	return at
}

func settledOn(t *v1alpha1.TrafficStatus, revision string) bool {
	if t == nil || t.SettledTime == nil || t.Service != revision {
		return false
	}
	for _, b := range t.Backends {
		if b.Revision != revision && (b.Weight > 0 || b.Highest > 0) {
			return false
		}
	}
	return true
}

// await looks through the history since a time, and waits for more of it, until a version of the app is as
// wanted. It returns when that was seen.
func (w *world) await(name string, since time.Time, what string, is func(*v1alpha1.ScalableApp) bool) (time.Time, *v1alpha1.ScalableApp) {
	w.Helper()
	for deadline := time.Now().Add(cutoverWithin); ; time.Sleep(50 * time.Millisecond) {
		if v, ok := w.history.first(name, since, is); ok {
			return v.seen, v.app
		}
		if time.Now().After(deadline) {
			w.Fatalf("not within %s: %s:\n%s", cutoverWithin, what, describeApp(w.app(name)))
		}
	}
}

// say writes a person's word about the candidate as the kubectl plugin does.
func (w *world) say(name, verb string) {
	w.Helper()
	w.changeApp(name, func(app *v1alpha1.ScalableApp) {
		r := app.Status.Rollout
		if r.Candidate == nil {
			w.Fatalf("there is no candidate to %s:\n%s", verb, describeApp(app))
		}
		word := fmt.Sprintf("%s:%s:%d", verb, r.Candidate.Revision, r.Attempt)
		if verb == "promote" {
			word += fmt.Sprintf(":%d", r.Step)
		}
		annotate(app, naming.AnnotationAction, word)
	})
}

func annotate(app *v1alpha1.ScalableApp, name, value string) {
	if app.Annotations == nil {
		app.Annotations = map[string]string{}
	}
	app.Annotations[name] = value
}

// failedFor waits until the candidate's failure is stored, and holds its reason against what is wanted.
func (c *cutover) failedFor(since time.Time, revision, reason string) time.Time {
	c.Helper()
	at, app := c.await(c.name, since, revision+" is given up", func(app *v1alpha1.ScalableApp) bool {
		r := app.Status.Rollout
		return r.Failure != nil && r.Candidate != nil && r.Candidate.Revision == revision
	})
	if f := app.Status.Rollout.Failure; f.Reason != reason || f.Message == "" {
		c.Errorf("%s was given up for %s (%s), want %s", revision, f.Reason, f.Message, reason)
	}
	return at
}

// deployed says which of the app's revisions have objects of their own.
func (c *cutover) podsOfRevision(revision string) int {
	c.Helper()
	list := &corev1.PodList{}
	c.must(api.List(c.ctx, list, client.InNamespace(c.namespace), client.MatchingLabels{naming.LabelRevision: revision}))
	return len(list.Items)
}

func (c *cutover) String() string {
	return string(c.strategy) + " " + strings.TrimSpace(modeName(c.gateway))
}
