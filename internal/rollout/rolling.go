package rollout

// rollingSizes is the number of pods of each revision while pods replace pods, or have replaced them.
//
// The others give way as fast as the target's pods become available: together they keep
//
//	need = Desired - MaxUnavailable - available pods of the target
//
// pods. With 3 wanted, maxSurge 1, maxUnavailable 0: the target gets 1 pod; when it serves, need is 2,
// so one old pod goes and the target may have a second; and so on.
//
// The rule also mends: when pods of the target stop serving half-way, need grows and the stable
// revision gets pods back. And it is safe with an old view of the others, because need does not
// depend on them.
func rollingSizes(in Input, d *Decision) []Size {
	switch {
	case d.podless:
		return giveWay(in, in.Desired)
	case in.Status.Failure != nil && in.Status.Stable != nil && !frozen(in):
		in = swapped(in) // the stable revision takes over from the candidate
	}
	steady := nameOf(in.Status.Stable) == in.Target.Revision
	need := max(0, in.Desired-in.MaxUnavailable-min(in.Target.Available, in.Target.Replicas))
	if steady && in.Target.Available >= in.Desired {
		need = 0
	}
	others := giveWay(in, need)
	target := targetSize(in, steady, others)
	if d.still || frozen(in) {
		target = min(target, in.Target.Replicas)
	}
	return append([]Size{{Revision: in.Target.Revision, Replicas: target}}, others...)
}

// swapped is the input in which the stable revision is the target.
func swapped(in Input) Input {
	others := []Set{in.Target}
	for _, set := range in.Others {
		if isStable(in, set) {
			in.Target = set
		} else {
			others = append(others, set)
		}
	}
	in.Others = others
	return in
}

// targetSize is how many pods the target may have: what is wanted, but no more than the surge allows
// beside the pods that others still have or are to get. It never shrinks below what it has, unless less
// is wanted.
func targetSize(in Input, steady bool, sizes []Size) int32 {
	others, crowd := int32(0), false
	for i, set := range stableFirst(in) {
		others += max(set.Replicas, sizes[i].Replicas)
		crowd = crowd || set.Replicas > 0 && !isStable(in, set)
	}
	if others == 0 || steady {
		// Nothing to replace; or going back to a set that has proved itself, where capacity comes
		// before thrift.
		return in.Desired
	}
	room := in.Desired + in.MaxSurge - others
	if crowd {
		// A candidate that was given up stands beside the stable revision. When neither is available in
		// full the two hold all the room, and the fix must not wait for what it is to fix.
		room = max(room, min(in.Target.Available, in.Target.Replicas)+max(in.MaxSurge, 1))
	}
	return min(in.Desired, max(room, in.Target.Replicas))
}

// giveWay is the size of the others when they have to keep that many pods together. The stable revision
// is the one that may grow again, because it has proved itself.
func giveWay(in Input, need int32) []Size {
	var sizes []Size
	for _, set := range stableFirst(in) {
		size := Size{Revision: set.Revision, Replicas: min(set.Replicas, need)}
		if isStable(in, set) {
			size.Replicas = need
		}
		// What this set cannot give yet, because its pods are not available, the next must keep. Pods
		// above what its Deployment asks for do not count: they are about to go.
		need = max(0, need-min(set.Available, set.Replicas, size.Replicas))
		sizes = append(sizes, size)
	}
	return sizes
}

// stableFirst are the others, the stable revision before all, so that an abandoned candidate shrinks
// before it does.
func stableFirst(in Input) []Set {
	var stable, rest []Set
	for _, set := range in.Others {
		if isStable(in, set) {
			stable = append(stable, set)
		} else {
			rest = append(rest, set)
		}
	}
	return append(stable, rest...)
}
