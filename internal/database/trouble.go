package database

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// lost are the replicas that cannot start from what is on their volumes. Patroni copies an empty volume anew by
// itself, but one that holds something it only tries to start again and again, so a replica that was lost is so
// through each try, until it runs or is being copied.
func (s *Snapshot) lost() []string {
	var lost []string
	for _, m := range s.replicas() {
		tries := m.State.State == "starting" && slices.Contains(s.Lost, m.Name)
		if !m.Ready && !m.Deleting && (m.State.State == "start failed" || tries) {
			lost = append(lost, m.Name)
		}
	}
	slices.Sort(lost)
	return lost
}

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
	if lost := s.lost(); len(lost) > 0 {
		return fmt.Sprintf("%s cannot start from what is on the volume, and Patroni does not replace that by itself", strings.Join(lost, ", ")), gone
	}
	return "", ""
}
