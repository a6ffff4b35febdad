package integration

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/observe"
	"github.com/scalableapp/scalableapp-operator/internal/promql"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// Whatever is wrong with what a new version needs, the old one serves on with all its pods; the status says
// what is wrong, and when it is put right the new version takes over.
func TestCutoverMeetsObstacles(t *testing.T) {
	t.Parallel()
	const spec = "app: {image: one, replicas: 2}\nrollout: {strategy: BlueGreen}\ntraffic: {gateway: {parentRefs: [{name: edge}]}}"
	for name, c := range map[string]struct {
		spoil, mend func(*stack)
		reason      string
		// told is what a pass's error says, where there is one.
		told string
	}{
		"the Gateway goes away": {
			spoil: func(s *stack) { s.remove(&gatewayv1.Gateway{ObjectMeta: s.meta("edge")}) },
			mend:  func(s *stack) { s.edge() }, reason: v1alpha1.ReasonGatewayMissing,
		},
		"the new version's Service is somebody else's": {
			spoil: func(s *stack) {
				s.create(&corev1.Service{ObjectMeta: s.meta(s.candidate()), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 7}}}})
			},
			mend:   func(s *stack) { s.remove(&corev1.Service{ObjectMeta: s.meta(s.candidate())}) },
			reason: v1alpha1.ReasonNameConflict, told: "belongs to nobody that the operator knows",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.edge()
			newGuard(s)
			s.deploy(spec)
			s.settle()
			s.ready()
			stable := revisionOf(s)
			// The next pass makes the new version the candidate, and dies before it makes anything of it.
			s.image("two")
			s.limit = len(s.writes) + 1
			_, _ = s.pass()
			s.restart()
			c.spoil(s)
			failed := 0
			for range 15 {
				_, err := s.pass()
				if err != nil && c.told != "" && strings.Contains(err.Error(), c.told) {
					failed++
				} else if err != nil {
					t.Fatalf("a pass failed: %v", err)
				}
				s.turn()
			}
			if c.told != "" && failed == 0 {
				t.Errorf("no pass failed")
			}
			if got := stalledFor(s); !strings.HasPrefix(got, c.reason+": ") {
				t.Errorf("stalled for %q, want %s", got, c.reason)
			}
			if leads := (told{s}).leadsTo(); leads != stable+" 100" || s.serving()[stable] != 2 {
				t.Errorf("traffic goes to %s, of %s %d pods serve", leads, stable, s.serving()[stable])
			}
			c.mend(s)
			s.settle()
			s.ready()
			if next := revisionOf(s); next == stable || (told{s}).leadsTo() != next+" 100" {
				t.Errorf("%s is stable, traffic goes to %s", next, (told{s}).leadsTo())
			}
		})
	}
}

// PromQL that does not parse is told before a pod is started for it, by the Prometheus itself; with PromQL
// that does, the new version takes over.
func TestGateWithWrongPromQL(t *testing.T) {
	t.Parallel()
	address := testkit.Prometheus(t, "127.0.0.1:1") // which nobody answers at: up is 0
	s := newStack(t)
	s.reconciler.Observer.Gates = &observe.Gates{Prometheus: &promql.Client{}}
	query := func(text string) {
		s.change(func(app *v1alpha1.ScalableApp) {
			app.Spec.App.Image = "two"
			app.Spec.Rollout.Gates = []v1alpha1.GateSpec{{Name: "errors", Samples: new(int32(1)), Metric: &v1alpha1.MetricGate{
				Source: v1alpha1.MetricSourcePrometheus, Max: "0.5",
				Prometheus: &v1alpha1.PrometheusQuery{Address: address, Query: text}}}}
		})
	}
	s.deploy("app: {image: one, replicas: 2}\nrollout: {strategy: BlueGreen}")
	s.settle()
	stable := revisionOf(s)
	query(`sum(rate(errors{revision="$(revision)"[1m]))`)
	writes := len(s.done)
	for range 10 {
		if _, err := s.pass(); err != nil {
			t.Fatal(err)
		}
		s.turn()
	}
	if got := stalledFor(s); !strings.HasPrefix(got, "GateInvalid: gate errors") || !strings.Contains(got, "parse error") {
		t.Errorf("stalled for %q", got)
	}
	if i := slices.IndexFunc(s.done[writes:], func(w string) bool { return strings.Contains(w, "Deployment") }); i >= 0 {
		t.Errorf("it wrote %v", s.done[writes:])
	}
	if c := meta.FindStatusCondition(s.app().Status.Conditions, v1alpha1.ConditionAvailable); c.Status != "True" || s.serving()[stable] != 2 {
		t.Errorf("the old version does not serve: %v", c)
	}
	query("vector(0)")
	s.settle()
	s.ready()
	if revisionOf(s) == stable {
		t.Error("the new version has not taken over")
	}
}

// remove deletes an object that the mirror may not hold as ours.
func (s *stack) remove(object client.Object) {
	s.Helper()
	kind, err := apiutil.GVKForObject(object, s.api.Scheme())
	if err != nil {
		s.Fatal(err)
	}
	if err := s.api.Delete(s.ctx, object); err != nil {
		s.Fatal(err)
	}
	s.seen.store(kind, client.ObjectKeyFromObject(object), nil)
}

func (s *stack) candidate() string {
	s.Helper()
	if c := s.app().Status.Rollout.Candidate; c != nil {
		return c.Revision
	}
	s.Fatal("there is no candidate")
	return ""
}

// serving are the numbers of pods that serve, by revision.
func (s *stack) serving() map[string]int32 {
	out := map[string]int32{}
	for _, pod := range all[corev1.Pod](s.seen) {
		if revision := pod.Labels[naming.LabelRevision]; revision != "" && len(pod.Status.Conditions) > 0 {
			out[revision]++
		}
	}
	return out
}
