package rollout

import (
	"flag"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func init() {
	// The seed that rapid prints is enough to see a failure again; files would be left about.
	_ = flag.Set("rapid.nofailfile", "true")
	_ = flag.Set("rapid.checks", "500") // make fuzz-rollout looks further
}

// What must hold whatever happens, in whatever order the operator, the controllers and the kubelets
// take their turns. rapid looks for a counterexample and shrinks it: the printed steps are the report.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newProperty(t)
		for range rapid.IntRange(10, 80).Draw(t, "steps") {
			p.step(rapid.IntRange(0, 99).Draw(t, "event"))
		}
		p.settle()
	})
}

// The same with an operator whose caches lag: it decides on pods and Deployments as they were several
// turns ago, though with the stored status and the spec as they are, which the optimistic lock on the
// status ensures. Pods are not lost here: no lock can tell that a pod that was seen is gone.
func TestInvariantsWithStaleView(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newProperty(t)
		p.staleness = rapid.IntRange(1, 12).Draw(t, "staleness")
		p.calm = true
		for range rapid.IntRange(10, 80).Draw(t, "steps") {
			p.step(rapid.IntRange(0, 99).Draw(t, "event"))
		}
		p.staleness = 0
		p.settle()
	})
}

type property struct {
	*rapid.T
	w *world
	// made is the number of revisions that were made.
	made int
	// lost says that the world itself took pods away since the app was last at rest.
	lost bool
	// crowded says that a revision was given up, the number of pods changed or a pod was lost since the
	// app was last at rest: then there may be more pods than wanted and surge together, for a while.
	crowded bool
	// staleness is how many turns behind the operator's view is; history is what it was.
	staleness int
	history   []view
	// calm leaves out lost pods.
	calm bool
}

// view is what the operator may have seen, and the versions of the Deployments in it.
type view struct {
	in       Input
	versions map[string]int
}

func newProperty(t *rapid.T) *property {
	desired := rapid.Int32Range(0, 8).Draw(t, "desired")
	surge := rapid.Int32Range(0, 3).Draw(t, "surge")
	unavailable := rapid.Int32Range(0, 2).Draw(t, "unavailable")
	if surge == 0 && unavailable == 0 {
		surge = 1
	}
	return &property{T: t, w: newWorld(desired, surge, unavailable), made: 1}
}

// step is one turn of somebody, with the invariants checked after it.
func (p *property) step(event int) {
	w := p.w
	switch {
	case event < 40:
		p.operator()
	case event < 60:
		p.eachSet("replicate", p.replicate)
	case event < 85:
		p.eachSet("start", w.start)
	case event < 86:
		w.now = w.now.Add(30 * time.Second)
	case event < 88:
		w.takeUp()
	case event < 92:
		p.release()
	case event < 95:
		w.desired = rapid.Int32Range(0, 8).Draw(p.T, "scale to")
		p.crowded = true
	case !p.calm:
		p.loseAny()
	}
	w.collect()
	if w.atRest() {
		p.lost, p.crowded = false, false
	}
	p.history = append(p.history, view{w.input(), w.versions()})
}

// operator is one pass, with what must hold of every single decision.
func (p *property) operator() {
	w := p.w
	in, versions := w.input(), w.versions()
	if i := len(p.history) - p.staleness; p.staleness > 0 && i >= 0 {
		in, versions = p.stale(p.history[i].in), p.history[i].versions
	}
	d := Next(in)
	if again := Next(in); !reflect.DeepEqual(again, d) {
		p.Fatalf("two decisions from one input: %v and %v", d, again)
	}
	total, demand := int32(0), max(w.desired, d.Status.Demand)
	for _, size := range d.Sizes {
		if size.Replicas < 0 || size.Replicas > demand && size.Replicas > w.set(size.Revision).Replicas {
			p.Fatalf("%s is to have %d pods of %d wanted\n%s", size.Revision, size.Replicas, w.desired, p.picture())
		}
		if size.Revision == in.Target.Revision && d.Status.Failure == nil && size.Replicas < min(in.Target.Replicas, w.desired) {
			p.Fatalf("the target shrinks from %d to %d, though %d are wanted\n%s", in.Target.Replicas, size.Replicas, w.desired, p.picture())
		}
		total += size.Replicas
	}
	if limit := max(demand+w.surge, w.asked()); !p.crowded && !p.lost && p.staleness == 0 && total > limit {
		p.Fatalf("%v are %d pods, more than %d\n%s", d.Sizes, total, limit, p.picture())
	}
	before, floor := w.assured(), max(0, w.desired-w.unavailable)
	picture := p.picture()
	w.act(d, versions)
	if after := w.assured(); after < min(before, floor) {
		p.Fatalf("%d pods were sure to serve and now %d are; at least %d of %d must. Before %v:\n%s",
			before, after, floor, w.desired, d.Sizes, picture)
	}
}

// replicate is a Deployment controller's turn: it may take away only what a decision gave up.
func (p *property) replicate(name string) {
	before := p.w.assured()
	p.w.replicate(name)
	if after := p.w.available(); after < before {
		p.Fatalf("%d pods were sure to serve and %d do\n%s", before, after, p.picture())
	}
}

// stale is the present input with the Deployments and pods as an old view has them.
func (p *property) stale(old Input) Input {
	in := p.w.input()
	seen := map[string]Set{old.Target.Revision: old.Target}
	for _, set := range old.Others {
		seen[set.Revision] = set
	}
	in.Target = p.w.set(in.Target.Revision)
	if set, ok := seen[in.Target.Revision]; ok {
		in.Target = set
	} else {
		in.Target.Exists, in.Target.Replicas, in.Target.Pods, in.Target.Available = false, 0, 0, 0
	}
	in.Others = nil
	for _, set := range append([]Set{old.Target}, old.Others...) {
		if set.Revision != in.Target.Revision && set.Exists {
			in.Others = append(in.Others, set)
		}
	}
	return in
}

func (p *property) eachSet(name string, turn func(string)) {
	if names := p.w.names(); len(names) > 0 {
		turn(rapid.SampledFrom(names).Draw(p.T, name))
	}
}

// release is the user's turn: a new version, a broken one, or one of the versions before.
func (p *property) release() {
	w := p.w
	if !w.atRest() {
		p.crowded = true
	}
	switch kind := rapid.IntRange(0, 3).Draw(p.T, "release"); {
	case kind == 0 && revisionOf(w.status.Stable) != "":
		w.target = revisionOf(w.status.Stable)
		return
	case kind == 1 && len(w.sets) > 0:
		w.target = rapid.SampledFrom(w.names()).Draw(p.T, "back to")
		return
	}
	p.made++
	w.target = fmt.Sprintf("v%d", p.made)
	if rapid.IntRange(0, 3).Draw(p.T, "broken") == 0 {
		w.target += "!"
	}
}

func (p *property) loseAny() {
	if names := p.w.names(); len(names) > 0 && p.w.lose(rapid.SampledFrom(names).Draw(p.T, "lose")) {
		p.lost = true
	}
}

// settle lets everything run its course: with a version that works, the app comes to rest.
func (p *property) settle() {
	w := p.w
	if s := w.set(w.target); s.Revision[len(s.Revision)-1] == '!' {
		p.made++
		w.target = fmt.Sprintf("v%d", p.made)
		p.crowded = true
	}
	for range 200 {
		p.step(0)
		w.takeUp()
		for _, name := range w.names() {
			p.replicate(name)
			w.start(name)
		}
		w.collect()
		w.now = w.now.Add(time.Second)
		if w.status.Failure != nil && w.status.Failure.ForcedTime == nil && w.word == "" { // a good version that failed by bad luck
			w.word = fmt.Sprintf("retry:%s:%d", w.target, w.status.Attempt)
			p.crowded = true
		} else if w.status.Failure == nil {
			w.word = ""
		}
		if w.atRest() {
			p.quiet()
			return
		}
	}
	p.Fatalf("no rest after 200 rounds:\n%s", p.picture())
}

// quiet checks that a further pass changes nothing.
func (p *property) quiet() {
	before := p.w.input()
	p.operator()
	p.w.status.Stable.Replicas, p.w.status.Stable.AvailableReplicas = before.Target.Pods, before.Target.Available
	d := Next(p.w.input())
	if !reflect.DeepEqual(d.Status, p.w.status) || !p.w.atRest() || d.Wake != 0 {
		p.Fatalf("the app is at rest, but there is more to do: %+v", d)
	}
}

func (p *property) picture() string {
	w := p.w
	text := fmt.Sprintf("desired %d, surge %d, unavailable %d, target %s, stable %s, stage %s\n",
		w.desired, w.surge, w.unavailable, w.target, revisionOf(w.status.Stable), w.status.Stage)
	for _, name := range w.names() {
		text += fmt.Sprintf("  %s: %+v\n", name, *w.sets[name])
	}
	return text + fmt.Sprintf("the next decision: %v", Next(w.input()).Sizes)
}
