package database

import (
	"strings"
	"testing"
)

// Patroni says in turns that it starts and that the start failed; the word about it must not change with it.
func TestALostReplicaIsLostThroughEachTry(t *testing.T) {
	s := healthy()
	say := func(state string, ready bool) string {
		s.Members[2].Ready, s.Members[2].State = ready, MemberState{Role: "replica", State: state}
		d := Next(s)
		s.Lost = d.Lost
		return d.Trouble
	}
	if said := say("starting", false); said != "" {
		t.Errorf("a first start: %s", said)
	}
	first := say("start failed", false)
	if !strings.HasPrefix(first, "db-2 cannot start from what is on the volume") {
		t.Fatalf("a failed start: %q", first)
	}
	for _, state := range []string{"starting", "start failed", "starting"} {
		if said := say(state, false); said != first {
			t.Errorf("%s: %q", state, said)
		}
	}
	if said := say("creating replica", false); said != "" {
		t.Errorf("it is copied anew: %s", said)
	}
	if said := say("starting", false); said != "" {
		t.Errorf("it starts from the copy: %s", said)
	}
	say("start failed", false)
	if said := say("running", true); said != "" || len(s.Lost) > 0 {
		t.Errorf("it runs: %s", said)
	}
}
