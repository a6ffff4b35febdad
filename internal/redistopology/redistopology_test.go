package redistopology

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
)

// group is a Redis in words: each member is its name, then m (master), r (replica), o (old settings),
// n (not ready), s (ready for the kubelet, silent for the operator), t (ends), a (started alone).
func group(words ...string) Group {
	g := Group{Wanted: 3, Quorum: true}
	for _, word := range words {
		name, marks, _ := strings.Cut(word, ":")
		has := func(mark string) bool { return strings.Contains(marks, mark) }
		g.Members = append(g.Members, Member{
			Name: name, Master: has("m"), Ready: !has("n") && !has("s"), Stuck: has("n"), Running: true, Outdated: has("o"), Terminating: has("t"), Alone: has("a"),
		})
	}
	return g
}

// lone is a Redis of one member, in the same words.
func lone(words ...string) Group {
	g := group(words...)
	g.Wanted, g.Quorum = 1, false
	return g
}

// volumes are those of a group, each as REQUESTED/CAPACITY with the word fixed if it cannot grow; 2Gi is wanted.
func volumes(g Group, oldSet bool, words ...string) Group {
	g.OldSet = oldSet
	for i, word := range words {
		sizes, fixed, _ := strings.Cut(word, " ")
		requested, capacity, _ := strings.Cut(sizes, "/")
		g.Volumes = append(g.Volumes, Volume{Name: fmt.Sprintf("data-%d", i), Wanted: resource.MustParse("2Gi"),
			Requested: resource.MustParse(requested), Capacity: resource.MustParse(capacity), Fixed: fixed})
	}
	return g
}

func TestNext(t *testing.T) {
	noQuorum := group("0:mo", "1:r", "2:r")
	noQuorum.Quorum = false
	oldTemplate := func(g Group) Group {
		g.OldTemplate = true
		return g
	}
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
		{"nor beside a new one that is not ready yet", group("0:mo", "1:ron", "2:rn"), Nothing, "", "1 is not ready"},
		{"nor beside a new one that is silent", group("0:mo", "1:ron", "2:rs"), Nothing, "", "1 is not ready"},
		{"nor beside one that is not made yet", group("0:mo", "1:ron"), Nothing, "", "1 is not ready"},
		{"one that only the operator cannot reach is not stuck", group("0:mos", "1:ros", "2:ros"), Nothing, "", "0 does not answer, or does not follow the master"},
		{"nor is a lone one", lone("0:os"), Nothing, "", "0 does not answer, or does not follow the master"},
		{"stuck beside silent ones with old settings", group("0:mos", "1:ros", "2:ron"), Restart, "2", "it does not become ready with its old settings"},
		{"all stuck: one at a time", group("0:mon", "1:ron", "2:ron"), Restart, "2", "it does not become ready with its old settings"},
		{"not while it would come back with the old settings", oldTemplate(group("0:mo", "1:ro", "2:ro")), Nothing, "", oldTemplateWords},
		{"nor a stuck one", oldTemplate(lone("0:on")), Nothing, "", oldTemplateWords},
		{"nor the lone one", oldTemplate(group("0:mao", "1:rn", "2:rn")), Nothing, "", oldTemplateWords},
		{"nor is the leadership handed over", oldTemplate(group("0:mo", "1:r", "2:r")), Nothing, "", oldTemplateWords},
		{"and a volume grows all the same", oldTemplate(volumes(lone("0:mo"), true, "1Gi/1Gi")), Grow, "data-0", "it grows from 1Gi to 2Gi"},
		{"the lone one waits for the others", group("0:mao"), Nothing, "", "0 of 2 other members run; 0 is restarted as one of them after that"},
		{"the lone one becomes one of several", group("0:mao", "1:rn", "2:rn"), Restart, "0", "it becomes one of several"},
		{"a lone one is restarted", lone("0:mo"), Restart, "0", "new settings, and nobody else is there to take over"},
		{"a lone one that is well", lone("0:m"), Nothing, "", ""},
		{"a lone one that is stuck", lone("0:no"), Restart, "0", "it does not become ready with its old settings"},
		{"a lone one that ends is waited for", lone("0:ot"), Nothing, "", "0 ends"},
		{"volumes first, whoever runs", volumes(group("0:mo", "1:rn"), true, "1Gi/1Gi", "1Gi/1Gi"), Grow, "data-0", "it grows from 1Gi to 2Gi"},
		{"each of them", volumes(group("0:m", "1:r", "2:r"), true, "2Gi/2Gi", "1Gi/1Gi"), Grow, "data-1", "it grows from 1Gi to 2Gi"},
		{"then the set", volumes(lone("0:m"), true, "2Gi/1Gi"), Renew, "", "the StatefulSet is made anew with the new size of volumes; its pods stay"},
		{"once made anew", volumes(lone("0:m"), false, "2Gi/2Gi"), Nothing, "", ""},
		{"a larger volume that was kept is left", volumes(lone("0:m"), false, "3Gi/3Gi"), Nothing, "", ""},
		{"one that cannot grow: none is touched", volumes(group("0:m", "1:r", "2:r"), true, "1Gi/1Gi", "1Gi/1Gi fixed"), Nothing, "", ""},
		{"and the rest goes on", volumes(group("0:m", "1:r", "2:ro"), true, "1Gi/1Gi fixed"), Restart, "2", "a replica with old settings"},
		{"once", group("0:maot", "1:rn", "2:rn"), Nothing, "", "0 ends"},
	} {
		got := Next(c.group)
		if got.Kind != c.kind || got.Member != c.who || got.Why != c.why {
			t.Errorf("%s: %+v, want %d %q %q", c.name, got, c.kind, c.who, c.why)
		}
	}
}

func TestTrouble(t *testing.T) {
	if got := Trouble(volumes(lone("0:m"), true, "1Gi/1Gi the class is fixed")); got != "data-0 cannot grow from 1Gi to 2Gi: the class is fixed" {
		t.Error(got)
	}
	g := volumes(lone("0:m"), false, "2Gi/1Gi")
	if got := Trouble(g); got != "" {
		t.Errorf("it still grows: %s", got)
	}
	g.Volumes[0].Trouble = "no room"
	if got := Trouble(g); got != "data-0 does not grow from 1Gi to 2Gi: no room" {
		t.Error(got)
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
