package integration

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scalableapp/scalableapp-operator/controllers"
)

// Two operators that both take themselves for the leader act by turns, the second with caches of its own that
// lag by a few events: the end is the same, and at no time was it harmful.
func TestTwoLeadersByTurns(t *testing.T) {
	t.Parallel()
	eachCutover(t, func(s *stack, v *view, second *controllers.Reconciler) *int {
		passes := 0
		s.before = func() {
			v.lag = min(passes*7%12, len(s.seen.past)-1)
			_, _ = s.passOf(second) // conflicts are welcome
			passes++
		}
		return &passes
	})
}

// The second makes a whole pass between the decision of the first and each of its writes.
func TestTwoLeadersAtOnce(t *testing.T) {
	t.Parallel()
	eachCutover(t, func(s *stack, v *view, second *controllers.Reconciler) *int {
		passes := 0
		s.patient = true // the first meets conflicts
		s.between = func() {
			v.lag = min(passes%3, len(s.seen.past)-1)
			_, _ = s.passOf(second)
			passes++
		}
		return &passes
	})
}

// eachCutover plays all acts of each cutover undisturbed and disturbed, and compares the ends of each.
func eachCutover(t *testing.T, disturb func(*stack, *view, *controllers.Reconciler) *int) {
	for _, c := range cutovers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			reference, s := c.newStack(t), c.newStack(t)
			v := s.seen.view()
			passes := disturb(s, v, s.operator(v))
			for i, act := range c.acts() {
				act(reference)
				act(s)
				if diff := cmp.Diff(withoutAttempt(reference.picture()), withoutAttempt(s.picture())); diff != "" {
					t.Fatalf("the end of act %d is another:\n%s", i+1, diff)
				}
			}
			if *passes < 50 {
				t.Errorf("the second made only %d passes", *passes)
			}
			t.Logf("the second made %d passes", *passes)
		})
	}
}

// The API server is away for a minute, before one of the writes of a cutover: the end is the same, and people
// are told the same story.
func TestAPIServerAway(t *testing.T) {
	t.Parallel()
	for _, c := range []cutover{cutovers[0], cutovers[3], cutovers[4]} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			reference := c.newStack(t)
			c.made(reference)
			first := len(reference.writes)
			fails("registry.example/shop:overloaded")(reference)
			last := len(reference.writes)
			want := reference.picture()
			for k := first; k < last; k += 4 {
				s := c.newStack(t)
				c.made(s)
				s.awayBefore(k)
				fails("registry.example/shop:overloaded")(s)
				if s.failed < 60 {
					t.Errorf("only %d passes failed", s.failed)
				}
				if diff := cmp.Diff(want, s.picture()); diff != "" {
					t.Errorf("away before write %d (%s), the end is another:\n%s", k, reference.writes[k], diff)
				}
				if diff := cmp.Diff(reference.events, s.events); diff != "" {
					t.Errorf("away before write %d (%s), another story is told:\n%s", k, reference.writes[k], diff)
				}
			}
		})
	}
}

// awayBefore has the API server go away before a write, for a minute. An operator that cannot write decides
// anew each second.
func (s *stack) awayBefore(k int) {
	s.patient = true
	s.between = func() {
		if s.away || len(s.writes) != k {
			return
		}
		s.away = true
		back := s.time.Add(time.Minute)
		s.before = func() {
			if !s.time.Before(back) {
				s.away, s.before, s.between, s.patient = false, nil, nil, false
			}
		}
	}
}
