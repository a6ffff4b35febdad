package database

import (
	"fmt"
	"slices"
	"time"
)

// lost are the states in which Patroni gives a member up: it does not try anything else by itself.
var lost = []string{"start failed", "crashed", "restart failed"}

// trouble is what a member lacks that does not pass by itself, in words, and the page for it.
func (s *Snapshot) trouble() (words, runbook string) {
	const stuck, gone = "database-volume-stuck", "database-member-lost"
	if m := s.member(s.Leader.Name); m != nil && !m.VolumeStuck.IsZero() {
		words = fmt.Sprintf("the volume of %s has not answered since %s, so commits hang", m.Name, m.VolumeStuck.Format(time.RFC3339))
		switch {
		case !s.Synchronous:
			words += "; nobody takes over by itself with durability Asynchronous, because the last commits would be lost"
		case !s.standby():
			words += "; no standby is in step with it, so nobody may take over"
		}
		return words, stuck
	}
	for _, m := range s.replicas() {
		if !m.VolumeStuck.IsZero() {
			return fmt.Sprintf("the volume of %s has not answered since %s", m.Name, m.VolumeStuck.Format(time.RFC3339)), stuck
		}
	}
	for _, m := range s.replicas() {
		if !m.Ready && !m.Deleting && slices.Contains(lost, m.State.State) {
			return fmt.Sprintf("%s cannot start from what is on its volume (it says: %s)", m.Name, m.State.State), gone
		}
	}
	return "", ""
}
