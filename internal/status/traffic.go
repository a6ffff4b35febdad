package status

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rollout"
)

// weightTolerance is how far, in percent, the share that numbers of pods give may be from the wanted
// weight without a word.
const weightTolerance = 5

// TrafficSeen says whether traffic is led to where the stored status wants it.
func TrafficSeen(in Input) rollout.TrafficSeen { return trafficSeen(in, in.App.Status.Rollout.Traffic) }

func trafficSeen(in Input, want *v1alpha1.TrafficStatus) rollout.TrafficSeen {
	seen := rollout.TrafficSeen{Share: share(readyEndpoints(in, naming.Service(in.App)))}
	seen.Applied = applied(in, want)
	seen.Unreachable = unreachable(in)
	for _, check := range []func(Input, *v1alpha1.TrafficStatus) rollout.Obstacle{
		gatewayObstacle, // a person has to do something
		routeObstacle,
		serviceObstacle,
		endpointsObstacle,
		backendsObstacle,
	} {
		if seen.Obstacle = check(in, want); seen.Obstacle.Reason != "" {
			return seen
		}
	}
	seen.InForce = true
	return seen
}

// applied says whether the Service and the route are written as they are wanted, whatever has become of it.
func applied(in Input, want *v1alpha1.TrafficStatus) bool {
	route := in.Observed.Route
	routed := in.App.Spec.Traffic.Gateway == nil || route != nil && leadsTo(route, naming.Backends(in.App, want))
	return routed && serviceObstacle(in, want).Reason == ""
}

func settling(format string, args ...any) rollout.Obstacle {
	return rollout.Obstacle{Reason: v1alpha1.ReasonSettling, Message: fmt.Sprintf(format, args...)}
}

// serviceObstacle is why the shared Service does not lead to where it shall.
func serviceObstacle(in Input, want *v1alpha1.TrafficStatus) rollout.Obstacle {
	name := naming.Service(in.App)
	service := in.Observed.Service(name)
	switch {
	case service == nil:
		return settling("Service %s is being created", name)
	case !maps.Equal(service.Spec.Selector, naming.ServiceSelector(in.App, want)):
		return settling("Service %s is being led to %s", name, destination(want))
	}
	return rollout.Obstacle{}
}

func destination(want *v1alpha1.TrafficStatus) string {
	if want == nil || want.Service == "" {
		return "the pods of all revisions"
	}
	return want.Service
}

// endpointsObstacle is why the endpoints of the shared Service are not those that are wanted. A revision
// without a serving pod is not waited for: that is a matter of its pods.
func endpointsObstacle(in Input, want *v1alpha1.TrafficStatus) rollout.Obstacle {
	shared := naming.Service(in.App)
	ready := readyEndpoints(in, shared)
	if want == nil {
		want = &v1alpha1.TrafficStatus{}
	}
	wanted := []string{want.Service}
	if want.Service == "" {
		wanted = nil
		for _, b := range want.Backends {
			if b.Weight > 0 {
				wanted = append(wanted, b.Revision)
			}
		}
	}
	for _, revision := range slices.Sorted(maps.Keys(ready)) {
		if want.Service != "" && revision != want.Service {
			return settling("pods of %s still are endpoints of Service %s", revision, shared)
		}
	}
	for _, revision := range wanted {
		if ready[revision] == 0 && serves(in, revision) {
			return settling("no pod of %s is an endpoint of Service %s yet", revision, shared)
		}
	}
	if len(ready) == 0 && serves(in, want.Service) {
		return settling("no pod is an endpoint of Service %s yet", shared)
	}
	return rollout.Obstacle{}
}

// backendsObstacle is why a Service that the route leads to has no endpoint although it has pods: the
// gateway would answer with errors.
func backendsObstacle(in Input, want *v1alpha1.TrafficStatus) rollout.Obstacle {
	if in.App.Spec.Traffic.Gateway == nil || want == nil || want.Service == "" {
		return rollout.Obstacle{}
	}
	for _, b := range naming.Backends(in.App, want) {
		if b.Service != naming.Service(in.App) && len(readyEndpoints(in, b.Service)) == 0 && serves(in, b.Service) {
			return settling("no pod of %s is an endpoint of its Service yet", b.Service)
		}
	}
	return rollout.Obstacle{}
}

// unreachable are the revisions of which not all serving pods are endpoints of the revision's own Service yet. A
// gateway that is told to lead traffic there before the endpoints are would answer with errors until it looks
// at them again, some seconds later.
func unreachable(in Input) map[string]string {
	if in.App.Spec.Traffic.Gateway == nil {
		return nil
	}
	out := map[string]string{}
	for _, d := range in.Observed.Deployments {
		pods, ready := 0, readyEndpoints(in, d.Name)[d.Name]
		for _, pod := range in.Observed.PodsWith(naming.RevisionSelector(in.App, d.Name)) {
			if Serving(pod) {
				pods++
			}
		}
		if ready < pods {
			out[d.Name] = fmt.Sprintf("%d of %d pods of %s are endpoints of its Service", ready, pods, d.Name)
		}
	}
	return out
}

// serves says whether a revision has a pod that serves; empty is any.
func serves(in Input, revision string) bool {
	return slices.ContainsFunc(in.Observed.PodsWith(naming.RevisionSelector(in.App, revision)), Serving)
}

// readyEndpoints are the numbers of ready endpoints of a Service by the revision of their pods. One whose
// pod is no longer there counts for nothing.
func readyEndpoints(in Input, service string) map[string]int {
	revisions := map[string]string{}
	for _, pod := range in.Observed.PodsWith(naming.Selector(in.App, naming.ComponentApp)) {
		revisions[pod.Name] = pod.Labels[naming.LabelRevision]
	}
	seen := map[string]bool{} // a pod may be in two slices for a moment
	ready := map[string]int{}
	for _, slice := range in.Observed.Slices {
		if slice.Labels[discoveryv1.LabelServiceName] != service {
			continue
		}
		for _, e := range slice.Endpoints {
			if e.TargetRef == nil || e.TargetRef.Kind != "Pod" || (e.Conditions.Ready != nil && !*e.Conditions.Ready) || seen[e.TargetRef.Name] {
				continue
			}
			if revision, known := revisions[e.TargetRef.Name]; known {
				seen[e.TargetRef.Name] = true
				ready[revision]++
			}
		}
	}
	return ready
}

// share is each revision's share in percent.
func share(ready map[string]int) map[string]int32 {
	total := 0
	for _, n := range ready {
		total += n
	}
	share := map[string]int32{}
	for revision, n := range ready {
		share[revision] = int32((n*100 + total/2) / total)
	}
	return share
}

// traffic is the condition TrafficReady. It speaks of what was decided in this pass, so that it never says
// of a change that it is done before it is written.
func traffic(in Input) verdict {
	const kind = v1alpha1.ConditionTrafficReady
	want := in.Rollout.Status.Traffic
	seen := trafficSeen(in, want)
	if !seen.InForce {
		return verdict{kind: kind, reason: seen.Obstacle.Reason, message: seen.Obstacle.Message, lasting: seen.Obstacle.Lasting}
	}
	if lagging(want) {
		return bad(kind, v1alpha1.ReasonSettling, "a change of traffic is in force; proxies take it up")
	}
	shareOf := func(r *v1alpha1.RevisionStatus) int32 { return shareOf(in, want, seen, r) }
	actual := shareOf(in.Rollout.Status.Candidate)
	if wanted, rounded := roundedWeight(in, want, actual); rounded {
		return verdict{kind: kind, ok: true, reason: v1alpha1.ReasonWeightRounded, message: fmt.Sprintf(
			"%d%% of the traffic goes to %s, %d%% are wanted: the number of pods allows no nearer share; add replicas or a gateway (traffic.gateway)",
			actual, described(in.Rollout.Status.Candidate), wanted)}
	}
	return good(kind, trafficWords(in.Rollout.Status, shareOf))
}

// lagging says whether a proxy may still give a revision more of the traffic than it shall get.
func lagging(want *v1alpha1.TrafficStatus) bool {
	return want != nil && slices.ContainsFunc(want.Backends, func(b v1alpha1.BackendStatus) bool { return b.Highest > b.Weight })
}

// roundedWeight is the weight that a step of a Canary without a gateway wants, and whether what the pods
// give, once they all are there, is another.
func roundedWeight(in Input, want *v1alpha1.TrafficStatus, actual int32) (wanted int32, rounded bool) {
	r := in.Rollout.Status
	if in.App.Spec.Traffic.Gateway != nil || in.App.Spec.Rollout.Strategy != v1alpha1.RolloutCanary ||
		r.Candidate == nil || r.Weight == nil || r.StepStartedTime == nil || want == nil || want.Service != "" {
		return 0, false
	}
	return *r.Weight, max(*r.Weight-actual, actual-*r.Weight) > weightTolerance
}

// shareOf is a revision's share of the traffic in percent.
func shareOf(in Input, want *v1alpha1.TrafficStatus, seen rollout.TrafficSeen, r *v1alpha1.RevisionStatus) int32 {
	switch {
	case r == nil:
		return 0
	case want == nil || want.Service == "":
		return seen.Share[r.Revision]
	case in.App.Spec.Traffic.Gateway == nil:
		if r.Revision == want.Service {
			return 100
		}
		return 0
	}
	var own, total int32
	for _, b := range naming.Backends(in.App, want) {
		total += b.Weight
		if b.Service == r.Revision {
			own = b.Weight
		}
	}
	return own * 100 / total
}

// trafficWords says where traffic goes. At rest they are always the same, whatever comes and goes of pods.
func trafficWords(r v1alpha1.RolloutStatus, shareOf func(*v1alpha1.RevisionStatus) int32) string {
	subject := r.Stable
	if subject == nil || shareOf(r.Candidate) > 0 {
		subject = r.Candidate
	}
	if subject == nil {
		return "traffic goes to the pods of all revisions"
	}
	if share := shareOf(subject); share > 0 && share < 100 {
		return fmt.Sprintf("%d%% of the traffic goes to %s", share, described(subject))
	}
	return "all traffic goes to " + described(subject)
}

func described(r *v1alpha1.RevisionStatus) string {
	if r.Number == 0 {
		return r.Revision
	}
	return fmt.Sprintf("%s (revision %d)", r.Revision, r.Number)
}

// gatewayName is a Gateway's NAMESPACE/NAME.
func gatewayName(app *v1alpha1.ScalableApp, ref v1alpha1.GatewayRef) string {
	if ref.Namespace == "" {
		return app.Namespace + "/" + ref.Name
	}
	return ref.Namespace + "/" + ref.Name
}

// gatewayObstacle is what of the way through a gateway is not there at all.
func gatewayObstacle(in Input, _ *v1alpha1.TrafficStatus) rollout.Obstacle {
	gateways := in.Observed.Gateways
	switch {
	case in.App.Spec.Traffic.Gateway == nil:
		return rollout.Obstacle{}
	case !gateways.Known:
		return rollout.Obstacle{Reason: v1alpha1.ReasonGatewayAPIMissing, Lasting: true,
			Message: "traffic.gateway is set, but the cluster does not know HTTPRoutes; install the CRDs of the Gateway API (gateway.networking.k8s.io/v1) and a controller for them, or leave traffic.gateway out"}
	case len(gateways.Missing) > 0:
		return rollout.Obstacle{Reason: v1alpha1.ReasonGatewayMissing, Lasting: true,
			Message: fmt.Sprintf("Gateway %s (traffic.gateway.parentRefs) does not exist; create it, or name another", strings.Join(gateways.Missing, ", "))}
	}
	return rollout.Obstacle{}
}
