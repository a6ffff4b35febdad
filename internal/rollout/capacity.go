package rollout

// capacity is the number of pods of each revision while the target takes over, or has taken over.
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
func capacity(in Input) []Size {
	need := max(0, in.Desired-in.MaxUnavailable-min(in.Target.Available, in.Target.Replicas))
	steady := in.Status.Stable != nil && in.Status.Stable.Revision == in.Target.Revision
	if steady && in.Target.Available >= in.Desired {
		need = 0
	}
	sizes := []Size{{Revision: in.Target.Revision, Replicas: targetSize(in, steady)}}
	for _, set := range stableFirst(in) {
		size := Size{Revision: set.Revision, Replicas: min(set.Replicas, need)}
		if in.Status.Stable != nil && set.Revision == in.Status.Stable.Revision {
			size.Replicas = need // the one that may grow again: it has proved itself
		}
		// What this set cannot give yet, because its pods are not available, the next must keep.
		need = max(0, need-min(set.Available, size.Replicas))
		sizes = append(sizes, size)
	}
	return sizes
}

// targetSize is how many pods the target may have: what is wanted, but no more than the surge allows
// beside the pods that others still have. It never shrinks below what it has, unless less is wanted.
func targetSize(in Input, steady bool) int32 {
	others := int32(0)
	for _, set := range in.Others {
		others += set.Replicas
	}
	if others == 0 || steady {
		// Nothing to replace; or going back to a set that has proved itself, where capacity comes
		// before thrift.
		return in.Desired
	}
	room := max(in.Desired+in.MaxSurge-others, min(in.MaxSurge, in.Desired))
	return min(in.Desired, max(room, in.Target.Replicas))
}

// hold is the size of the others while the target does not exist yet: the stable revision follows
// what is wanted, all others give way to it.
func hold(in Input) []Size {
	need := in.Desired
	var sizes []Size
	for _, set := range stableFirst(in) {
		size := Size{Revision: set.Revision, Replicas: min(set.Replicas, need)}
		if in.Status.Stable != nil && set.Revision == in.Status.Stable.Revision {
			size.Replicas = need
		}
		need = max(0, need-min(set.Available, size.Replicas))
		sizes = append(sizes, size)
	}
	return sizes
}

// stableFirst are the others, the stable revision before all, so that an abandoned candidate shrinks
// before it does.
func stableFirst(in Input) []Set {
	var stable, rest []Set
	for _, set := range in.Others {
		if in.Status.Stable != nil && set.Revision == in.Status.Stable.Revision {
			stable = append(stable, set)
		} else {
			rest = append(rest, set)
		}
	}
	return append(stable, rest...)
}
