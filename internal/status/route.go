package status

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rollout"
)

// routeObstacle is why the HTTPRoute does not lead traffic to where it shall.
func routeObstacle(in Input, want *v1alpha1.TrafficStatus) rollout.Obstacle {
	gateway := in.App.Spec.Traffic.Gateway
	if gateway == nil {
		return rollout.Obstacle{}
	}
	route := in.Observed.Route
	switch {
	case route == nil:
		return settling("HTTPRoute %s is being created", naming.Route(in.App))
	case !leadsTo(route, naming.Backends(in.App, want)):
		return settling("HTTPRoute %s is being changed", route.Name)
	}
	var first rollout.Obstacle
	for _, ref := range gateway.ParentRefs {
		obstacle := parentObstacle(in, route, ref)
		if first.Reason == "" || (obstacle.Lasting && !first.Lasting) {
			first = obstacle
		}
	}
	return first
}

// leadsTo says whether a route leads all requests to the given Services, but for those that ask for the
// candidate.
func leadsTo(route *gatewayv1.HTTPRoute, backends []naming.Backend) bool {
	rules := route.Spec.Rules
	if len(rules) == 0 || len(rules) > 2 || (len(rules) == 2 && !forPreview(rules[0])) {
		return false
	}
	refs := rules[len(rules)-1].BackendRefs
	if len(refs) != len(backends) {
		return false
	}
	for i, ref := range refs {
		weight := int32(1)
		if ref.Weight != nil {
			weight = *ref.Weight
		}
		if string(ref.Name) != backends[i].Service || weight != backends[i].Weight {
			return false
		}
	}
	return true
}

func forPreview(rule gatewayv1.HTTPRouteRule) bool {
	if len(rule.Matches) == 0 {
		return false
	}
	for _, match := range rule.Matches {
		if len(match.Headers) == 0 || match.Headers[0].Name != naming.PreviewHeader {
			return false
		}
	}
	return true
}

// parentObstacle is why a Gateway does not serve the route as it is now. More than one controller may
// speak of a Gateway; the kindest word counts, because the others are not the one that serves it.
func parentObstacle(in Input, route *gatewayv1.HTTPRoute, ref v1alpha1.GatewayRef) rollout.Obstacle {
	best := settling("Gateway %s has said nothing of HTTPRoute %s yet", gatewayName(in.App, ref), route.Name)
	for _, parent := range route.Status.Parents {
		if !isParent(in.App, parent.ParentRef, ref) {
			continue
		}
		obstacle := refused(in, route, ref, parent.Conditions)
		if obstacle.Reason == "" {
			return obstacle
		}
		best = obstacle
	}
	return best
}

func isParent(app *v1alpha1.ScalableApp, parent gatewayv1.ParentReference, ref v1alpha1.GatewayRef) bool {
	namespace, section := app.Namespace, ""
	if parent.Namespace != nil {
		namespace = string(*parent.Namespace)
	}
	if parent.SectionName != nil {
		section = string(*parent.SectionName)
	}
	return namespace+"/"+string(parent.Name) == gatewayName(app, ref) && section == ref.SectionName
}

// refused is what a Gateway has against a route.
func refused(in Input, route *gatewayv1.HTTPRoute, ref v1alpha1.GatewayRef, conditions []metav1.Condition) rollout.Obstacle {
	name := gatewayName(in.App, ref)
	for _, kind := range []gatewayv1.RouteConditionType{gatewayv1.RouteConditionAccepted, gatewayv1.RouteConditionResolvedRefs} {
		c := meta.FindStatusCondition(conditions, string(kind))
		switch {
		case c == nil || c.ObservedGeneration < route.Generation || c.Status == metav1.ConditionUnknown:
			return settling("Gateway %s has not taken up the newest HTTPRoute %s yet", name, route.Name)
		case c.Status != metav1.ConditionTrue:
			return rollout.Obstacle{
				Reason: v1alpha1.ReasonRouteNotAccepted,
				// A Service that was made a moment ago may not be seen by the Gateway yet.
				Lasting: c.Reason != string(gatewayv1.RouteReasonBackendNotFound),
				// Some leave the message empty.
				Message: strings.TrimSuffix(fmt.Sprintf("Gateway %s does not accept HTTPRoute %s (%s): %s", name, route.Name, c.Reason, c.Message), ": "),
			}
		}
	}
	return rollout.Obstacle{}
}
