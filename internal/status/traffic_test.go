package status

import (
	"maps"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// twoRevisions is an app of which 3 pods of shop-a and 1 of shop-b serve, in the midst of a Canary. The
// shared Service leads to all of them, each revision's own to its pods.
func twoRevisions(t *testing.T) Input {
	in := stable(t, 0)
	in.Observed = &state.Observed{Now: in.Observed.Now}
	in.App.Spec.Rollout.Strategy = v1alpha1.RolloutCanary
	for _, p := range []struct{ name, revision string }{{"a1", "shop-a"}, {"a2", "shop-a"}, {"a3", "shop-a"}, {"b1", "shop-b"}} {
		pod := testkit.Serve(testkit.Pod(in.App, naming.ComponentApp, p.name))
		pod.Labels[naming.LabelRevision] = p.revision
		in.Observed.Pods = append(in.Observed.Pods, pod)
	}
	in.Rollout.Status = v1alpha1.RolloutStatus{Stage: v1alpha1.StageProgressing, Weight: new(int32(25)), StepStartedTime: &testkit.Born,
		Stable:    &v1alpha1.RevisionStatus{Revision: "shop-a", Number: 1},
		Candidate: &v1alpha1.RevisionStatus{Revision: "shop-b", Number: 2, Replicas: 1},
		Traffic: &v1alpha1.TrafficStatus{Backends: []v1alpha1.BackendStatus{
			{Revision: "shop-a", Weight: 75, Highest: 75}, {Revision: "shop-b", Weight: 25, Highest: 25}}}}
	for _, service := range []string{"", "shop-a", "shop-b"} {
		name := service
		if name == "" {
			name = naming.Service(in.App)
		}
		lead(in.App, in.Observed, name, naming.RevisionSelector(in.App, service))
	}
	return in
}

// one leads the shared Service to a single revision, in status and in the cluster.
func one(in *Input, revision string) {
	in.Rollout.Status.Traffic.Service = revision
	lead(in.App, in.Observed, naming.Service(in.App), naming.RevisionSelector(in.App, revision))
}

// throughGateway leads traffic through a Gateway that has accepted the route.
func throughGateway(in *Input) {
	in.App.Spec.Traffic.Gateway = &v1alpha1.GatewaySpec{ParentRefs: []v1alpha1.GatewayRef{{Name: "web", Namespace: "system"}}}
	in.Observed.Gateways.Known = true
	one(in, "shop-a")
	route := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "prod", Generation: 4}}
	rule := gatewayv1.HTTPRouteRule{}
	for _, b := range []struct {
		name   gatewayv1.ObjectName
		weight int32
	}{{"shop-a", 75}, {"shop-b", 25}} {
		ref := gatewayv1.HTTPBackendRef{}
		ref.Name, ref.Weight = b.name, &b.weight
		rule.BackendRefs = append(rule.BackendRefs, ref)
	}
	preview := gatewayv1.HTTPRouteRule{Matches: []gatewayv1.HTTPRouteMatch{{
		Headers: []gatewayv1.HTTPHeaderMatch{{Name: naming.PreviewHeader, Value: naming.PreviewValue}}}}}
	route.Spec.Rules = []gatewayv1.HTTPRouteRule{preview, rule}
	namespace := gatewayv1.Namespace("system")
	route.Status.Parents = []gatewayv1.RouteParentStatus{{
		ParentRef: gatewayv1.ParentReference{Name: "web", Namespace: &namespace},
		Conditions: []metav1.Condition{
			{Type: "Accepted", Status: metav1.ConditionTrue, ObservedGeneration: 4, Reason: "Accepted"},
			{Type: "ResolvedRefs", Status: metav1.ConditionTrue, ObservedGeneration: 4, Reason: "ResolvedRefs"},
		}}}
	in.Observed.Route = route
}

func TestTraffic(t *testing.T) {
	parent := func(in *Input) *gatewayv1.RouteParentStatus { return &in.Observed.Route.Status.Parents[0] }
	for name, c := range map[string]struct {
		change func(*Input)
		want   string
		// lasting troubles need a person.
		lasting bool
	}{
		"both have endpoints": {want: "True Ready: 25% of the traffic goes to shop-b (revision 2)"},
		"nothing is stored yet": {change: func(in *Input) { in.Rollout.Status.Traffic = nil },
			want: "True Ready: 25% of the traffic goes to shop-b (revision 2)"},
		"no Service": {change: func(in *Input) { in.Observed.Services = nil }, want: "False Settling: Service shop is being created"},
		"the Service leads elsewhere": {change: func(in *Input) { in.Rollout.Status.Traffic.Service = "shop-b" },
			want: "False Settling: Service shop is being led to shop-b"},
		"somebody led the Service elsewhere": {change: func(in *Input) { in.Observed.Service("shop").Spec.Selector["a"] = "b" },
			want: "False Settling: Service shop is being led to the pods of all revisions"},
		"all to the candidate":  {change: func(in *Input) { one(in, "shop-b") }, want: "True Ready: all traffic goes to shop-b (revision 2)"},
		"none to the candidate": {change: func(in *Input) { one(in, "shop-a") }, want: "True Ready: all traffic goes to shop-a (revision 1)"},
		"the slices are behind": {change: func(in *Input) {
			behind := slices.Clone(in.Observed.Slices)
			one(in, "shop-b")
			in.Observed.Slices = behind
		}, want: "False Settling: pods of shop-a still are endpoints of Service shop"},
		"an endpoint of a pod that is gone": {change: func(in *Input) {
			behind := slices.Clone(in.Observed.Slices)
			one(in, "shop-b")
			in.Observed.Slices, in.Observed.Pods = behind, in.Observed.Pods[3:]
		}, want: "True Ready: all traffic goes to shop-b (revision 2)"},
		"the candidate has no endpoint": {change: func(in *Input) {
			in.Observed.Slices = nil
			slice := testkit.Slice("shop", nil)
			for _, pod := range in.Observed.Pods[:3] {
				testkit.AddEndpoint(slice, pod)
			}
			in.Observed.Slices = append(in.Observed.Slices, slice)
		}, want: "False Settling: no pod of shop-b is an endpoint of Service shop yet"},
		"nor a pod that serves": {change: func(in *Input) {
			stopServing(in.Observed.Pods[3])
			lead(in.App, in.Observed, "shop", naming.RevisionSelector(in.App, ""))
		}, want: "True WeightRounded: 0% of the traffic goes to shop-b (revision 2), 25% are wanted: the number of pods allows no nearer share; add replicas or a gateway (traffic.gateway)"},
		"a weight that pods cannot give": {change: func(in *Input) { in.Rollout.Status.Weight = new(int32(10)) },
			want: "True WeightRounded: 25% of the traffic goes to shop-b (revision 2), 10% are wanted: the number of pods allows no nearer share; add replicas or a gateway (traffic.gateway)"},
		"a weight that pods nearly give": {change: func(in *Input) { in.Rollout.Status.Weight = new(int32(30)) },
			want: "True Ready: 25% of the traffic goes to shop-b (revision 2)"},
		"a weight on the way": {change: func(in *Input) { in.Rollout.Status.Weight, in.Rollout.Status.StepStartedTime = new(int32(10)), nil },
			want: "True Ready: 25% of the traffic goes to shop-b (revision 2)"},
		"pods but no endpoint at all": {change: func(in *Input) { in.Observed.Slices, in.Rollout.Status.Traffic = nil, nil },
			want: "False Settling: no pod is an endpoint of Service shop yet"},

		"through a gateway": {change: throughGateway, want: "True Ready: 25% of the traffic goes to shop-b (revision 2)"},
		"the API is missing": {change: func(in *Input) { throughGateway(in); in.Observed.Gateways.Known = false }, lasting: true,
			want: "False GatewayAPIMissing: traffic.gateway is set, but the cluster does not know HTTPRoutes; install the CRDs of the Gateway API (gateway.networking.k8s.io/v1) and a controller for them, or leave traffic.gateway out"},
		"the Gateway is missing": {change: func(in *Input) { throughGateway(in); in.Observed.Gateways.Missing = []string{"system/web"} }, lasting: true,
			want: "False GatewayMissing: Gateway system/web (traffic.gateway.parentRefs) does not exist; create it, or name another"},
		"no route": {change: func(in *Input) { throughGateway(in); in.Observed.Route = nil },
			want: "False Settling: HTTPRoute shop is being created"},
		"other weights": {change: func(in *Input) { throughGateway(in); in.Rollout.Status.Traffic.Backends[1].Weight = 50 },
			want: "False Settling: HTTPRoute shop is being changed"},
		"a rule of somebody else": {change: func(in *Input) { throughGateway(in); in.Observed.Route.Spec.Rules[0].Matches[0].Headers = nil },
			want: "False Settling: HTTPRoute shop is being changed"},
		"the Gateway has not looked": {change: func(in *Input) { throughGateway(in); in.Observed.Route.Status.Parents = nil },
			want: "False Settling: Gateway system/web has said nothing of HTTPRoute shop yet"},
		"the Gateway knows an older one": {change: func(in *Input) { throughGateway(in); in.Observed.Route.Generation = 5 },
			want: "False Settling: Gateway system/web has not taken up the newest HTTPRoute shop yet"},
		"not accepted": {change: func(in *Input) {
			throughGateway(in)
			c := &parent(in).Conditions[0]
			c.Status, c.Reason, c.Message = metav1.ConditionFalse, "NotAllowedByListeners", "namespace prod is not allowed"
		}, lasting: true,
			want: "False RouteNotAccepted: Gateway system/web does not accept HTTPRoute shop (NotAllowedByListeners): namespace prod is not allowed"},
		"a Service that the Gateway has not seen yet": {change: func(in *Input) {
			throughGateway(in)
			c := &parent(in).Conditions[1]
			c.Status, c.Reason, c.Message = metav1.ConditionFalse, "BackendNotFound", "no Service shop-b"
		}, want: "False RouteNotAccepted: Gateway system/web does not accept HTTPRoute shop (BackendNotFound): no Service shop-b"},
		"the candidate's own Service has no endpoint": {change: func(in *Input) {
			throughGateway(in)
			for _, slice := range in.Observed.Slices {
				if slice.Name == "shop-b" {
					slice.Endpoints = nil
				}
			}
		}, want: "False Settling: no pod of shop-b is an endpoint of its Service yet"},
	} {
		t.Run(name, func(t *testing.T) {
			in := twoRevisions(t)
			if c.change != nil {
				c.change(&in)
			}
			got := Build(in)
			if words := text(meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionTrafficReady)); words != c.want {
				t.Errorf("TrafficReady is %q\nwant            %q", words, c.want)
			}
			if stalled := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionStalled) != nil; stalled != c.lasting {
				t.Errorf("stalled: %t, want %t", stalled, c.lasting)
			}
			// What the rollout is told says the same of what is stored.
			in.App.Status.Rollout.Traffic = in.Rollout.Status.Traffic
			seen := TrafficSeen(in)
			if seen.InForce != (c.want[:4] == "True") || (seen.Obstacle.Reason == "") != seen.InForce || seen.Obstacle.Lasting != c.lasting {
				t.Errorf("the rollout is told %+v", seen)
			}
		})
	}
}

// The condition is not true before proxies follow, which the rollout waits for by itself.
func TestTrafficWaitsForProxies(t *testing.T) {
	in := twoRevisions(t)
	in.Rollout.Status.Traffic.Backends[0].Highest = 100
	c := meta.FindStatusCondition(Build(in).Conditions, v1alpha1.ConditionTrafficReady)
	if want := "False Settling: a change of traffic is in force; proxies take it up"; text(c) != want {
		t.Errorf("TrafficReady is %q, want %q", text(c), want)
	}
	in.App.Status.Rollout.Traffic = in.Rollout.Status.Traffic
	if seen := TrafficSeen(in); !seen.InForce {
		t.Errorf("the rollout is told %+v", seen)
	}
}

// A gateway is led to a revision only when all its serving pods are endpoints of its Service: until then it
// would answer with 503, as a bump measured on real nodes did for two seconds.
func TestUnreachable(t *testing.T) {
	in := twoRevisions(t)
	throughGateway(&in)
	for _, name := range []string{"shop-a", "shop-b"} {
		in.Observed.Deployments = append(in.Observed.Deployments, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	if got := TrafficSeen(in).Unreachable; len(got) != 0 {
		t.Errorf("all pods are endpoints, but %v", got)
	}
	for _, slice := range in.Observed.Slices {
		if slice.Name == "shop-a" {
			slice.Endpoints = slice.Endpoints[:1]
		}
	}
	if got, want := TrafficSeen(in).Unreachable["shop-a"], "1 of 3 pods of shop-a are endpoints of its Service"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTrafficShare(t *testing.T) {
	in := twoRevisions(t)
	if got := TrafficSeen(in).Share; !maps.Equal(got, map[string]int32{"shop-a": 75, "shop-b": 25}) {
		t.Errorf("shares %v", got)
	}
	in.Observed.Pods[1].DeletionTimestamp = &testkit.Born // its endpoint is no longer ready
	lead(in.App, in.Observed, "shop", naming.RevisionSelector(in.App, ""))
	if got := TrafficSeen(in).Share; !maps.Equal(got, map[string]int32{"shop-a": 67, "shop-b": 33}) {
		t.Errorf("without a pod that ends, shares %v", got)
	}
}

// At rest the condition is the same whatever pods come and go, or each of them would be a write of status.
func TestTrafficAtRest(t *testing.T) {
	in := stable(t, 3)
	in.Rollout.Status.Stable = &v1alpha1.RevisionStatus{Revision: "shop-a", Number: 1}
	words := func() string {
		lead(in.App, in.Observed, "shop", naming.RevisionSelector(in.App, ""))
		return text(meta.FindStatusCondition(Build(in).Conditions, v1alpha1.ConditionTrafficReady))
	}
	for _, pod := range in.Observed.Pods {
		pod.Labels[naming.LabelRevision] = "shop-a"
	}
	const want = "True Ready: all traffic goes to shop-a (revision 1)"
	for n := 3; n >= 0; n-- {
		if got := words(); got != want {
			t.Errorf("%d pods serve: %q", n, got)
		}
		if n > 0 {
			stopServing(in.Observed.Pods[n-1])
		}
	}
	in.Observed.Pods = []*corev1.Pod{}
	if got := words(); got != want {
		t.Errorf("without a pod: %q", got)
	}
}
