package database

import (
	"strings"
	"testing"
	"time"
)

// A first start whose maker was killed is begun again, but never while somebody may be making the database.
func TestAnAbandonedFirstStartIsBegunAgain(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*Snapshot)
		want bool
	}{
		"all wait":             {want: true},
		"one has not spoken":   {want: true, edit: func(s *Snapshot) { s.Members[1].State.State = "" }},
		"one does not run yet": {edit: func(s *Snapshot) { s.Members[1].State.State, s.Members[1].Started = "", time.Time{} }}, // it may have made it
		"one only just runs":   {edit: func(s *Snapshot) { s.Members[1].State.State, s.Members[1].Started = "", now.Add(-10*time.Second) }},
		"one makes it":         {edit: func(s *Snapshot) { s.Members[1].State.State = "initializing new cluster" }},
		"one restores it":      {edit: func(s *Snapshot) { s.Members[1].State.State = "running custom bootstrap script" }},
		"its container ended":  {edit: func(s *Snapshot) { s.Members[1].Ended = now }}, // it comes back and may go on
		"its pod ends":         {edit: func(s *Snapshot) { s.Members[1].Deleting = true }},
		"a member is not seen": {edit: func(s *Snapshot) { s.Members = s.Members[:2] }},
		"only just":            {edit: func(s *Snapshot) { s.Begun = now.Add(-10 * time.Second) }},
		"nobody began":         {edit: func(s *Snapshot) { s.Begun = time.Time{} }},
		"somebody leads":       {edit: func(s *Snapshot) { s.Leader.Name = "db-0" }},
		"it is there":          {edit: func(s *Snapshot) { s.Initialized = true }},
	} {
		s := healthy()
		s.Initialized, s.Leader, s.InStep, s.Begun, s.BegunVersion = false, LeaderRecord{}, nil, now.Add(-40*time.Second), "7"
		for i := range s.Members {
			s.Members[i].Ready, s.Members[i].Labelled, s.Members[i].State = false, false, MemberState{State: "stopped"}
			s.Members[i].Started = now.Add(-time.Minute)
		}
		if c.edit != nil {
			c.edit(&s)
		}
		d := Next(s)
		if got := len(d.Urgent) == 1; got != c.want {
			t.Errorf("%s: %v", name, d.Urgent)
		}
		if strings.Contains(name, "only just") && d.Wake != 20*time.Second {
			t.Errorf("%s: looks again in %s", name, d.Wake)
		}
	}
}
