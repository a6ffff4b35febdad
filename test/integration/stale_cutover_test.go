package integration

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/controllers"
)

// When an app rests after a cutover, a pass on caches of any moment of it, with the app itself as old or as
// it is, takes no pod away, deletes nothing and leads traffic nowhere else.
func TestStaleCacheAfterCutovers(t *testing.T) {
	t.Parallel()
	for _, c := range cutovers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := c.newStack(t)
			for _, act := range c.acts()[:2] {
				act(s)
			}
			want := withoutAttempt(s.picture())
			past := s.seen.past
			events := len(past)
			app := s.appID()
			for k := range events {
				for _, known := range []bool{false, true} {
					before, writes := s.standing(), len(s.done)
					s.seen.frozen = maps.Clone(past[k])
					if known {
						s.seen.frozen[app] = s.seen.now[app]
					}
					_, _ = s.pass() // conflicts are welcome
					s.seen.thaw()
					s.unharmed(before, fmt.Sprintf("with a cache of event %d of %d (and the app as it is: %v)", k, events, known), s.done[writes:])
					if len(s.done) > writes {
						s.settle()
						if diff := cmp.Diff(want, withoutAttempt(s.picture())); diff != "" {
							t.Fatalf("after a pass with a cache of event %d of %d the end is another:\n%s", k, events, diff)
						}
					}
				}
			}
			t.Logf("passes with caches of %d of %d events did no harm", events, events)
		})
	}
}

// In the midst of a cutover the caches lag by some events. What is decided on an app that has changed since
// does no harm, and the cutover comes to the same end.
func TestStaleCacheDuringCutovers(t *testing.T) {
	t.Parallel()
	for _, c := range cutovers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			reference, s := c.newStack(t), c.newStack(t)
			acts := c.acts()
			v := s.seen.view()
			lagging := s.operator(v)
			passes := 0
			for i, act := range acts {
				act(reference)
				if i > 0 {
					s.before = func() { passes += s.lag(v, lagging) }
				}
				act(s)
				if diff := cmp.Diff(withoutAttempt(reference.picture()), withoutAttempt(s.picture())); diff != "" {
					t.Fatalf("the end of act %d is another:\n%s", i+1, diff)
				}
			}
			if passes < 100 {
				t.Errorf("only %d passes lagged", passes)
			}
			t.Logf("%d passes with caches that lag did no harm", passes)
		})
	}
}

// lag makes passes with caches that are more and more behind, and says how many.
func (s *stack) lag(v *view, operator *controllers.Reconciler) int {
	s.Helper()
	n := 0
	for v.lag = 1; v.lag < len(s.seen.past) && v.lag < 60; v.lag += 1 + v.lag/3 {
		known := v.seen()[s.appID()]
		if known == nil {
			break
		}
		stale := known.GetResourceVersion() != s.seen.now[s.appID()].GetResourceVersion()
		before, writes := s.standing(), len(s.done)
		_, _ = s.passOf(operator)
		if stale {
			s.unharmed(before, fmt.Sprintf("with caches %d events behind", v.lag), s.done[writes:])
		}
		n++
	}
	return n
}

func (s *stack) appID() id {
	return id{v1alpha1.GroupVersion.WithKind("ScalableApp"), s.key("shop")}
}

// standing is what must not be changed by a decision that is not the newest: the sizes of Deployments, and
// where the Service and the route lead.
type standing struct {
	sizes map[string]int32
	leads string
}

func (s *stack) standing() standing {
	out := standing{sizes: map[string]int32{}}
	for _, d := range all[appsv1.Deployment](s.seen) {
		out.sizes[d.Name] = *d.Spec.Replicas
	}
	for _, service := range all[corev1.Service](s.seen) {
		if service.Name == "shop" {
			out.leads += fmt.Sprintln(service.Name, service.Spec.Selector)
		}
	}
	for _, route := range all[gatewayv1.HTTPRoute](s.seen) {
		for _, rule := range route.Spec.Rules {
			for _, ref := range rule.BackendRefs {
				out.leads += fmt.Sprintln(len(rule.Matches), ref.Name, *ref.Weight)
			}
		}
	}
	return out
}

// unharmed fails the test if writes deleted something, took pods away or led traffic elsewhere.
func (s *stack) unharmed(before standing, when string, writes []string) {
	s.Helper()
	after := s.standing()
	for _, write := range writes {
		if strings.HasPrefix(write, "delete") {
			s.Errorf("%s it did %s", when, write)
		}
	}
	for name, n := range before.sizes {
		if after.sizes[name] < n {
			s.Errorf("%s it took pods of %s away: %d of %d are left", when, name, after.sizes[name], n)
		}
	}
	if after.leads != before.leads {
		s.Errorf("%s it led traffic elsewhere:\n%s", when, cmp.Diff(before.leads, after.leads))
	}
}
