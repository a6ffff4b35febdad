package database

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/scalableapp/scalableapp-operator/internal/action"
)

// The states that a database is in, as status.database and the conditions' reasons tell them.
const (
	// StateStarting: the first start is not over.
	StateStarting = "Starting"
	// StateNoLeader: nobody takes the writes. Patroni elects, or cannot.
	StateNoLeader = "NoLeader"
	// StateDegraded: there is a primary, but a member is away or does not follow.
	StateDegraded = "Degraded"
	// StateChanging: all are there, and something is changed.
	StateChanging = "Changing"
	// StateSettled: all are there and as wanted.
	StateSettled = "Settled"
)

const (
	// retryAfter is how soon an action that failed is tried again, once.
	retryAfter = 15 * time.Second
	// maxFailures is how often an action is tried before a person is asked.
	maxFailures = 2
)

// Decision is what is done next.
type Decision struct {
	// State is the state that the database is in.
	State string
	// Urgent are actions that keep harm away and wait for nothing.
	Urgent []action.Action
	// Action is the one change that is made now, or nil.
	Action action.Action
	// Kind and Target say what the change under way is and to which member; "" is none.
	Kind, Target string
	// Reason says in words why, or what is waited for.
	Reason string
	// Lasting says that nothing goes on without a person.
	Lasting bool
	// NoLeader says that nobody takes the writes, and why, as far as it can be seen; "" while somebody does, and before
	// the first start is over.
	NoLeader string
	// Stuck says that this does not pass by itself, and Overdue that it should have passed by now.
	Stuck, Overdue bool
	// Trouble is what a member lacks that does not pass by itself, in words, and Runbook names the page for it; ""
	// is nothing.
	Trouble, Runbook string
	// Lost are the replicas that cannot start from what is on their volumes.
	Lost []string
	// Refused is why a person's word cannot be done, in words; Handled says that the word has had its answer.
	Refused string
	Handled bool
	// Keep is the number of members that the StatefulSet must keep for now.
	Keep int32
	// KeepVolumeSize says that the StatefulSet must still have its old volume claim template.
	KeepVolumeSize bool
	// Wake is when to look again if nothing happens until then.
	Wake time.Duration
}

// The kinds of changes, as status.database.operation.kind tells them.
const (
	KindGrowVolume = "GrowVolume"
	KindRestart    = "Restart"
	KindSwitchover = "Switchover"
	KindFailover   = "Failover"
	KindResize     = "Resize"
	KindScaleDown  = "ScaleDown"
)

// Next decides. It is a ladder: the first rung that has something to say is taken.
func Next(s Snapshot) Decision {
	d := Decision{Keep: s.Instances, State: s.state()}
	if s.Set != nil {
		d.KeepVolumeSize = true
	}
	d.Urgent, d.Wake = s.urgent()
	if forget, wake := s.abandoned(); len(forget) > 0 || wake > 0 {
		d.Urgent, d.Wake = append(d.Urgent, forget...), wake
	}
	if d.State == StateNoLeader {
		s.leaderless(&d)
	}
	d.Trouble, d.Runbook = s.trouble()
	d.Lost = s.lost()
	for _, rung := range []func(*Snapshot, *Decision) bool{
		(*Snapshot).growVolumes, (*Snapshot).renewSet, (*Snapshot).scaleDown,
		(*Snapshot).waitForAction, (*Snapshot).waitForMembers, (*Snapshot).hold, (*Snapshot).word,
		(*Snapshot).waitForTemplate, (*Snapshot).resize, (*Snapshot).shrinkPrimary, (*Snapshot).restartReplica, (*Snapshot).restartPrimary,
	} {
		if rung(&s, &d) {
			break
		}
	}
	s.failures(&d)
	return d
}

func (s *Snapshot) state() string {
	switch {
	case !s.Initialized:
		return StateStarting
	case s.primary() == nil:
		return StateNoLeader
	case s.away() != "":
		return StateDegraded
	case s.changes():
		return StateChanging
	default:
		return StateSettled
	}
}

func (s *Snapshot) changes() bool {
	return len(s.Members) > int(s.Instances) || slices.ContainsFunc(s.Members, func(m Member) bool {
		return m.due() != "" || m.Resize != "" || m.State.PendingRestart
	})
}

// away says which member is missing or does not follow, "" if none.
func (s *Snapshot) away() string {
	for i := range s.Instances {
		if int(i) >= len(s.Members) {
			return fmt.Sprintf("%d of %d members exist", len(s.Members), s.Instances)
		}
	}
	for _, m := range s.replicas() {
		if !m.streams() {
			return m.Name + " does not follow the primary" + m.words()
		}
	}
	trouble, _ := s.trouble()
	return trouble
}

func (m Member) words() string {
	switch {
	case m.Deleting:
		return " (it is being restarted)"
	case !m.Ready:
		return " (it is not ready)"
	default:
		return fmt.Sprintf(" (it says: %s)", strings.TrimSpace(m.State.State+" "+m.State.Replication))
	}
}

// scaleDown keeps members until the primary is not among those that go.
func (s *Snapshot) scaleDown(d *Decision) bool {
	if s.Set == nil || s.Set.Replicas <= s.Instances {
		return false
	}
	goes := func(name string) bool { return ordinal(name) >= int(s.Instances) }
	switch primary := s.primary(); {
	case primary == nil, goes(primary.Name), s.Hold != "":
		d.Keep = s.Set.Replicas
		d.Kind, d.Target = KindScaleDown, s.Leader.Name
		d.Reason = "members go only while there is a primary"
		if primary == nil {
			return false
		}
		if s.Hold != "" {
			d.Reason = s.Hold
			return true
		}
		s.switchover(d, func(m *Member) bool { return !goes(m.Name) && m.Outdated == "" },
			fmt.Sprintf("%s is among the members that go", primary.Name))
		return true
	default:
		return false
	}
}

func ordinal(pod string) int {
	n := 0
	for _, r := range pod[strings.LastIndexByte(pod, '-')+1:] {
		n = n*10 + int(r-'0')
	}
	return n
}

// waitForAction lets what was begun come to its end.
func (s *Snapshot) waitForAction(d *Decision) bool {
	for _, m := range s.Members {
		switch {
		case m.Deleting:
			d.Kind, d.Target, d.Reason = KindRestart, m.Name, m.Name+" is being restarted"
			return true
		case m.Resizing && m.Resize == "" && m.ResizeRefused == "":
			d.Kind, d.Target, d.Reason = KindResize, m.Name, "the node resizes "+m.Name
			return true
		}
	}
	return false
}

// waitForMembers changes nothing while a member is away, but a member that is away and outdated itself: the
// new template may be what mends it.
func (s *Snapshot) waitForMembers(d *Decision) bool {
	if !s.Initialized {
		d.Reason = "the database is started for the first time"
		return true
	}
	for _, m := range s.replicas() {
		if !m.Ready && m.Outdated != "" && s.primary() != nil {
			s.restart(d, m, m.Outdated)
			return true
		}
	}
	if s.primary() == nil {
		if m := s.member(s.Leader.Name); m != nil && !m.Ready && m.Outdated != "" && len(s.Members) == 1 {
			s.restart(d, m, m.Outdated)
			return true
		}
		d.Reason = d.NoLeader
		if s.Word.Force {
			s.force(d)
		}
		return true
	}
	if away := s.away(); away != "" && s.Instances > 1 {
		d.Reason = away
		return true
	}
	return false
}

// hold lets nothing begin that can wait.
func (s *Snapshot) hold(d *Decision) bool {
	hold := s.Hold
	if s.paused() {
		hold = "Patroni is in maintenance mode: nothing is changed until somebody ends it (patronictl resume)"
	}
	if hold == "" || (!s.changes() && s.Word.Token == "") {
		return false
	}
	d.Reason = hold
	return true
}

// word does what a person asked for.
func (s *Snapshot) word(d *Decision) bool {
	to := s.Word.To
	switch {
	case s.Word.Token == "":
		return false
	case s.Word.Force:
		d.Handled = true
		if to != s.Leader.Name {
			d.Refused = fmt.Sprintf("%s takes the writes: nothing has to be forced; ask for a switchover", s.Leader.Name)
		}
		return false
	case !s.Word.Switchover:
		d.Handled, d.Refused = true, fmt.Sprintf("%q is not understood; write switchover:FROM[:TO[:TOKEN]] or failover:TO[:TOKEN]", s.Word.Token)
		return false
	case s.Word.From != s.Leader.Name:
		d.Handled = true
		if to != "" && to != s.Leader.Name {
			d.Refused = fmt.Sprintf("%s is the primary, not %s: ask again", s.Leader.Name, s.Word.From)
		}
		return false
	case to != "" && s.member(to) == nil:
		d.Handled, d.Refused = true, fmt.Sprintf("there is no member %s", to)
		return false
	}
	fit := func(m *Member) bool { return to == "" || m.Name == to }
	if s.candidate(fit) == nil {
		d.Handled, d.Refused = true, s.noCandidate(to)
		return false
	}
	s.switchover(d, fit, "a person asked for it")
	return true
}

func (s *Snapshot) noCandidate(to string) string {
	who := "no standby"
	if to != "" {
		who = to + " is not one that"
	}
	if s.Synchronous {
		return who + " is in step with the primary, so a switchover could lose commits: wait until status.database.synchronous names it"
	}
	return who + " follows the primary"
}

func (s *Snapshot) switchover(d *Decision, fit func(*Member) bool, why string) {
	d.Kind, d.Target = KindSwitchover, s.Leader.Name
	to := s.candidate(fit)
	if to == nil {
		d.Reason = fmt.Sprintf("a switchover from %s is due (%s), but %s", s.Leader.Name, why, s.noCandidate(""))
		return
	}
	d.Target = to.Name
	d.Reason = fmt.Sprintf("switchover from %s to %s: %s", s.Leader.Name, to.Name, why)
	d.Action = action.Switchover{Leader: s.Leader.Name, Candidate: to.Name, Why: why}
}

// failures tries an action that failed once more after a while, and then leaves it to a person.
func (s *Snapshot) failures(d *Decision) {
	if d.Action == nil || s.Failed == 0 || s.FailedAction != d.Action.String() {
		return
	}
	switch wait := retryAfter - s.Now.Sub(s.FailedTime); {
	case s.Failed >= maxFailures && (s.Word.Switchover && d.Kind == KindSwitchover || d.Kind == KindFailover):
		d.Action, d.Handled = nil, true
		d.Refused = fmt.Sprintf("the %s failed %d times", strings.ToLower(d.Kind), s.Failed)
		d.Kind, d.Target = "", ""
	case s.Failed >= maxFailures:
		d.Action, d.Lasting = nil, true
		d.Reason += fmt.Sprintf("; it failed %d times and is not tried again until the spec or the word of a person changes", s.Failed)
	case wait > 0:
		d.Action = nil
		d.Wake = wait
		d.Reason += "; it failed and is tried again soon"
	}
}
