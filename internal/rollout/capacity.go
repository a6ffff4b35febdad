package rollout

import "github.com/scalableapp/scalableapp-operator/api/v1alpha1"

// sizes are the numbers of pods of all revisions. They follow from the status that was decided, the
// traffic in it above all: a set that has traffic, or may have some, keeps the pods for it.
func sizes(in Input, d *Decision) []Size {
	in.Status = d.Status
	t := in.Status.Traffic
	checks := in.Status.Candidate != nil && in.Status.Failure == nil && !in.step().Roll // before it replaces anything
	if in.Course.rolling() && t.Service == "" && !checks && t.SettledTime != nil {
		return rollingSizes(in, d)
	}
	return cutoverSizes(in, d)
}

// cutoverSizes are the sizes while traffic is led to chosen revisions.
func cutoverSizes(in Input, d *Decision) []Size {
	var out []Size
	for _, set := range in.all() {
		isTarget := set.Revision == in.Target.Revision
		if isTarget && d.podless {
			continue
		}
		size := Size{Revision: set.Revision}
		switch {
		case isStable(in, set):
			size.Replicas = stableSize(in, set)
		case isTarget && in.Status.Failure == nil:
			size.Replicas = candidateSize(in, set, d)
		case kept(in, set):
			continue // as it is: an old view must not make it grow again
		}
		out = append(out, size)
	}
	return out
}

// stableSize is what is wanted, less what the candidate has taken over where pods share the traffic.
func stableSize(in Input, set Set) int32 {
	candidate := in.Target
	if in.Status.Candidate == nil || in.Status.Failure != nil || in.Course.Gateway {
		return in.Desired
	}
	step, t := in.step(), in.Status.Traffic
	shared := t.Service == "" && len(t.Backends) > 0
	last := step.Weight == 100 && in.Status.Step > 1
	if !shared && (!last || set.Replicas >= in.Desired) {
		return in.Desired
	}
	need := max(0, in.Desired-min(candidate.Available, candidate.Replicas))
	if last {
		return max(need, min(set.Replicas, in.Desired)) // it is kept as it is, for the way back
	}
	fewer, size := fit(step.Weight, in.Desired)
	if t.SettledTime == nil || candidate.Available < fewer {
		size = max(size, min(set.Replicas, in.Desired)) // first the candidate grows, and gets its share
	}
	return max(size, need)
}

// candidateSize is what the step needs, and what the traffic that it has needs; never fewer than there
// are.
func candidateSize(in Input, set Set, d *Decision) int32 {
	t := in.Status.Traffic
	if set.Replicas == 0 && t.Service == "" && in.Status.Stable != nil && in.step().Weight == 0 {
		return 0 // its pods would get traffic as soon as they are ready; first it is led to the stable revision
	}
	if t.Service != "" && t.Service != set.Revision && t.InForceTime == nil && set.Replicas == 0 {
		return 0 // likewise
	}
	if in.Course.rolling() && in.step().Roll && in.Status.Stable != nil {
		return min(set.Replicas, in.Desired) // traffic is not shared yet
	}
	size := max(in.Course.pods(in.step(), in.Desired), portion(weightOf(t, set.Revision), in.Desired))
	if d.still {
		size = max(set.Replicas, portion(weightOf(t, set.Revision), in.Desired))
	}
	return max(size, min(set.Replicas, in.Desired))
}

// kept says whether a set that is neither stable nor the candidate keeps its pods.
func kept(in Input, set Set) bool {
	if carries(in.Status.Traffic, set.Revision) || set.Revision == nameOf(in.Status.Previous) {
		return true
	}
	return set.Available > 0 && !drained(in, in.Status)
}

// drained says whether the requests under way of the sets that lost their traffic have ended.
func drained(in Input, status v1alpha1.RolloutStatus) bool {
	t := status.DrainTime
	return t == nil || !in.Now.Before(t.Time)
}

// wakeAtDrain has the decision made anew when pods that were kept for requests under way can go.
func wakeAtDrain(in Input, d *Decision) {
	if t := in.Status.DrainTime; t != nil && in.Now.Before(t.Time) {
		for _, set := range in.all() {
			if set.Replicas > 0 && !isStable(in, set) {
				d.wakeAt(in.Now, t.Time)
				return
			}
		}
	}
}

// Hold is the size of the others while there is no target: the stable revision follows what is wanted.
// Where pods share the traffic all others give way to it; otherwise they are left as they are.
func Hold(in Input) []Size {
	if t := in.Status.Traffic; t == nil || t.Service == "" && len(t.Backends) == 0 {
		return giveWay(in, in.Desired)
	}
	for _, set := range in.Others {
		if isStable(in, set) {
			return []Size{{Revision: set.Revision, Replicas: max(in.Desired, set.Replicas)}}
		}
	}
	return nil
}

func isStable(in Input, set Set) bool { return set.Revision == nameOf(in.Status.Stable) }
