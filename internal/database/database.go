// Package database decides what is done to a running Postgres: from a snapshot of its members it names the
// state that they are in and the single next action, in the order of need. Patroni elects and replicates; what
// is decided here is what a good engineer would do around it by hand: restart one member after the other, the
// primary last and after a switchover, grow a full volume first, take the word "primary" off a member that is
// none.
//
// The same snapshot always leads to the same action, and an action that was carried out shows in the next
// snapshot: a pass that was cut short is simply made again.
package database

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
)

// Snapshot is what was seen of a database.
type Snapshot struct {
	// Now is the time of the pass.
	Now time.Time
	// Instances is the wanted number of members.
	Instances int32
	// Synchronous says that a failover may lose no acknowledged commit: durability Preferred or Required.
	Synchronous bool
	// Initialized says that Patroni's record names a database: the first start is over.
	Initialized bool
	// Begun is when a member said that it makes the database, which is not there yet; zero if none did.
	Begun time.Time
	// BegunVersion is the resourceVersion of the record in which it said so.
	BegunVersion string
	// Leader is the member that holds Patroni's leader record, "" while nobody does. It need not live.
	Leader LeaderRecord
	// LastPrimary is whose standbys InStep are, as Patroni's -sync record says: with none, only it may lead again.
	LastPrimary string
	// InStep are the standbys that hold every acknowledged commit, as Patroni's -sync record says.
	InStep []string
	// Members are the pods of the database, sorted by name.
	Members []Member
	// Volumes are the volumes of the members.
	Volumes []Volume
	// Set is the StatefulSet; nil while there is none.
	Set *Set
	// Lost are the replicas that were last told to be lost.
	Lost []string
	// Refused says that the spec asks for what cannot be: the StatefulSet is not written.
	Refused bool
	// Hold is why no change may be begun that can wait, for example a cutover that shifts traffic; "" is nothing.
	Hold string
	// Word is what a person asked for.
	Word Word
	// Failed counts how often the action that is due has failed already, and FailedTime is when it last did.
	Failed     int32
	FailedTime time.Time
	// FailedAction is the action that failed, in words.
	FailedAction string
}

// LeaderRecord is Patroni's leader record.
type LeaderRecord struct {
	// Name is the member that holds it, or "".
	Name string
	// Acquired is when it took it, by its own clock; zero if it does not say.
	Acquired time.Time
	// Renewed is the holder's own word of when it last renewed the record. Each renewal is another one.
	Renewed string
	// Seen is when that renewal was first seen; zero if nobody knows.
	Seen time.Time
}

// Member is one pod of the database.
type Member struct {
	Name string
	UID  types.UID
	// Labelled says that the pod carries the label of the primary, so that clients are led to it.
	Labelled bool
	// Ready says that the pod serves: its probe answers, and it is not asked to end.
	Ready bool
	// Unready is since when it does not serve; zero if it does, or nobody knows.
	Unready time.Time
	// Deleting says that the pod is asked to end.
	Deleting bool
	// Ended is when the kubelet saw the container end, if it does not run now.
	Ended time.Time
	// Started is when the container began to run; zero if it does not run.
	Started time.Time
	// Outdated says why the pod has to be made anew to be as the spec wants it; "" is not.
	Outdated string
	// Resize says what is to change of the resources of the running pod; "" is nothing.
	Resize string
	// ResizeRefused is why the node cannot resize the running pod; "" is nothing.
	ResizeRefused string
	// Resizing says that the node is still at it.
	Resizing bool
	// VolumeStuck is since when its volume has not answered, as the agent in the pod says; zero is not.
	VolumeStuck time.Time
	// What the member last said of itself: it may be old.
	State MemberState
}

// MemberState is what a member says of itself in its pod's annotation "status".
type MemberState struct {
	// Role is primary or replica.
	Role string
	// State is running, starting, stopped, …
	State string
	// Replication is streaming, or "in archive recovery".
	Replication string
	// Timeline counts the changes of primary.
	Timeline int64
	// Location is the position in the write-ahead log, in bytes.
	Location int64
	// PendingRestart says that changed settings wait for a restart.
	PendingRestart bool
	// Shrinks says that one of these settings gets smaller and is one that a standby may not have smaller than
	// its primary (max_connections and its like).
	Shrinks bool
	// Paused says that Patroni is in maintenance mode.
	Paused bool
}

// Volume is a volume claim.
type Volume struct {
	Name string
	// Requested is what the claim asks for, Wanted what the spec asks for, Capacity what it has.
	Requested, Wanted, Capacity resource.Quantity
	// Fixed is why it cannot grow, known beforehand; "" is nothing.
	Fixed string
	// Trouble is why it does not grow, in the words of who tried; "" is nothing.
	Trouble string
}

// Set is the StatefulSet.
type Set struct {
	UID types.UID
	// ResourceVersion is that which was seen.
	ResourceVersion string
	// Replicas is the number of pods that it keeps now.
	Replicas int32
	// VolumeSize is the size of its volume claim template, which cannot be changed.
	VolumeSize resource.Quantity
	// Behind says that a pod which it makes now would not be as the spec wants it: its new template was not written,
	// was refused, or has not been taken up by its controller yet.
	Behind bool
}

// Word is what a person asked for by annotation. One that is not understood has a Token alone.
type Word struct {
	// Token tells one word from the next.
	Token string
	// Switchover says that another member shall be the primary; From is who it was meant to be taken from,
	// and To, if not "", who shall be it.
	Switchover bool
	From, To   string
	// Force says that To shall be the primary although commits may be lost with that.
	Force bool
}

// streams says whether a replica follows its primary.
func (m Member) streams() bool {
	return m.Ready && m.State.State == "running" && m.State.Role == "replica" && m.State.Replication == "streaming"
}

// member is the member of that name, or nil.
func (s *Snapshot) member(name string) *Member {
	for i := range s.Members {
		if s.Members[i].Name == name {
			return &s.Members[i]
		}
	}
	return nil
}

// primary is the member that takes the writes, or nil: it holds the record, carries the label and serves.
func (s *Snapshot) primary() *Member {
	m := s.member(s.Leader.Name)
	if m == nil || !m.Ready || !m.Labelled {
		return nil
	}
	return m
}

// replicas are the members but the primary, in the order in which they are worked on: those that do not serve
// first, because a change may mend them; the standbys in step last.
func (s *Snapshot) replicas() []*Member {
	var out []*Member
	for i := range s.Members {
		if s.Members[i].Name != s.Leader.Name {
			out = append(out, &s.Members[i])
		}
	}
	rank := func(m *Member) int {
		switch {
		case !m.Ready:
			return 0
		case !slices.Contains(s.InStep, m.Name):
			return 1
		default:
			return 2
		}
	}
	slices.SortStableFunc(out, func(a, b *Member) int { return rank(a) - rank(b) })
	return out
}

// candidate is who should be the primary next: of those that stream on the primary's timeline and need no
// restart themselves, a standby in step, and of these the one that is furthest. With synchronous replication
// nobody else may be. Patroni itself decides again.
func (s *Snapshot) candidate(fit func(*Member) bool) *Member {
	primary := s.primary()
	var best *Member
	for _, m := range s.replicas() {
		switch {
		case !m.streams() || !fit(m) || primary == nil || m.State.Timeline != primary.State.Timeline:
		case s.Synchronous && !slices.Contains(s.InStep, m.Name):
		case best == nil || m.State.Location > best.State.Location:
			best = m
		}
	}
	return best
}
