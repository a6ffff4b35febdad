package e2e

import (
	"math"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/test/load"
)

// leg is a change to an app and what came of it.
type leg struct {
	what string
	// changed is when the change was made; decided is when a change of mind followed it.
	changed, decided time.Time
	// done is when the candidate was stable or its failure was stored, and cutover how long that took. A user
	// who changed their mind has none.
	done    time.Time
	cutover time.Duration
	// settled is when traffic had settled where it ended, on the revision final.
	settled, ended time.Time
	final          string
	back           bool
	// bad is the revision that answers with errors.
	bad    string
	wanted int
}

func (c *cutover) begin(what string, edit func(*v1alpha1.ScalableApp)) *leg {
	c.Helper()
	l := &leg{what: what, changed: time.Now(), wanted: c.wanted}
	l.decided = l.changed
	c.legs = append(c.legs, l)
	c.changeApp(c.name, edit)
	return l
}

// end lets some requests more go, which show who answers now.
func (c *cutover) end(l *leg, final string) {
	c.Helper()
	l.final = final
	time.Sleep(c.slack() + 1500*time.Millisecond) // a measurement
	l.ended = time.Now()
}

// slack is how long after l.settled other revisions may still answer: of a rolling update the operator does
// not say when proxies follow, only which pods serve, and a pod that ends answers as long as it drains.
func (c *cutover) slack() time.Duration {
	if c.strategy == v1alpha1.RolloutRolling {
		return 10 * time.Second
	}
	return 0
}

func (c *cutover) success() {
	c.Helper()
	l := c.begin("success", func(app *v1alpha1.ScalableApp) { app.Spec.App.Image = image110 })
	candidate := c.candidate(l.changed)
	l.done = c.promoted(l.changed, candidate)
	l.cutover = l.done.Sub(l.changed)
	l.settled = l.done
	c.end(l, candidate)
}

// undo goes back within the hold: with BlueGreen and Canary no pod has to start.
func (c *cutover) undo(to string) {
	c.Helper()
	from := c.stable()
	l := c.begin("undo after success", func(app *v1alpha1.ScalableApp) { annotate(app, naming.AnnotationUndo, from+":"+to) })
	l.back = true
	l.settled = c.settled(l.changed, to)
	c.promoted(l.changed, to)
	if c.strategy != v1alpha1.RolloutRolling {
		for _, n := range c.pods.between(l.changed, l.settled) {
			if n.alive[to] < l.wanted {
				c.Errorf("undo: %d pods of %s were kept, want %d", n.alive[to], to, l.wanted)
			}
		}
	}
	c.end(l, to)
}

func (c *cutover) bumpInTheMiddle() {
	c.Helper()
	l := c.begin("new bump in the middle", c.next())
	c.middle(l.changed, c.candidate(l.changed))
	l.decided = time.Now()
	c.changeApp(c.name, c.next())
	candidate := c.candidate(l.decided)
	l.done = c.promoted(l.decided, candidate)
	l.cutover = l.done.Sub(l.decided)
	l.settled = l.done
	c.end(l, candidate)
}

func (c *cutover) revertInTheMiddle() {
	c.Helper()
	stable, release := c.stable(), c.release
	l := c.begin("revert in the middle", c.next())
	c.middle(l.changed, c.candidate(l.changed))
	l.decided, l.back = time.Now(), true
	c.changeApp(c.name, c.to(release))
	l.settled = c.settled(l.decided, stable)
	c.promoted(l.decided, stable)
	c.end(l, stable)
}

func (c *cutover) abortByHand() {
	c.Helper()
	stable := c.stable()
	next := c.next()
	samples := func(n int32) func(*v1alpha1.ScalableApp) {
		return func(app *v1alpha1.ScalableApp) { app.Spec.Rollout.Gates[0].Samples = new(n) }
	}
	l := c.begin("abort by hand", func(app *v1alpha1.ScalableApp) {
		next(app)
		samples(30)(app) // there has to be time to say it
	})
	candidate := c.candidate(l.changed)
	c.asked(l.changed, candidate)
	l.decided, l.back = time.Now(), true
	c.say(c.name, "abort")
	l.done = c.failedFor(l.decided, candidate, v1alpha1.ReasonAborted)
	l.settled = c.settled(l.decided, stable)
	c.end(l, stable)
	c.changeApp(c.name, samples(2))
}

// growInTheMiddle asks for one pod more, as an autoscaler does.
func (c *cutover) growInTheMiddle() {
	c.Helper()
	l := c.begin("growth in the middle", c.next())
	candidate := c.candidate(l.changed)
	c.middle(l.changed, candidate)
	c.wanted++
	c.changeApp(c.name, func(app *v1alpha1.ScalableApp) { app.Spec.App.Replicas = new(int32(c.wanted)) })
	l.done = c.promoted(l.changed, candidate)
	l.cutover = l.done.Sub(l.changed)
	l.settled = l.done
	if n := c.app(c.name).Status.Rollout.Stable.AvailableReplicas; int(n) < c.wanted {
		c.Errorf("%s is stable with %d pods, want %d", candidate, n, c.wanted)
	}
	c.end(l, candidate)
}

func (c *cutover) gateFails() {
	c.Helper()
	stable := c.stable()
	l := c.begin("gate fails", c.next(env("FAULT_ERROR_RATIO", faultRatio)...))
	l.back, l.bad = true, c.candidate(l.changed)
	l.done = c.failedFor(l.changed, l.bad, v1alpha1.ReasonGateFailed)
	l.decided, l.cutover = l.done, l.done.Sub(l.changed)
	l.settled = c.settled(l.done, stable)
	app := c.waitStalled(c.name, v1alpha1.ReasonGateFailed, "errors", stable)
	if app.Status.Rollout.Stage != v1alpha1.StageFailed && app.Status.Rollout.Stage != v1alpha1.StageAborting {
		c.Errorf("after the gate failed:\n%s", describeApp(app))
	}
	c.eventually(cutoverWithin, "the bad version has no pods", func() error {
		if c.podsOfRevision(l.bad) > 0 {
			return errNotYet
		}
		return nil
	})
	if !meta.IsStatusConditionTrue(c.app(c.name).Status.Conditions, v1alpha1.ConditionAvailable) {
		c.Errorf("the old version does not serve:\n%s", describeApp(c.app(c.name)))
	}
	c.end(l, stable)
}

// finish ends the load and holds every leg against what was promised.
func (c *cutover) finish() {
	c.Helper()
	result := c.shower.finish()
	failed, _ := failedAndInjected(result)
	if len(failed) > 0 {
		c.Errorf("%d of %d requests failed:\n%s", len(failed), result.Sent(), (&load.Result{Began: result.Began, Samples: failed}).Why(20))
	}
	before := result.Between(result.Began, c.legs[0].changed)
	c.Logf("cutover | strategy, mode | scenario | sent | failed | injected | p99 before | p99 during | cutover | way back")
	for _, l := range c.legs {
		c.Logf("cutover | %s | %s", c, l.line(before, result.Between(l.changed, l.ended)))
		c.checkPods(l)
		c.checkWho(l, result)
		c.checkInjected(l, result)
	}
}

func (l *leg) line(before, during *load.Result) string {
	failed, injected := failedAndInjected(during)
	cutover, back := "-", "-"
	if l.cutover > 0 {
		cutover = seconds(l.cutover)
	}
	if l.back {
		back = seconds(l.settled.Sub(l.decided))
	}
	return row(l.what, during.Sent(), len(failed), injected, millis(before.Quantile(0.99)), millis(during.Quantile(0.99)), cutover, back)
}

// checkPods: there are never fewer pods than wanted, whoever counts them.
func (c *cutover) checkPods(l *leg) {
	c.Helper()
	if least := c.pods.least(l.changed, l.ended); least < l.wanted {
		c.Errorf("%s: only %d pods served, want %d at all times", l.what, least, l.wanted)
	}
	for _, v := range c.history.between(c.name, l.changed, l.ended) {
		if int(v.app.Status.App.ReadyReplicas) < l.wanted {
			c.Errorf("%s: the status said %s %s after the change", l.what, v.app.Status.App.Ready, v.seen.Sub(l.changed).Round(time.Millisecond))
		}
	}
}

// checkWho: once traffic is settled nobody answers but the revision that it is settled on.
func (c *cutover) checkWho(l *leg, result *load.Result) {
	c.Helper()
	after := led(result.Between(l.settled.Add(c.slack()), l.ended), c.gateway)
	if after.Sent() < 10 {
		c.Errorf("%s: only %d requests show who answered in the end", l.what, after.Sent())
	}
	others := map[string]int{}
	var last load.Sample
	for _, s := range after.Samples {
		if s.By != l.final {
			others[s.By]++
			last = s
		}
	}
	if len(others) > 0 {
		c.Errorf("%s: traffic was settled on %s, but %v answered (revision: answers), the last %s after that",
			l.what, l.final, others, last.Due.Sub(l.settled).Round(time.Millisecond))
	}
}

// weightOf is the share of the traffic that the revision is to get.
func weightOf(t *v1alpha1.TrafficStatus, revision string) int32 {
	for _, b := range t.Backends {
		if b.Revision == revision {
			return b.Weight
		}
	}
	if t.Service == "" && len(t.Backends) == 0 {
		return 100 // pods of all revisions share, up to the last one
	}
	return 0
}

// checkInjected: a bad version's errors are at most its share of the requests, and end when traffic has
// settled.
func (c *cutover) checkInjected(l *leg, result *load.Result) {
	c.Helper()
	_, all := failedAndInjected(result.Between(l.changed, l.ended))
	if l.bad == "" {
		if all > 0 {
			c.Errorf("%s: %d answers of a version that should have been gone", l.what, all)
		}
		return
	}
	share := int32(0)
	for _, v := range c.history.between(c.name, l.changed, l.settled) {
		share = max(share, weightOf(v.app.Status.Rollout.Traffic, l.bad))
	}
	if c.strategy == v1alpha1.RolloutCanary && share > canaryWeight {
		c.Errorf("%s: the bad version was to get up to %d%% of the traffic, want at most %d%%", l.what, share, canaryWeight)
	}
	part := led(result.Between(l.changed, l.settled.Add(c.slack())), c.gateway)
	_, injected := failedAndInjected(part)
	n, p := float64(part.Sent()), float64(share)/100*faultShare
	if most := n*p + 4*math.Sqrt(n*p*(1-p)) + 1; float64(injected) > most {
		c.Errorf("%s: %d of %d requests got an error of the bad version, want at most %.0f (%d%% of the traffic, of which %s fail)",
			l.what, injected, part.Sent(), most, share, faultRatio)
	}
	if injected == 0 {
		c.Errorf("%s: the bad version answered nothing; this run shows nothing", l.what)
	}
}
