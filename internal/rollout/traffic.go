package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// goal is where traffic shall be led.
type goal struct {
	// service is the revision that the app's Service leads to; empty for the pods of all.
	service string
	// weights are the shares of the revisions, in percent. A rolling update has none: pods share.
	weights map[string]int32
	// rescue says that the sets which were to serve have no pod that does, and another has.
	rescue bool
}

func only(revision string) goal {
	return goal{service: revision, weights: map[string]int32{revision: 100}}
}

var everybody = goal{}

// is says whether traffic is led so, or is on its way to be.
func (g goal) is(t *v1alpha1.TrafficStatus) bool {
	if t == nil || t.Service != g.service {
		return false
	}
	weights := map[string]int32{}
	for _, b := range t.Backends {
		if b.Weight > 0 {
			weights[b.Revision] = b.Weight
		}
	}
	if len(weights) != len(g.weights) {
		return false
	}
	for revision, weight := range g.weights {
		if weights[revision] != weight {
			return false
		}
	}
	return true
}

func (g goal) describe(in Input) string {
	switch {
	case len(g.weights) == 0:
		return "traffic goes to all pods"
	case g.weights[in.Target.Revision] > 0:
		return fmt.Sprintf("%d%% of the traffic goes to %s", g.weights[in.Target.Revision], in.Target.Revision)
	default:
		return "all traffic goes to " + g.service
	}
}

// goal is where traffic shall be led, as long as the sets that it names have a pod that serves.
func (in *Input) goal() goal {
	stable, candidate := nameOf(in.Status.Stable), nameOf(in.Status.Candidate)
	given := in.Status.Failure != nil || candidate == ""
	switch {
	case stable == "" && in.Course.rolling():
		return everybody
	case stable == "":
		return only(candidate)
	case frozen(*in):
		return goalOf(in.Status.Traffic)
	case in.Course.rolling() && (given || in.step().Roll):
		return in.shared()
	case given || in.step().Weight == 0:
		return only(stable)
	}
	return in.stepGoal(stable, candidate)
}

// shared is the goal of a rolling update: pods of all revisions, if there are none but those that are
// to serve. What another strategy has left behind must not get traffic by the way.
func (in *Input) shared() goal {
	if t := in.Status.Traffic; t == nil || t.Service == "" {
		return everybody
	}
	stable, candidate := nameOf(in.Status.Stable), nameOf(in.Status.Candidate)
	if in.Status.Failure != nil {
		candidate = "" // a candidate that failed before it had traffic
	}
	if in.strangers(stable, candidate) {
		return only(stable)
	}
	return everybody
}

// strangers says whether there are pods of other revisions.
func (in *Input) strangers(known ...string) bool {
	return slices.ContainsFunc(in.all(), func(set Set) bool {
		return set.Replicas+set.Pods > 0 && !slices.Contains(known, set.Revision)
	})
}

// stepGoal is the goal of a step that gives the candidate traffic. Until it has the pods for it, traffic
// stays as it was at the step before.
func (in *Input) stepGoal(stable, candidate string) goal {
	step := in.step()
	if in.Target.Available < in.Course.pods(step, in.Desired) || !in.Target.Exists {
		if now := goalOf(in.Status.Traffic); now.among(stable, candidate) {
			return now
		}
		return only(stable)
	}
	split := goal{service: stable, weights: map[string]int32{stable: 100 - step.Weight, candidate: step.Weight}}
	switch {
	case step.Weight == 100:
		return only(candidate)
	case in.Course.Gateway:
		return split
	default:
		split.service = ""
		return split
	}
}

// goalOf is the goal that a stored traffic came from.
func goalOf(t *v1alpha1.TrafficStatus) goal {
	if t == nil {
		return everybody
	}
	g := goal{service: t.Service}
	for _, b := range t.Backends {
		if b.Weight > 0 {
			if g.weights == nil {
				g.weights = map[string]int32{}
			}
			g.weights[b.Revision] = b.Weight
		}
	}
	return g
}

// among says whether the goal leads to the given revisions and nowhere else.
func (g goal) among(revisions ...string) bool {
	for revision := range g.weights {
		if !slices.Contains(revisions, revision) {
			return false
		}
	}
	return len(g.weights) > 0
}

// rescued is the goal, unless a revision that it names has no pod that serves. Then traffic stays where
// it is, as long as that serves; and if it does not, all of it goes at once to a revision that does. A broken
// revision must not keep its own fix from serving.
func (in *Input) rescued(g goal) goal {
	now := goalOf(in.Status.Traffic)
	switch {
	case in.Desired == 0:
		return g
	case in.serves(g):
		g.rescue = !in.serves(now)
		return g
	case in.serves(now):
		return now
	}
	candidate := nameOf(in.Status.Candidate)
	if in.Status.Failure != nil {
		candidate = ""
	}
	order := []string{nameOf(in.Status.Stable), candidate, nameOf(in.Status.Previous)}
	for _, set := range in.all() {
		order = append(order, set.Revision)
	}
	for _, revision := range order {
		if revision != "" && in.set(revision).Available > 0 {
			saved := only(revision)
			saved.rescue = true
			return saved
		}
	}
	return g
}

// serves says whether every revision that traffic is led to has a pod that serves.
func (in *Input) serves(g goal) bool {
	for revision, weight := range g.weights {
		if weight > 0 && in.set(revision).Available == 0 {
			return false
		}
	}
	return true
}

// lead decides where traffic is led, and stores it in the status: it moves to the goal when the sets that
// get more have the pods for it, and counts as settled some time after it is in force.
func lead(in Input, d *Decision) {
	in.Status = d.Status
	t := in.Status.Traffic.DeepCopy()
	if t == nil {
		t = &v1alpha1.TrafficStatus{} // as Services were before: all pods
	}
	target := in.rescued(in.goal())
	if d.still && !target.rescue {
		target = goalOf(t)
	}
	if !target.is(in.Status.Traffic) && (in.Status.Traffic == nil || target.rescue || in.able(target, t)) {
		t = in.moved(target, t)
		d.wakeAt(in.Now, in.Now.Add(in.Settle))
	} else {
		in.settle(t, d)
	}
	d.Status.Traffic = t
	d.Status.DrainTime = in.Status.DrainTime
	in.Status = d.Status
	d.Status.Weight, d.Status.ActualWeight = in.weights()
	wakeAtDrain(in, d)
}

// able says whether each set that is to get more has the pods for it. One that is gone back to needs them
// too, but not for ever: a few pods of a good version are better than many of a bad one.
func (in *Input) able(g goal, t *v1alpha1.TrafficStatus) bool {
	if g.service == "" && len(g.weights) > 0 && in.strangers(nameOf(in.Status.Stable), nameOf(in.Status.Candidate)) {
		return false // the pods of a third revision would share the traffic
	}
	if in.barred(g, t) != "" {
		return false
	}
	for revision, weight := range g.weights {
		if t.Service != "" && weight <= weightOf(t, revision) {
			continue
		}
		need := portion(weight, in.Desired)
		if g.service == "" {
			need = min(need, 1) // pods share; together they are enough at any time
		}
		if available := in.set(revision).Available; available < need && (available == 0 || !in.overdue()) {
			return false
		}
	}
	return true
}

// barred is why the candidate must not get more traffic, whatever pods it has: where that would be led to is
// somebody else's, or not there at all.
func (in *Input) barred(g goal, t *v1alpha1.TrafficStatus) string {
	c := nameOf(in.Status.Candidate)
	switch {
	case in.Status.Stable == nil || in.Status.Failure != nil || g.weights[c] <= weightOf(t, c):
		return ""
	case in.Course.Gateway && in.Traffic.Unreachable[c] != "":
		return in.Traffic.Unreachable[c]
	case in.Traffic.Obstacle.Lasting:
		return in.Traffic.Obstacle.Message
	default:
		return ""
	}
}

// overdue says whether going back has taken as long as it may.
func (in *Input) overdue() bool {
	switch f := in.Status.Failure; {
	case f != nil && f.ForcedTime != nil:
		return true
	case f != nil:
		return !in.Now.Before(f.Time.Add(in.Deadline))
	case in.Status.Candidate == nil && in.Status.ProgressTime != nil:
		return !in.Now.Before(in.Status.ProgressTime.Add(in.Deadline))
	default:
		return false
	}
}

// moved is the traffic that is led to the goal from now on. What had traffic may have some until this is
// settled.
func (in *Input) moved(g goal, t *v1alpha1.TrafficStatus) *v1alpha1.TrafficStatus {
	out := &v1alpha1.TrafficStatus{Service: g.service}
	for _, set := range in.all() {
		b := v1alpha1.BackendStatus{Revision: set.Revision, Weight: g.weights[set.Revision]}
		b.Highest = max(b.Weight, highestOf(t, set.Revision))
		if t.Service == "" && set.Replicas+set.Pods > 0 {
			b.Highest = 100
		}
		if b.Highest > 0 && (len(g.weights) > 0 || g.service != "") {
			out.Backends = append(out.Backends, b)
		}
	}
	slices.SortFunc(out.Backends, func(a, b v1alpha1.BackendStatus) int { return strings.Compare(a.Revision, b.Revision) })
	return out
}

// settle follows what was seen of the traffic. Somebody else's write to the Service or the route may have
// led it anywhere: then every set may have traffic until it is put right.
func (in *Input) settle(t *v1alpha1.TrafficStatus, d *Decision) {
	switch {
	case !in.Traffic.Applied:
		if t.SettledTime != nil && t.Service != "" {
			*t = *in.moved(goalOf(t), &v1alpha1.TrafficStatus{})
		}
		t.InForceTime, t.SettledTime = nil, nil
	case t.SettledTime != nil:
	case t.InForceTime == nil && !in.Traffic.InForce:
		if in.Traffic.Obstacle.Lasting {
			d.wakeAt(in.Now, in.Now.Add(drain))
		}
	case t.InForceTime == nil:
		// Rounded up: what is stored has whole seconds, and proxies are to have all of their time.
		t.InForceTime = new(metav1.NewTime(in.Now.Add(time.Second - 1).Truncate(time.Second)))
		d.wakeAt(in.Now, t.InForceTime.Add(in.Settle))
	case in.Now.Before(t.InForceTime.Add(in.Settle)):
		d.wakeAt(in.Now, t.InForceTime.Add(in.Settle))
	default:
		in.settled(t)
		d.wakeAt(in.Now, in.Now)
	}
}

// settled stores that all proxies follow. Who lost the traffic keeps its pods for requests under way.
func (in *Input) settled(t *v1alpha1.TrafficStatus) {
	t.SettledTime = in.seconds()
	var kept []v1alpha1.BackendStatus
	for _, b := range t.Backends {
		b.Highest = b.Weight
		if b.Weight > 0 {
			kept = append(kept, b)
		}
	}
	if len(kept) < len(t.Backends) {
		in.Status.DrainTime = new(metav1.NewTime(in.seconds().Add(drain)))
	}
	t.Backends = kept
}

// weights are the candidate's share of the traffic, as it is led and as it is seen.
func (in *Input) weights() (weight, actual *int32) {
	c, t := nameOf(in.Status.Candidate), in.Status.Traffic
	if c == "" {
		if in.Course.rolling() && in.Status.Stage != v1alpha1.StageStable {
			return new(in.share()), nil
		}
		return new(int32(100)), nil
	}
	weight = new(weightOf(t, c))
	if t.Service == "" && len(t.Backends) == 0 {
		weight = new(in.share())
	}
	switch {
	case !in.Course.Gateway || t.Service == "":
		actual = new(in.Traffic.Share[c])
	case t.SettledTime != nil:
		actual = weight
	default:
		actual = in.Status.ActualWeight
	}
	return weight, actual
}

// share is the target's share of the serving pods, in percent.
func (in *Input) share() int32 {
	total := int32(0)
	for _, set := range in.all() {
		total += set.Available
	}
	if total == 0 {
		return 0
	}
	return in.Target.Available * 100 / total
}

func weightOf(t *v1alpha1.TrafficStatus, revision string) int32 {
	if t == nil {
		return 0
	}
	for _, b := range t.Backends {
		if b.Revision == revision {
			return b.Weight
		}
	}
	return 0
}

func highestOf(t *v1alpha1.TrafficStatus, revision string) int32 {
	for _, b := range t.Backends {
		if b.Revision == revision {
			return b.Highest
		}
	}
	return 0
}

// carries says whether a revision has traffic, or may have some.
func carries(t *v1alpha1.TrafficStatus, revision string) bool {
	return t == nil || t.Service == "" || t.Service == revision || highestOf(t, revision) > 0
}
