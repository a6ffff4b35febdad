package database

import (
	"testing"
	"time"
)

// That nobody takes the writes is a person's affair only when an election should have ended long ago.
func TestAnElectionIsOverdue(t *testing.T) {
	gone := func(ago time.Duration) func(*Snapshot) {
		return func(s *Snapshot) { s.Members, s.Leader.Seen, s.Synchronous = s.Members[1:], now.Add(-ago), false }
	}
	unready := func(ago, acquired time.Duration) func(*Snapshot) {
		return func(s *Snapshot) {
			s.Members[0].Ready, s.Members[0].Unready = false, now.Add(-ago)
			s.Leader.Seen, s.Leader.Acquired = now.Add(-time.Second), now.Add(-acquired)
		}
	}
	for name, c := range map[string]struct {
		edit    func(*Snapshot)
		says    bool
		overdue bool
		wake    time.Duration
	}{
		"somebody leads":                      {edit: func(*Snapshot) {}},
		"the first start":                     {edit: func(s *Snapshot) { s.Initialized, s.Leader, s.Members = false, LeaderRecord{}, nil }},
		"the leader was just lost":            {gone(12 * time.Second), true, false, 18 * time.Second},
		"it was lost long ago":                {gone(30 * time.Second), true, true, 0},
		"nobody knows since when":             {func(s *Snapshot) { s.Members, s.Leader.Seen = s.Members[1:], time.Time{} }, true, false, 0},
		"it leads, and serves no more":        {unready(40*time.Second, time.Hour), true, true, 0},
		"it leads, and serves no more just":   {unready(4*time.Second, time.Hour), true, false, 26 * time.Second},
		"it came to lead, and does not serve": {unready(time.Hour, 9*time.Second), true, false, 21 * time.Second},
	} {
		s := healthy()
		c.edit(&s)
		d := Next(s)
		if (d.NoLeader != "") != c.says || d.Overdue != c.overdue || d.Wake != c.wake {
			t.Errorf("%s: %q, overdue %t, looks again in %s", name, d.NoLeader, d.Overdue, d.Wake)
		}
	}
}
