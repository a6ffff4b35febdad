package components

import (
	"encoding/json"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

func withGateway(spec *v1alpha1.ScalableAppSpec) {
	spec.Traffic.Gateway = &v1alpha1.GatewaySpec{
		ParentRefs: []v1alpha1.GatewayRef{{Name: "web", Namespace: "gateway-system", SectionName: "http"}, {Name: "inner"}},
		Hostnames:  []string{"shop.example", "*.shop.example"},
	}
}

// rollout is a rollout whose candidate has a pod and part of the traffic.
func rollout(service string, weights ...int32) v1alpha1.RolloutStatus {
	r := v1alpha1.RolloutStatus{
		Stable: &v1alpha1.RevisionStatus{Revision: "shop-a", Replicas: 3}, Candidate: &v1alpha1.RevisionStatus{Revision: "shop-b", Replicas: 1},
		Traffic: &v1alpha1.TrafficStatus{Service: service},
	}
	for i, weight := range weights {
		name := "shop-" + string(rune('a'+i))
		r.Traffic.Backends = append(r.Traffic.Backends, v1alpha1.BackendStatus{Revision: name, Weight: weight, Highest: 100})
	}
	return r
}

func TestTrafficGolden(t *testing.T) {
	gateway := func(r v1alpha1.RolloutStatus) []Object {
		in := testInput(withGateway)
		in.Observed.Gateways.Known, in.Rollout = true, r
		return Traffic(in)
	}
	promoted := rollout("shop-b", 0, 100)
	promoted.Stable, promoted.Candidate = promoted.Candidate, nil
	for name, objects := range map[string][]Object{
		"traffic_without_gateway": func() []Object {
			in := testInput(func(*v1alpha1.ScalableAppSpec) {})
			in.Rollout = rollout("shop-a", 100, 0)
			return Traffic(in)
		}(),
		"traffic_before_the_first_rollout": gateway(v1alpha1.RolloutStatus{}),
		"traffic_follows_pods":             gateway(rollout("", 50, 50)),
		"traffic_preview":                  gateway(rollout("shop-a", 100, 0)),
		"traffic_canary":                   gateway(rollout("shop-a", 90, 10)),
		"traffic_promoted":                 gateway(promoted),
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, objects) })
	}
}

// A route is not even tried while the cluster does not know the kind, and what is there is written only as it
// was seen.
func TestTrafficObjects(t *testing.T) {
	type seen struct{ kind, version string }
	kinds := func(in Input) []seen {
		var kinds []seen
		for _, o := range Traffic(in) {
			var head struct{ Kind string }
			if err := json.Unmarshal(marshal(t, o), &head); err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, seen{head.Kind, o.IfVersion})
		}
		return kinds
	}
	in := testInput(withGateway)
	if got := kinds(in); !slices.Equal(got, []seen{{"Service", ""}}) {
		t.Errorf("without the Gateway API: %v", got)
	}
	in.Observed.Gateways.Known = true
	if got := kinds(in); !slices.Equal(got, []seen{{"Service", ""}, {"HTTPRoute", ""}}) {
		t.Errorf("before there is anything: %v", got)
	}
	in.Observed = &state.Observed{
		Gateways: state.Gateways{Known: true},
		Services: []*corev1.Service{{ObjectMeta: metav1.ObjectMeta{Name: "shop", ResourceVersion: "7"}}},
		Route:    &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Name: "shop", ResourceVersion: "8"}},
	}
	if got := kinds(in); !slices.Equal(got, []seen{{"Service", "7"}, {"HTTPRoute", "8"}}) {
		t.Errorf("when both are there: %v", got)
	}
}
