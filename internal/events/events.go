// Package events is the list of the events that the operator emits: one for each transition that a
// stored status shows, none while nothing changes.
package events

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// Event is something that a person should know of.
type Event struct {
	// Type is Normal or Warning.
	Type string
	// Reason is a CamelCase word, Action what the operator did, Message the words.
	Reason, Action, Message string
}

func normal(reason, action, format string, args ...any) Event {
	return Event{corev1.EventTypeNormal, reason, action, fmt.Sprintf(format, args...)}
}

func warning(reason, action, format string, args ...any) Event {
	return Event{corev1.EventTypeWarning, reason, action, fmt.Sprintf(format, args...)}
}

// Between are the events of the transition from one status to the next.
func Between(before, after v1alpha1.ScalableAppStatus) []Event {
	var events []Event
	events = append(events, rollout(before.Rollout, after.Rollout)...)
	events = append(events, conditions(before.Conditions, after.Conditions)...)
	events = append(events, rotations(before, after)...)
	return append(events, primary(before.Database, after.Database)...)
}

func rollout(before, after v1alpha1.RolloutStatus) []Event {
	var events []Event
	if name(after.Candidate) != "" && name(after.Candidate) != name(before.Candidate) {
		events = append(events, normal("RolloutStarted", "Rollout", "revision %s (%s) is to take over from %s",
			after.Candidate.Revision, after.Candidate.Image, orNothing(name(after.Stable))))
	}
	if after.Stage == v1alpha1.StageMigrating && before.Stage != after.Stage {
		events = append(events, normal("MigrationStarted", "Migrate", "the migration of %s runs", name(after.Candidate)))
	}
	if same := name(after.Candidate) != "" && name(after.Candidate) == name(before.Candidate); same {
		events = append(events, candidate(before, after)...)
	}
	if name(after.Stable) != "" && name(after.Stable) != name(before.Stable) {
		events = append(events, normal("RolloutCompleted", "Rollout", "revision %s (%s) serves; before it served %s",
			after.Stable.Revision, after.Stable.Image, orNothing(name(before.Stable))))
	}
	if name(before.Candidate) != "" && after.Candidate == nil && name(after.Stable) == name(before.Stable) {
		events = append(events, normal("RolloutReverted", "Rollout", "back to revision %s; %s is given up",
			name(after.Stable), before.Candidate.Revision))
	}
	if name(before.Previous) != "" && after.Previous == nil {
		events = append(events, normal("PreviousReleased", "Rollout", "the pods of %s are no longer kept", before.Previous.Revision))
	}
	return events
}

// candidate are the events of a candidate on its way.
func candidate(before, after v1alpha1.RolloutStatus) []Event {
	var events []Event
	revision := after.Candidate.Revision
	if shifts := after.Traffic != nil && len(after.Traffic.Backends) > 0; shifts && weight(before) != weight(after) {
		events = append(events, normal("TrafficShifted", "Rollout", "%d%% of the traffic goes to %s; before it were %d%%",
			weight(after), revision, weight(before)))
	}
	for _, g := range after.Gates {
		i := slices.IndexFunc(before.Gates, func(old v1alpha1.GateStatus) bool { return old.Name == g.Name })
		if was := i >= 0 && before.Gates[i].Verdict == g.Verdict; was || g.Verdict == v1alpha1.VerdictPending {
			continue
		}
		said := g.Reason // which names the value, if there is one
		if said == "" {
			said = g.Value
		}
		words := fmt.Sprintf("gate %s at step %d of %d: %s", g.Name, after.Step, after.Steps, said)
		if g.Verdict == v1alpha1.VerdictPass {
			events = append(events, normal("GatePassed", "Gate", "%s", words))
		} else {
			events = append(events, warning("Gate"+g.Verdict, "Gate", "%s", words))
		}
	}
	switch {
	case after.Failure != nil && before.Failure == nil:
		events = append(events, warning("RolloutFailed", "Rollout", "%s is given up (%s): %s",
			revision, after.Failure.Reason, after.Failure.Message))
	case after.Failure == nil && before.Failure != nil:
		events = append(events, normal("RolloutRetried", "Rollout", "%s is tried again", revision))
	case after.Stage != before.Stage && (after.Stage == v1alpha1.StageAwaitingApproval || after.Stage == v1alpha1.StageHeld):
		events = append(events, normal("Rollout"+after.Stage, "Rollout", "%s", after.Message))
	}
	return events
}

func weight(s v1alpha1.RolloutStatus) int32 {
	if s.Weight == nil {
		return 0
	}
	return *s.Weight
}

// conditions are the transitions of conditions. Reconciling is left out: Ready says the same.
func conditions(before, after []metav1.Condition) []Event {
	var events []Event
	for _, c := range after {
		old := meta.FindStatusCondition(before, c.Type)
		switch {
		case c.Type == v1alpha1.ConditionReconciling:
		case c.Type == v1alpha1.ConditionTrafficReady && (old == nil || settles(*old) || settles(c)):
			// A change on its way is a part of every rollout, and takes a moment.
		case c.Type == v1alpha1.ConditionStalled:
			if old == nil || old.Reason != c.Reason {
				events = append(events, warning(c.Reason, "Stall", "%s", c.Message))
			}
		case old != nil && old.Status == c.Status, old == nil && c.Status == metav1.ConditionFalse:
		case c.Status == metav1.ConditionTrue:
			events = append(events, normal(c.Type, "Observe", "%s", c.Message))
		default:
			events = append(events, warning("Not"+c.Type, "Observe", "%s: %s", c.Reason, c.Message))
		}
	}
	return events
}

func settles(c metav1.Condition) bool { return c.Reason == v1alpha1.ReasonSettling }

// primary are the changes of the database's primary: found for the first time, lost, found again.
func primary(before, after *v1alpha1.DatabaseStatus) []Event {
	var was, is string
	if before != nil {
		was = before.Primary
	}
	if after != nil {
		is = after.Primary
	}
	switch {
	case was == is || after == nil:
		return nil
	case is == "":
		return []Event{warning("PrimaryLost", "Observe", "no instance of the database takes writes; before it was %s", was)}
	case was == "":
		return []Event{normal("PrimaryElected", "Observe", "%s is the database's primary", is)}
	default:
		return []Event{normal("PrimaryChanged", "Observe", "%s is the database's primary; before it was %s", is, was)}
	}
}

func name(r *v1alpha1.RevisionStatus) string {
	if r == nil {
		return ""
	}
	return r.Revision
}

func orNothing(revision string) string {
	if revision == "" {
		return "nothing"
	}
	return revision
}

// rotations are the beginnings and ends of rotations, and requests for some that were refused.
func rotations(before, after v1alpha1.ScalableAppStatus) []Event {
	var events []Event
	for _, c := range after.Credentials {
		i := slices.IndexFunc(before.Credentials, func(old v1alpha1.CredentialStatus) bool { return old.Name == c.Name })
		was := v1alpha1.CredentialStatus{}
		if i >= 0 {
			was = before.Credentials[i]
		}
		switch {
		case was.Phase == c.Phase && was.Token == c.Token:
		case c.Phase == "Preparing":
			events = append(events, normal("RotationStarted", "Rotate", "the credentials %s are rotated (%s)", c.Name, c.Token))
		case c.Phase == "Done" && i >= 0:
			events = append(events, normal("RotationCompleted", "Rotate", "the credentials %s are rotated (%s): the old ones are let in nowhere", c.Name, c.Token))
		}
	}
	if r := after.Rotation; r != nil && r.RefusedMessage != "" && (before.Rotation == nil || *before.Rotation != *r) {
		events = append(events, warning("RotationRefused", "Rotate", "%s", r.RefusedMessage))
	}
	return events
}
