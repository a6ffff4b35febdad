package database

import (
	"strings"
	"testing"
)

// A person may make a member the primary that lacks commits: only while nobody may take over by itself, and only
// the member with which the least is lost.
func TestForcedFailover(t *testing.T) {
	for name, c := range map[string]struct {
		edit             func(*Snapshot)
		to               string
		action           string
		refused, handled bool
		words            string
	}{
		"nobody may take over": {to: "db-2", action: "force db-2 to take over", words: "what only db-1 or db-0 held is lost"},
		"a member is further": {to: "db-2", refused: true, words: "db-3 is further than db-2", edit: func(s *Snapshot) {
			s.Members = append(s.Members, Member{Name: "db-3", Ready: true, State: MemberState{State: "running", Timeline: 3, Location: 1001}})
		}},
		"a member is on a newer timeline": {to: "db-2", refused: true, words: "db-3 is further than db-2", edit: func(s *Snapshot) {
			s.Members = append(s.Members, Member{Name: "db-3", Ready: true, State: MemberState{State: "running", Timeline: 4, Location: 900}})
		}},
		"it does not run":   {to: "db-1", refused: true, words: "db-1 does not run"},
		"there is none":     {to: "db-7", refused: true, words: "no member db-7"},
		"Patroni may elect": {to: "db-2", words: "nothing is forced before", edit: func(s *Snapshot) { s.InStep = []string{"db-2"} }},
		"somebody leads":    {to: "db-1", refused: true, words: "db-0 takes the writes", edit: func(s *Snapshot) { *s = healthy() }},
		"it leads":          {to: "db-0", handled: true, edit: func(s *Snapshot) { *s = healthy() }},
	} {
		s := healthy()
		for i := range 2 {
			s.Members[i].Ready, s.Members[i].State = false, MemberState{State: "stopped"}
		}
		if c.edit != nil {
			c.edit(&s)
		}
		s.Word = Word{Token: "t", Force: true, To: c.to}
		d, action := Next(s), ""
		if d.Action != nil {
			action = d.Action.String()
		}
		said := d.Reason
		if c.refused {
			said = d.Refused
		}
		if action != c.action || (d.Refused != "") != c.refused || d.Handled != (c.refused || c.handled) || !strings.Contains(said, c.words) {
			t.Errorf("%s: action %q, handled %t, refused %q, reason %q", name, action, d.Handled, d.Refused, d.Reason)
		}
	}
}
