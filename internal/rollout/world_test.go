package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// world is a cluster with nothing in it but the Deployments of one app, its Service and its route: what
// Next decides becomes true in it, some time later. Revisions are called v1, v2, …, in the order in which
// they were made; a name that ends in "!" is that of a version whose pods never serve.
type world struct {
	now                         time.Time
	desired, surge, unavailable int32
	spec                        v1alpha1.RolloutSpec
	gateway                     bool
	target                      string
	obstacle                    Obstacle
	interlock                   string
	migration                   map[string]Migration
	unsafe                      bool
	proven                      map[string]bool
	word                        string
	// verdicts are what gates say of a revision, by REVISION/GATE; Pass if not told otherwise.
	verdicts map[string]string
	status   v1alpha1.RolloutStatus
	sets     map[string]*fakeSet
	// written is where the Service and the route lead; taken is when the controllers behind them took it
	// up, zero if they have not. refused is why they never do.
	written goal
	taken   time.Time
	refused string
	// flights are where proxies may still lead traffic to, and until when.
	flights []flight
}

// flight is where some proxy may still lead traffic to; without an end, until what follows is taken up.
type flight struct {
	goal
	until time.Time
}

// fakeSet is a Deployment and its pods.
type fakeSet struct {
	// replicas is what its spec asks for; starting and available are its pods.
	replicas, starting, available int32
	// version counts the changes, as a resourceVersion does.
	version int
	// broken pods never become available.
	broken bool
}

const settleTime = 5 * time.Second

func newWorld(desired, surge, unavailable int32) *world {
	return &world{
		now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), desired: desired, surge: surge, unavailable: unavailable,
		spec:   v1alpha1.RolloutSpec{Strategy: v1alpha1.RolloutRolling},
		target: "v1", migration: map[string]Migration{}, sets: map[string]*fakeSet{},
		proven: map[string]bool{}, verdicts: map[string]string{},
	}
}

// input is what the operator sees.
func (w *world) input() Input {
	in := Input{
		Now: w.now, Desired: w.desired, MaxSurge: w.surge, MaxUnavailable: w.unavailable, Deadline: 60 * time.Second,
		Settle: settleTime, Hold: 60 * time.Second, Course: NewCourse(&w.spec, w.gateway),
		Status: *w.status.DeepCopy(), Target: w.set(w.target), Obstacle: w.obstacle, Interlock: w.interlock,
		Migration: w.migration[w.target], RollbackUnsafe: w.unsafe, Word: ParseWord(w.word),
	}
	in.Course.Proven = w.proven[w.target]
	if s := w.sets[w.target]; s != nil && s.broken && s.starting > 0 {
		in.Trouble = Obstacle{Reason: v1alpha1.ReasonImagePullFailed, Message: "image app:" + w.target + " cannot be pulled"}
	}
	for _, name := range w.names() {
		if name != w.target {
			in.Others = append(in.Others, w.set(name))
		}
	}
	in.Traffic = w.traffic()
	in.Gates = w.judged()
	return in
}

func (w *world) traffic() TrafficSeen {
	seen := TrafficSeen{Applied: w.written.is(w.status.Traffic) || w.status.Traffic == nil, Share: map[string]int32{}}
	seen.InForce = seen.Applied && !w.taken.IsZero()
	if !seen.InForce && w.refused != "" {
		seen.Obstacle = Obstacle{Reason: v1alpha1.ReasonRouteNotAccepted, Message: w.refused, Lasting: true}
	}
	total := w.available()
	for name, s := range w.sets {
		if total > 0 && (w.written.service == "" || w.written.service == name) {
			seen.Share[name] = s.available * 100 / total
		}
	}
	return seen
}

// judged is what the gates of the stored step say.
func (w *world) judged() Judged {
	var out Judged
	if w.status.StepStartedTime == nil {
		return out
	}
	for _, g := range w.status.Gates {
		g.Verdict = v1alpha1.VerdictPass
		if v := w.verdicts[w.target+"/"+g.Name]; v != "" {
			g.Verdict, g.Value, g.Limit = v, "0.3", "0.01"
		}
		out.Statuses = append(out.Statuses, g)
	}
	return out
}

func (w *world) set(name string) Set {
	var number int64
	_, _ = fmt.Sscanf(name, "v%d", &number)
	set := Set{Revision: name, Image: "app:" + name, Number: number}
	if s := w.sets[name]; s != nil {
		set.Exists, set.Replicas, set.Pods, set.Available = true, s.replicas, s.starting+s.available, s.available
	}
	return set
}

// names are the revisions that have a Deployment, newest first.
func (w *world) names() []string {
	names := slices.Sorted(maps.Keys(w.sets))
	slices.Reverse(names)
	return names
}

// act stores the decision and makes the Deployments so; pods follow later. As the plan and the executor
// do, it takes pods away before it adds any, and only while all Deployments still are as they were seen.
func (w *world) act(d Decision, seen map[string]int) {
	w.status = d.Status
	current := maps.Equal(w.versions(), seen)
	w.lead(d.Status.Traffic)
	if d.Status.Stage == v1alpha1.StageStable {
		w.proven[revisionOf(d.Status.Stable)] = true
	}
	for _, size := range d.Sizes {
		if w.sets[size.Revision] == nil {
			w.sets[size.Revision] = &fakeSet{broken: strings.HasSuffix(size.Revision, "!")}
		}
		s := w.sets[size.Revision]
		if size.Replicas < s.replicas && !current {
			continue // a conflict: decided anew with a newer view
		}
		if size.Replicas != s.replicas {
			s.version++
		}
		s.replicas = size.Replicas
	}
}

// lead writes the Service and the route. What they led to before stays in flight.
func (w *world) lead(t *v1alpha1.TrafficStatus) {
	if t == nil || w.written.is(t) {
		return
	}
	w.flights = append(w.flights, flight{goal: w.written})
	w.written, w.taken = goalOf(t), time.Time{}
}

// takeUp is the turn of the controllers behind the Service and the route: proxies follow within the time
// that is given them to settle.
func (w *world) takeUp() {
	if w.taken.IsZero() && w.refused == "" {
		w.taken = w.now
		for i := range w.flights {
			if w.flights[i].until.IsZero() {
				w.flights[i].until = w.now.Add(settleTime)
			}
		}
	}
	w.flights = slices.DeleteFunc(w.flights, func(f flight) bool { return !f.until.IsZero() && !w.now.Before(f.until) })
}

// replicate is the Deployment controller's turn for one revision: it makes pods that are missing and
// takes away those that are too many, the ones that do not serve first.
func (w *world) replicate(name string) {
	s := w.sets[name]
	if s.replicas != s.starting+s.available {
		s.version++
	}
	if missing := s.replicas - s.starting - s.available; missing > 0 {
		s.starting += missing
		return
	}
	for s.starting+s.available > s.replicas {
		if s.starting > 0 {
			s.starting--
		} else {
			s.available--
		}
	}
}

// start is the kubelet's turn: one pod of the revision becomes available.
func (w *world) start(name string) {
	if s := w.sets[name]; s.starting > 0 && !s.broken {
		s.starting--
		s.available++
		s.version++
	}
}

// lose takes one serving pod of the revision away, as the loss of a node does.
func (w *world) lose(name string) bool {
	s := w.sets[name]
	if s == nil || s.available == 0 {
		return false
	}
	s.available--
	s.version++
	return true
}

// collect deletes Deployments that nothing runs in, as the plan does.
func (w *world) collect() {
	for name, s := range w.sets {
		live := name == w.target || revisionOf(w.status.Stable) == name || revisionOf(w.status.Candidate) == name ||
			revisionOf(w.status.Previous) == name
		if !live && s.replicas+s.starting+s.available == 0 {
			delete(w.sets, name)
		}
	}
}

func (w *world) versions() map[string]int {
	versions := map[string]int{}
	for name, s := range w.sets {
		versions[name] = s.version
	}
	return versions
}

func (w *world) available() (sum int32) {
	for _, s := range w.sets {
		sum += s.available
	}
	return sum
}

// assured is the number of pods that serve and that no Deployment is to take away: it is the operator
// that is judged by it, not the time at which the controllers follow.
func (w *world) assured() (sum int32) {
	for _, s := range w.sets {
		sum += min(s.available, s.replicas)
	}
	return sum
}

func (w *world) asked() (sum int32) {
	for _, s := range w.sets {
		sum += s.replicas
	}
	return sum
}

func revisionOf(r *v1alpha1.RevisionStatus) string {
	if r == nil {
		return ""
	}
	return r.Revision
}

// atRest says whether the target is what runs, all of it, and nothing else.
func (w *world) atRest() bool {
	for name, s := range w.sets {
		want := int32(0)
		if name == w.target {
			want = w.desired
		}
		if s.replicas != want || s.starting != 0 || s.available != want {
			return false
		}
	}
	return w.sets[w.target] != nil && w.status.Stage == v1alpha1.StageStable && revisionOf(w.status.Stable) == w.target &&
		w.status.Previous == nil && w.status.DrainTime == nil && w.status.Traffic.SettledTime != nil && len(w.flights) == 0 &&
		(w.spec.Strategy == v1alpha1.RolloutRolling) == (w.status.Traffic.Service == "")
}
