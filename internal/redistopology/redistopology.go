// Package redistopology decides what is done next to a Redis of one member or several: which volume grows, which
// member is restarted for new settings, and when the master hands over first. One thing at a time, out of what is
// seen alone, so that a pass that was cut short is followed by one that goes on.
package redistopology

import (
	"fmt"
	"slices"
)

// Member is a pod of the set.
type Member struct {
	// Name is the pod's.
	Name string
	// Terminating says that it ends.
	Terminating bool
	// Running says that its server runs; Ready that it takes writes, or follows who does.
	Running, Ready bool
	// Stuck says that the kubelet calls it not ready. One that only the operator cannot reach is not.
	Stuck bool
	// Master says that it takes writes.
	Master bool
	// Outdated says that it was started with other settings, or another image, than are wanted.
	Outdated bool
	// Alone says that it was started as the only member: the others cannot reach it.
	Alone bool
}

// Group is a Redis as it was seen.
type Group struct {
	// Wanted is the number of members.
	Wanted int
	// Members are those whose pods are there, by ordinal.
	Members []Member
	// Quorum says that the Sentinels can replace a master.
	Quorum bool
	// OldTemplate says that a pod which is made anew would have old settings again.
	OldTemplate bool
	// Volumes are those of the members.
	Volumes []Volume
	// OldSet says that the StatefulSet is there with another size of volumes than is wanted.
	OldSet bool
}

// Kind is what is done.
type Kind int

// The kinds.
const (
	// Nothing is done: all is as it shall be, or something else must happen first.
	Nothing Kind = iota
	// Restart deletes a member's pod.
	Restart
	// Handover has the master hand over to a replica.
	Handover
	// Grow has a volume claim ask for more.
	Grow
	// Renew makes the StatefulSet anew around its pods.
	Renew
)

// Step is what is done next.
type Step struct {
	Kind Kind
	// Member is whom it is done to: a pod, or a volume claim.
	Member string
	// Why says in words what for, or what is waited for.
	Why string
}

// oldTemplateWords is what is waited for while a pod that is made anew would have old settings again.
const oldTemplateWords = "its StatefulSet does not have the new settings yet"

// Next is the next step. Volumes come first and need no member to run: a full one may be why none does. A member
// that is stuck with old settings is restarted next, for it cannot become well; otherwise all must be well before
// one is taken away, replicas before the master.
func Next(g Group) Step {
	if step := growVolumes(g); step.Kind != Nothing {
		return step
	}
	if !slices.ContainsFunc(g.Members, func(m Member) bool { return m.Outdated || m.Alone }) {
		return Step{}
	}
	if g.OldTemplate {
		return Step{Why: oldTemplateWords}
	}
	for _, m := range g.Members {
		if m.Alone && !m.Terminating {
			return alone(g, m)
		}
	}
	for _, m := range slices.Backward(g.Members) {
		if m.Outdated && m.Stuck && !m.Terminating && othersStand(g, m.Name) {
			return Step{Kind: Restart, Member: m.Name, Why: "it does not become ready with its old settings"}
		}
	}
	if waits := unwell(g); waits != "" {
		return Step{Why: waits}
	}
	return restart(g)
}

// restart is the next restart of a Redis whose members are all well.
func restart(g Group) Step {
	for _, m := range slices.Backward(g.Members) {
		if m.Outdated && !m.Master {
			return Step{Kind: Restart, Member: m.Name, Why: "a replica with old settings"}
		}
	}
	for _, m := range g.Members {
		if m.Outdated && g.Wanted == 1 {
			return Step{Kind: Restart, Member: m.Name, Why: "new settings, and nobody else is there to take over"}
		}
		if m.Outdated && g.Quorum {
			return Step{Kind: Handover, Member: m.Name, Why: "the master is the last one with old settings"}
		}
	}
	return Step{Why: "the Sentinels have no quorum, so the master cannot hand over"}
}

// alone is what is done to a member that was the only one: it is restarted as one of several. The others
// shall be there, so that it has replicas as soon as it is back.
func alone(g Group, m Member) Step {
	running := 0
	for _, other := range g.Members {
		if other.Running && !other.Alone {
			running++
		}
	}
	if running < g.Wanted-1 {
		return Step{Why: fmt.Sprintf("%d of %d other members run; %s is restarted as one of them after that", running, g.Wanted-1, m.Name)}
	}
	return Step{Kind: Restart, Member: m.Name, Why: "it becomes one of several"}
}

// othersStand says whether all other members are there, and none is about to end, or on its way back with the new
// settings.
func othersStand(g Group, name string) bool {
	for _, m := range g.Members {
		if m.Name != name && (m.Terminating || !m.Outdated && !m.Ready) {
			return false
		}
	}
	return len(g.Members) >= g.Wanted
}

// unwell is what must be waited for before a member is taken away, in words.
func unwell(g Group) string {
	masters := 0
	for _, m := range g.Members {
		switch {
		case m.Terminating:
			return m.Name + " ends"
		case m.Stuck:
			return m.Name + " is not ready"
		case !m.Ready:
			return m.Name + " does not answer, or does not follow the master"
		case m.Master:
			masters++
		}
	}
	switch {
	case len(g.Members) < g.Wanted:
		return fmt.Sprintf("%d of %d members are there", len(g.Members), g.Wanted)
	case masters != 1:
		return fmt.Sprintf("%d members say that they are master", masters)
	}
	return ""
}
