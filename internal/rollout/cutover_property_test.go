package rollout

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// What must hold of cutovers whatever happens, in whatever order the operator, the controllers, the
// proxies, the kubelets and people take their turns:
//
//   - traffic is led only to sets that have the pods for it, or away from sets that have none;
//   - no proxy, not even one that lags, leads traffic to a set that the operator has taken pods from;
//   - the pods of a version that is still being checked get no traffic;
//   - in the end a good version serves, all of it, and nothing else is left.
func TestCutoverInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newCutoverProperty(t)
		for range rapid.IntRange(10, 100).Draw(t, "steps") {
			p.step(rapid.IntRange(0, 99).Draw(t, "event"))
		}
		p.settle()
	})
}

// The same with strategies that change, also in the middle.
func TestInvariantsOfChangedStrategies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newCutoverProperty(t)
		p.fickle = true
		for range rapid.IntRange(10, 100).Draw(t, "steps") {
			p.step(rapid.IntRange(0, 102).Draw(t, "event"))
		}
		p.settle()
	})
}

type cutoverProperty struct {
	*rapid.T
	w      *world
	made   int
	fickle bool
}

func newCutoverProperty(t *rapid.T) *cutoverProperty {
	p := &cutoverProperty{T: t, w: newWorld(rapid.Int32Range(1, 6).Draw(t, "desired"), 1, 0), made: 1}
	p.choose()
	if rapid.Bool().Draw(t, "gate before") {
		p.w.spec.Gates = append(p.w.spec.Gates, v1alpha1.GateSpec{Name: "smoke", When: v1alpha1.GateBeforeTraffic})
	}
	if rapid.Bool().Draw(t, "gate with") {
		p.w.spec.Gates = append(p.w.spec.Gates, v1alpha1.GateSpec{Name: "errors", When: v1alpha1.GateWithTraffic})
	}
	return p
}

// choose draws a strategy and a mode.
func (p *cutoverProperty) choose() {
	p.w.gateway = rapid.Bool().Draw(p.T, "gateway")
	strategies := []v1alpha1.RolloutStrategy{v1alpha1.RolloutBlueGreen, v1alpha1.RolloutCanary, v1alpha1.RolloutRolling}
	p.w.spec.Strategy = rapid.SampledFrom(strategies).Draw(p.T, "strategy")
	p.w.spec.Canary.Steps = nil
	weight := int32(0)
	for range rapid.IntRange(1, 3).Draw(p.T, "canary steps") {
		weight += rapid.Int32Range(1, 33).Draw(p.T, "weight")
		p.w.spec.Canary.Steps = append(p.w.spec.Canary.Steps, v1alpha1.CanaryStep{Weight: weight})
	}
}

func (p *cutoverProperty) step(event int) {
	w := p.w
	switch {
	case event < 40:
		p.operator()
	case event < 55:
		p.eachSet("replicate", w.replicate)
	case event < 72:
		p.eachSet("start", w.start)
	case event < 80:
		w.takeUp()
	case event < 86:
		w.now = w.now.Add(time.Duration(rapid.IntRange(1, 40).Draw(p.T, "seconds")) * time.Second)
		w.takeUp()
	case event < 89:
		p.release()
	case event < 91:
		w.desired = rapid.Int32Range(1, 6).Draw(p.T, "scale to")
	case event < 93:
		p.eachSet("lose", func(name string) { w.lose(name) })
	case event < 96:
		verdicts := []string{v1alpha1.VerdictPass, v1alpha1.VerdictPending, v1alpha1.VerdictFail, v1alpha1.VerdictInconclusive}
		gate := rapid.SampledFrom([]string{"smoke", "errors"}).Draw(p.T, "gate")
		w.verdicts[w.target+"/"+gate] = rapid.SampledFrom(verdicts).Draw(p.T, "verdict")
	case event < 98:
		verb := rapid.SampledFrom([]string{VerbPromote, VerbPromoteFull, VerbAbort, VerbAbortForce, VerbRetry}).Draw(p.T, "verb")
		w.word = fmt.Sprintf("%s:%s:%d:%d", verb, w.target, w.status.Attempt, w.status.Step)
	case event < 99:
		w.interlock = rapid.SampledFrom([]string{"", "database"}).Draw(p.T, "interlock")
	case event < 100:
		w.unsafe = !w.unsafe
	default:
		p.choose()
	}
	w.collect()
}

func (p *cutoverProperty) eachSet(name string, turn func(string)) {
	if names := p.w.names(); len(names) > 0 {
		turn(rapid.SampledFrom(names).Draw(p.T, name))
	}
}

func (p *cutoverProperty) release() {
	w := p.w
	if names := w.names(); len(names) > 0 && rapid.IntRange(0, 2).Draw(p.T, "release") == 0 {
		w.target = rapid.SampledFrom(names).Draw(p.T, "back to")
		return
	}
	p.made++
	w.target = fmt.Sprintf("v%d", p.made)
	if rapid.IntRange(0, 3).Draw(p.T, "broken") == 0 {
		w.target += "!"
	}
}

// operator is one pass, with what must hold of every decision.
func (p *cutoverProperty) operator() {
	w := p.w
	in, before, picture := w.input(), w.status.Traffic.DeepCopy(), p.picture()
	d := Next(in)
	p.led(in, before, d, picture)
	p.shrunk(in, d, picture)
	w.act(d, w.versions())
	p.unchecked(in, d, picture)
}

// led: what gets more traffic has the pods for it, and nothing that has no pod gets any while the stable
// revision or the candidate has some.
func (p *cutoverProperty) led(in Input, before *v1alpha1.TrafficStatus, d Decision, picture string) {
	after := d.Status.Traffic
	dead := false
	for revision, weight := range goalOf(before).weights {
		dead = dead || weight > 0 && p.w.set(revision).Available == 0
	}
	demand := max(in.Desired, d.Status.Demand)
	forced := d.Status.Failure != nil && (d.Status.Failure.ForcedTime != nil || in.Now.Sub(d.Status.Failure.Time.Time) >= in.Deadline) ||
		d.Status.ProgressTime != nil && d.Status.Candidate == nil && in.Now.Sub(d.Status.ProgressTime.Time) >= in.Deadline
	for _, b := range after.Backends {
		got := p.w.set(b.Revision).Available
		more := before != nil && b.Weight > weightOf(before, b.Revision) && after.Service != ""
		if more && !dead && !forced && got < portion(b.Weight, demand) && got < portion(b.Weight, in.Desired) {
			p.Fatalf("%s gets %d%% of the traffic with %d pods of %d\n%s", b.Revision, b.Weight, got, demand, picture)
		}
		if other := p.alive(in, d); b.Weight > 0 && got == 0 && other != "" && other != b.Revision {
			p.Fatalf("%s has %d%% of the traffic and no pod, while %s has some\n%s", b.Revision, b.Weight, other, picture)
		}
	}
}

// alive is the stable revision or a candidate that has not failed, if it has a pod that serves.
func (p *cutoverProperty) alive(in Input, d Decision) string {
	for _, name := range []string{revisionOf(d.Status.Stable), revisionOf(d.Status.Candidate)} {
		failed := d.Status.Failure != nil && name == revisionOf(d.Status.Candidate)
		if name != "" && !failed && in.set(name).Available > 0 {
			return name
		}
	}
	return ""
}

// shrunk: no set loses pods that a proxy may still need.
func (p *cutoverProperty) shrunk(in Input, d Decision, picture string) {
	w := p.w
	for _, size := range d.Sizes {
		set := w.set(size.Revision)
		if size.Replicas >= min(set.Replicas, set.Available) {
			continue
		}
		for _, f := range append([]flight{{goal: w.written}}, w.flights...) {
			over := !f.until.IsZero() && !w.now.Before(f.until)
			if weight := f.weights[size.Revision]; !over && f.service != "" && size.Replicas < portion(weight, in.Desired) {
				p.Fatalf("%s shrinks from %d to %d, while a proxy may lead %d%% of the traffic to it\n%s",
					size.Revision, set.Replicas, size.Replicas, weight, picture)
			}
		}
	}
}

// unchecked: a candidate at a step without traffic has no pod that any proxy leads to.
func (p *cutoverProperty) unchecked(in Input, d Decision, picture string) {
	w := p.w
	candidate := revisionOf(d.Status.Candidate)
	if candidate == "" || d.Status.Step != 1 || d.Status.Steps < 2 || d.Status.Failure != nil || p.fickle || w.written.service != "" {
		return
	}
	if size := slices.IndexFunc(d.Sizes, func(s Size) bool { return s.Revision == candidate }); size >= 0 {
		if before := in.set(candidate); before.Replicas == 0 && d.Sizes[size].Replicas > 0 {
			p.Fatalf("%s gets pods while the Service leads to the pods of all\n%s", candidate, picture)
		}
	}
}

// settle lets everything run its course: a good version comes to rest.
func (p *cutoverProperty) settle() {
	w := p.w
	w.interlock, w.unsafe, w.verdicts, w.word = "", false, map[string]string{}, ""
	if strings.HasSuffix(w.target, "!") {
		p.made++
		w.target = fmt.Sprintf("v%d", p.made)
	}
	for range 400 {
		p.operator()
		w.takeUp()
		for _, name := range w.names() {
			w.replicate(name)
			w.start(name)
		}
		w.collect()
		w.now = w.now.Add(time.Second)
		if f := w.status.Failure; f != nil { // it failed before all was well
			w.word = fmt.Sprintf("retry:%s:%d", w.target, w.status.Attempt)
		}
		if w.atRest() {
			p.quiet()
			return
		}
	}
	p.Fatalf("no rest after 400 rounds:\n%s", p.picture())
}

// quiet checks that further passes change nothing.
func (p *cutoverProperty) quiet() {
	p.operator()
	before := p.w.status.DeepCopy()
	d := Next(p.w.input())
	if !reflect.DeepEqual(d.Status, *before) || !p.w.atRest() || d.Wake != 0 {
		p.Fatalf("the app is at rest, but there is more to do: %+v\nbefore %+v", d, before)
	}
}

func (p *cutoverProperty) picture() string {
	w := p.w
	text := fmt.Sprintf("%s, gateway %t, desired %d, demand %d, target %s, stable %s, candidate %s, step %d/%d, stage %s, failure %v\n",
		w.spec.Strategy, w.gateway, w.desired, w.status.Demand, w.target, revisionOf(w.status.Stable), revisionOf(w.status.Candidate),
		w.status.Step, w.status.Steps, w.status.Stage, w.status.Failure)
	for _, name := range w.names() {
		text += fmt.Sprintf("  %s: %+v\n", name, *w.sets[name])
	}
	text += fmt.Sprintf("  traffic %+v, written %+v, flights %+v\n", w.status.Traffic, w.written, w.flights)
	d := Next(w.input())
	return text + fmt.Sprintf("the next decision: %v %+v %s", d.Sizes, d.Status.Traffic, d.Status.Message)
}
