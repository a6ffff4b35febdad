package redistopology

import (
	"fmt"
	"strings"
	"testing"
)

// group is a Redis in words: each member is its name, then m (master), r (replica), o (old settings),
// n (not ready), t (ends), a (started alone).
func group(words ...string) Group {
	g := Group{Wanted: 3, Quorum: true}
	for _, word := range words {
		name, marks, _ := strings.Cut(word, ":")
		has := func(mark string) bool { return strings.Contains(marks, mark) }
		g.Members = append(g.Members, Member{
			Name: name, Master: has("m"), Ready: !has("n"), Running: true, Outdated: has("o"), Terminating: has("t"), Alone: has("a"),
		})
	}
	return g
}

func TestNext(t *testing.T) {
	noQuorum := group("0:mo", "1:r", "2:r")
	noQuorum.Quorum = false
	for _, c := range []struct {
		name  string
		group Group
		kind  Kind
		who   string
		why   string
	}{
		{"all as it shall be", group("0:m", "1:r", "2:r"), Nothing, "", ""},
		{"a lost member is none of its business", group("0:m", "1:r"), Nothing, "", ""},
		{"replicas first, the highest", group("0:mo", "1:ro", "2:ro"), Restart, "2", "a replica with old settings"},
		{"one at a time", group("0:mo", "1:ro", "2:rn"), Nothing, "", "2 is not ready"},
		{"one that ends is waited for", group("0:mo", "1:ro", "2:rt"), Nothing, "", "2 ends"},
		{"one that is not made yet is waited for", group("0:mo", "1:ro"), Nothing, "", "2 of 3 members are there"},
		{"then the next", group("0:mo", "1:ro", "2:r"), Restart, "1", "a replica with old settings"},
		{"the master hands over", group("0:mo", "1:r", "2:r"), Handover, "0", "the master is the last one with old settings"},
		{"and is a replica then", group("0:ro", "1:m", "2:r"), Restart, "0", "a replica with old settings"},
		{"not without a quorum", noQuorum, Nothing, "", "the Sentinels have no quorum, so the master cannot hand over"},
		{"two masters are waited out", group("0:mo", "1:m", "2:r"), Nothing, "", "2 members say that they are master"},
		{"one stuck with old settings cannot become well", group("0:m", "1:r", "2:rno"), Restart, "2", "it does not become ready with its old settings"},
		{"but not beside one that ends", group("0:m", "1:rt", "2:rno"), Nothing, "", "1 ends"},
		{"the lone one waits for the others", group("0:mao"), Nothing, "", "0 of 2 other members run; 0 is restarted as one of them after that"},
		{"the lone one becomes one of several", group("0:mao", "1:rn", "2:rn"), Restart, "0", "it becomes one of several"},
		{"once", group("0:maot", "1:rn", "2:rn"), Nothing, "", "0 ends"},
	} {
		got := Next(c.group)
		if got.Kind != c.kind || got.Member != c.who || got.Why != c.why {
			t.Errorf("%s: %+v, want %d %q %q", c.name, got, c.kind, c.who, c.why)
		}
	}
}

// Whatever is old and whoever is master: it ends with all new, the master is never restarted as such, and at
// most one member is away at a time.
func TestNextEnds(t *testing.T) {
	for old := range 8 {
		for master := range 3 {
			g := Group{Wanted: 3, Quorum: true}
			for i := range 3 {
				g.Members = append(g.Members, Member{Name: fmt.Sprint(i), Running: true, Ready: true, Master: i == master, Outdated: old>>i&1 == 1})
			}
			steps := 0
			for ; steps < 10; steps++ {
				step := Next(g)
				if step.Kind == Nothing {
					break
				}
				for i := range g.Members {
					m := &g.Members[i]
					switch {
					case step.Kind == Restart && m.Name == step.Member && m.Master:
						t.Fatalf("the master is restarted: %+v", g)
					case step.Kind == Restart && m.Name == step.Member:
						m.Outdated = false
					case step.Kind == Handover:
						m.Master = i == (master+1)%3
					}
				}
			}
			for _, m := range g.Members {
				if m.Outdated {
					t.Errorf("old %03b, master %d: %+v is left after %d steps", old, master, m, steps)
				}
			}
		}
	}
}
