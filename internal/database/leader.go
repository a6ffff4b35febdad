package database

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/scalableapp/scalableapp-operator/internal/action"
)

const (
	// endedFor is how long a container must have been seen ended before its leadership is taken away: a
	// restart in place comes within a second, and then Patroni itself is quickest.
	endedFor = time.Second
	// SilentFor is after what time without a renewal of its record a leader is looked for: two renewals, which
	// come every 5 s, are overdue. Patroni itself waits until the record runs out after 20 s, looks every 5 s
	// whether it has, and asks the silent one once more.
	SilentFor = 11 * time.Second
	// renewedWithin is when a leader that lives renews at the latest, so that one which has not since it was
	// asked to end does so no more.
	renewedWithin = 7 * time.Second
)

// urgent keeps harm away.
//
// A member that lost the leadership while its node was frozen or cut off keeps the label of the primary:
// clients would go on to be led to it. Patroni takes its own label off and no one else's.
//
// A leader whose container the kubelet saw end, or whose pod is gone, is waited for by Patroni until its
// record runs out (ttl). A standby in step has all that it acknowledged, so the record can be taken away at
// once: only members that -sync names may become the primary, and the old one, should it live on after all, can
// acknowledge nothing without that standby. Where commits are not synchronous only the kubelet's word counts.
func (s *Snapshot) urgent() (urgent []action.Action, wake time.Duration) {
	if s.Leader.Name == "" {
		return nil, 0
	}
	for _, m := range s.Members {
		if m.Labelled && m.Name != s.Leader.Name {
			urgent = append(urgent, action.Unlabel{Pod: m.Name, UID: m.UID, Leader: s.Leader.Name})
		}
	}
	leader := s.member(s.Leader.Name)
	standby := s.standby()
	switch {
	case !standby || !s.Initialized || s.paused(): // in maintenance mode nobody would take over
	case leader == nil && s.Synchronous:
		urgent = append(urgent, action.ReleaseLeader{Leader: s.Leader.Name, Renewed: s.Leader.Renewed, Why: "its pod is gone"})
	case leader != nil && !leader.Ended.IsZero():
		if since := s.Now.Sub(leader.Ended); since >= 0 && since < endedFor {
			return urgent, endedFor - since
		}
		urgent = append(urgent, action.ReleaseLeader{Leader: s.Leader.Name, Renewed: s.Leader.Renewed, UID: leader.UID,
			Why: "the kubelet saw its container end"})
	case leader != nil && s.Synchronous && !leader.VolumeStuck.IsZero():
		return s.leave(leader, urgent)
	case leader != nil && s.Synchronous && !s.Leader.Seen.IsZero() && s.Now.Sub(s.Leader.Seen) >= SilentFor:
		// A cut-off leader is no fact. It is asked first, and with a standby in step to take over it is harmless
		// should it live on.
		urgent = append(urgent, action.ReleaseLeader{Leader: s.Leader.Name, Renewed: s.Leader.Renewed, UID: leader.UID,
			Silent: true, Why: fmt.Sprintf("it has not renewed its record for %s and does not answer", SilentFor)})
		return urgent, SilentFor / 2
	}
	return urgent, 0
}

// leave takes the leadership from a leader whose volume hangs. It is as good as ended, since its commits hang
// with it, but its Patroni lives: it would take a record that was released right back, and it cannot hand over,
// because it would write a checkpoint first. So its pod is asked to end, which ends the renewals, and then its
// record is taken. The pod itself may hang until the volume answers.
func (s *Snapshot) leave(leader *Member, urgent []action.Action) ([]action.Action, time.Duration) {
	const why = "its volume does not answer, and a standby in step can take over"
	if !leader.Deleting {
		return append(urgent, action.DeletePod{Pod: leader.Name, UID: leader.UID, AtOnce: true, Why: why}), renewedWithin
	}
	if since := s.Now.Sub(s.Leader.Seen); since < renewedWithin {
		return urgent, renewedWithin - since
	}
	return append(urgent, action.ReleaseLeader{Leader: s.Leader.Name, Renewed: s.Leader.Renewed, UID: leader.UID,
		Stuck: true, Why: why}), renewedWithin
}

// standby says whether there is a member that may take over at once.
func (s *Snapshot) standby() bool {
	return slices.ContainsFunc(s.Members, func(m Member) bool {
		return m.Name != s.Leader.Name && !m.Deleting && m.Ended.IsZero() && m.VolumeStuck.IsZero() &&
			m.State.State == "running" && (!s.Synchronous || slices.Contains(s.InStep, m.Name))
	})
}

// abandonedAfter is how long a first start must have been begun before it may be found to be abandoned: who makes the
// database says so of itself within Patroni's round of 5 s.
const abandonedAfter = 30 * time.Second

// abandoned ends a first start whose maker was killed in the middle of it, by a lack of memory for example. Its
// word that it makes the database stays, and all members, itself included, would wait for that for ever.
func (s *Snapshot) abandoned() (forget []action.Action, wake time.Duration) {
	if s.Initialized || s.Begun.IsZero() || s.Leader.Name != "" || len(s.Members) < int(s.Instances) {
		return nil, 0
	}
	idle := []string{"stopped", "uninitialized", "crashed", "start failed", "initdb failed", "custom bootstrap failed"}
	since := s.Begun
	for _, m := range s.Members {
		switch {
		case m.Deleting || !m.Ended.IsZero():
			return nil, 0
		case slices.Contains(idle, m.State.State):
		case m.State.State != "" || m.Started.IsZero():
			return nil, 0
		case m.Started.After(since):
			since = m.Started // a pod that has just come says nothing yet; it may be the maker's, with the database on its volume
		}
	}
	if waited := s.Now.Sub(since); waited < abandonedAfter {
		return nil, abandonedAfter - waited
	}
	return []action.Action{action.ForgetFirstStart{ResourceVersion: s.BegunVersion}}, 0
}

// paused says whether a person has put Patroni into its maintenance mode.
func (s *Snapshot) paused() bool {
	return slices.ContainsFunc(s.Members, func(m Member) bool { return m.State.Paused })
}

// electedWithin is how long an election takes at the most where nothing stands in its way.
const electedWithin = 30 * time.Second

// leaderless says why nobody takes the writes, and whether a person should look: it is counted from when the leader does
// not serve, though it leads, or if it is gone, from its last renewal.
func (s *Snapshot) leaderless(d *Decision) {
	d.NoLeader, d.Stuck = s.noLeader()
	since := s.Leader.Seen
	if m := s.member(s.Leader.Name); m != nil && !m.Ready {
		since = m.Unready
		if s.Leader.Acquired.After(since) {
			since = s.Leader.Acquired
		}
	}
	if since.IsZero() {
		return // nobody knows
	}
	wait := electedWithin - s.Now.Sub(since)
	if d.Overdue = wait <= 0; !d.Overdue && (d.Wake == 0 || d.Wake > wait) {
		d.Wake = wait
	}
}

// noLeader says why nobody takes the writes, as far as it can be seen, and whether that passes by itself.
func (s *Snapshot) noLeader() (why string, stuck bool) {
	var run []string
	for _, m := range s.Members {
		if m.runs() {
			run = append(run, m.Name)
		}
	}
	inStep := slices.ContainsFunc(s.InStep, func(name string) bool { return slices.Contains(run, name) })
	holder := s.Leader.Name // it need not live; one that ended in order has let go of the record
	if holder == "" {
		holder = s.LastPrimary
	}
	holds := slices.Contains(run, holder)
	switch {
	case len(run) == 0:
		return "nobody takes the writes: no member runs", false
	case s.Synchronous && !inStep && !holds && len(s.InStep) > 0:
		return fmt.Sprintf("nobody takes the writes: only %s holds every acknowledged commit and may take over, and it does not run; "+
			"bring it back: to force another one would lose commits", strings.Join(s.holders(), " or ")), true
	case s.Synchronous && !inStep && !holds && holder != "":
		return fmt.Sprintf("nobody takes the writes: no standby was in step with %s, so only it may take over, and it does not run", holder), true
	default:
		return "nobody takes the writes: Patroni elects", false
	}
}

// force does what a person asked for who accepts that commits are lost: it makes a member the primary that Patroni
// may not choose itself. While an election can still end well it is not begun, and of the members that run only
// the one that is furthest may be it: another one would lose more, for nothing.
func (s *Snapshot) force(d *Decision) {
	to := s.member(s.Word.To)
	switch {
	case !d.Stuck:
		d.Reason += "; nothing is forced before it is clear that nobody may take over by itself"
		return
	case to == nil:
		d.Handled, d.Refused = true, fmt.Sprintf("there is no member %s", s.Word.To)
		return
	case !to.runs():
		d.Handled, d.Refused = true, to.Name+" does not run"
		return
	}
	for _, m := range s.Members {
		if m.runs() && (m.State.Timeline > to.State.Timeline || m.State.Timeline == to.State.Timeline && m.State.Location > to.State.Location) {
			d.Handled, d.Refused = true, fmt.Sprintf("%s is further than %s: less is lost with it", m.Name, to.Name)
			return
		}
	}
	d.Kind, d.Target = KindFailover, to.Name
	d.Reason = fmt.Sprintf("%s is made the primary, as a person asked for; what only %s held is lost", to.Name,
		strings.Join(s.holders(), " or "))
	d.Action = action.ForceFailover{Pod: to.Name, UID: to.UID, Renewed: s.Leader.Renewed}
}

// runs says whether the member's PostgreSQL runs, as far as is known.
func (m *Member) runs() bool {
	return m.Ended.IsZero() && !m.Deleting && (m.Ready || m.State.State == "running")
}

// holders are the members that hold every acknowledged commit.
func (s *Snapshot) holders() []string {
	holders := slices.Clone(s.InStep)
	if s.Leader.Name != "" {
		return append(holders, s.Leader.Name)
	}
	if s.LastPrimary != "" {
		holders = append(holders, s.LastPrimary)
	}
	return holders
}
