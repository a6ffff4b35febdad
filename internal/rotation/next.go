package rotation

import (
	"fmt"
	"strings"
	"time"
)

// The phases, as status.credentials tells them.
const (
	PhaseRequested  = "Requested"
	PhasePreparing  = "Preparing"
	PhaseSwitching  = "Switching"
	PhaseRollingOut = "RollingOut"
	PhaseRetiring   = "Retiring"
	PhaseDone       = "Done"
)

// Margin is for how long after the app's binding was written a node may still hand out the old one: the
// kubelet's own view of Secrets follows within a second, and the rest is for a busy node.
const Margin = 8 * time.Second

// Patience is after what time a step that has not come on is worth a person's look.
const Patience = 15 * time.Minute

// Kind is who logs in with a credential, and so what a switch takes.
type Kind int

const (
	// Pods says that the app's pods are given it when they start, so they are replaced.
	Pods Kind = iota
	// Members says that the members of the database have it themselves; they change over while they run.
	Members
	// InPlace says that nobody holds it, so that its password is exchanged without a second one.
	InPlace
)

// Snapshot is what was seen of one credential.
type Snapshot struct {
	// Now is the time of the pass.
	Now  time.Time
	Name string
	Kind Kind
	// Record is what the Secret holds.
	Record Record
	// Wanted is the token of the request for this credential, "" while there is none.
	Wanted string
	// Hold is why nothing may go on at present, for example a database that is not well; "" is nothing.
	Hold string
	// Rollout is why the app can take nothing up at present, for example a rollout that is under way.
	Rollout string
	// Unprepared is who does not let the new one in yet; "" is nobody.
	Unprepared string
	// Bound says that the app's binding names the one in use, and Written when it was written, by the API server's
	// clock; zero if nobody knows.
	Bound   bool
	Written time.Time
	// Unswitched is who of the members still uses the old one; "" is nobody.
	Unswitched string
	// OldPods are the pods that may have been given the old one: those that were made before Cutoff.
	OldPods []string
	// Unretired is who still lets the old one in; "" is nobody.
	Unretired string
}

// Decision is what is done next for one credential.
type Decision struct {
	Name string
	// Record is what was seen.
	Record Record
	// Phase and Message are for people; a credential that was never rotated has no phase.
	Phase, Message string
	// Token is the request that Phase is about.
	Token string
	// Write is the record to write, together with what it means for the passwords; nil is nothing.
	Write *Record
	// Wake is when to look again if nothing happens until then.
	Wake time.Duration
	// Slow says that the step takes longer than it should.
	Slow bool
}

// Cutoff is when the last pod can have been given the old password, by the clock of the pods.
func (r Record) Cutoff() time.Time {
	if r.Written.IsZero() {
		return r.Bound.Add(Margin).Truncate(time.Second) // pods tell in whole seconds when they were made
	}
	return r.Written.Add(Margin)
}

// All decides for all credentials of an app. Those that the app's pods are given are taken up together if they
// were asked for together, so that the pods are replaced once.
func All(snapshots []Snapshot) []Decision {
	decisions := make([]Decision, len(snapshots))
	for i, s := range snapshots {
		decisions[i] = Next(s)
	}
	late := make([]string, len(snapshots))
	for i, s := range snapshots {
		if s.Kind == Pods && rolls(decisions[i]) {
			late[i] = strings.Join(behind(snapshots, decisions, s.Record.Token), ", ")
		}
	}
	for i, names := range late {
		if names != "" {
			decisions[i].Write = nil
			decisions[i].Message = fmt.Sprintf("waits for %s, so that the app's pods are replaced once", names)
		}
	}
	return decisions
}

func rolls(d Decision) bool {
	return d.Record.Step == StepSwitch && d.Write != nil && d.Write.Step == StepRoll
}

// behind are those that were asked for with the same token and cannot be taken up yet.
func behind(snapshots []Snapshot, decisions []Decision, token string) []string {
	var names []string
	for i, s := range snapshots {
		asked := s.Wanted == token && s.Record.Token != token
		early := s.Record.Token == token && (s.Record.Step == StepPrepare || s.Record.Step == StepSwitch && !rolls(decisions[i]))
		if s.Kind == Pods && (asked || early) {
			names = append(names, s.Name)
		}
	}
	return names
}

// Next decides for one.
func Next(s Snapshot) Decision {
	d := Decision{Name: s.Name, Record: s.Record, Token: s.Record.Token}
	switch s.Record.Step {
	case "":
		s.begin(&d)
	case StepPrepare:
		s.prepare(&d)
	case StepSwitch:
		s.change(&d)
	case StepRoll:
		s.roll(&d)
	case StepRetire:
		s.retire(&d)
	default:
		d.Phase, d.Message = s.Record.Step, fmt.Sprintf("the step %q is that of a newer operator", s.Record.Step)
	}
	d.Slow = s.Record.Step != "" && d.Write == nil && s.Now.Sub(s.Record.Since) > Patience
	if s.Record.Step != "" && s.Wanted != "" && s.Wanted != s.Record.Token {
		d.Message += fmt.Sprintf("; the request %s comes next", s.Wanted)
	}
	return d
}

// held says whether something outside keeps a step from its end.
func (d *Decision) held(reasons ...string) bool {
	for _, reason := range reasons {
		if reason != "" {
			d.Message = reason
			return true
		}
	}
	return false
}

// to has the next step written.
func (s *Snapshot) to(d *Decision, step string, change func(*Record)) {
	next := s.Record
	next.Step, next.Since = step, s.Now
	if change != nil {
		change(&next)
	}
	d.Write = &next
}

func (s *Snapshot) begin(d *Decision) {
	if s.Wanted == "" || s.Wanted == s.Record.Token {
		if s.Record.Token != "" {
			d.Phase = PhaseDone
		}
		return
	}
	d.Phase, d.Token = PhaseRequested, s.Wanted
	if d.held(s.Hold) || s.Kind == Pods && d.held(s.Rollout) {
		d.Message = "begins when nothing stands in the way: " + d.Message
		return
	}
	d.Message = "begins"
	s.to(d, StepPrepare, func(r *Record) { r.Token, r.Bound, r.Written = s.Wanted, time.Time{}, time.Time{} })
}

func (s *Snapshot) prepare(d *Decision) {
	d.Phase = PhasePreparing
	switch {
	case d.held(s.Hold, s.Unprepared):
	case s.Kind == InPlace:
		d.Message = "the new password is in force everywhere"
		s.finish(d)
	default:
		d.Message = "the new one is let in everywhere"
		s.to(d, StepSwitch, func(r *Record) { r.Second = !r.Second })
	}
}

func (s *Snapshot) change(d *Decision) {
	d.Phase = PhaseSwitching
	if s.Kind == Members {
		if !d.held(s.Hold, s.Unswitched) {
			d.Message = "all members use the new one"
			s.to(d, StepRetire, nil)
		}
		return
	}
	switch {
	case !s.Bound:
		d.Message = "the app's binding is written"
	case s.Record.Bound.IsZero():
		d.Message = "the app's binding names the new one"
		bound := s.Record
		bound.Bound, bound.Written = s.Now, s.Written
		d.Write = &bound
	case s.Now.Before(s.Record.Bound.Add(Margin)):
		d.Message = "every node takes up the app's new binding"
		d.Wake = s.Record.Bound.Add(Margin).Sub(s.Now)
	case d.held(s.Rollout):
		d.Message = "the app's pods are replaced when nothing stands in the way: " + d.Message
	default:
		d.Message = "the app's pods are replaced"
		s.to(d, StepRoll, func(r *Record) { r.Taken = r.Token })
	}
}

func (s *Snapshot) roll(d *Decision) {
	d.Phase = PhaseRollingOut
	switch n := len(s.OldPods); {
	case n > 0:
		d.Message = fmt.Sprintf("waits for the end of %s, which may still log in with the old one", some(s.OldPods))
	case d.held(s.Hold):
	default:
		d.Message = "no pod has the old one any more"
		s.to(d, StepRetire, nil)
	}
}

// some are the first three of a list of names, in words.
func some(names []string) string {
	if len(names) <= 3 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more pods", strings.Join(names[:3], ", "), len(names)-3)
}

func (s *Snapshot) retire(d *Decision) {
	d.Phase = PhaseRetiring
	if !d.held(s.Hold, s.Unretired) {
		d.Message = "the old one is let in nowhere"
		s.finish(d)
	}
}

func (s *Snapshot) finish(d *Decision) {
	s.to(d, "", func(r *Record) { r.Rotated, r.Bound, r.Written = s.Now, time.Time{}, time.Time{} })
}
