package components

import (
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1ac "sigs.k8s.io/gateway-api/applyconfiguration/apis/v1"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// httpPort is the port of all the app's Services.
const httpPort = 80

// Traffic is what leads traffic to the app's pods: the shared Service, and the HTTPRoute if the spec asks
// for a gateway and the cluster knows such routes. Both follow what is stored of the rollout, and are
// written only as long as they are as they were seen: a view that lags would lead traffic back to where
// it came from.
func Traffic(in Input) []Object {
	service := Object{Intent: sharedService(in), Witnesses: []Witness{Decided(in)}, IfNew: true}
	if s := in.Observed.Service(naming.Service(in.App)); s != nil {
		service.IfVersion, service.IfNew = s.ResourceVersion, false
	}
	objects := []Object{service}
	if in.App.Spec.Traffic.Gateway == nil || !in.Observed.Gateways.Known {
		return objects
	}
	r := Object{Intent: route(in), Witnesses: []Witness{Decided(in)}, IfNew: true}
	if in.Observed.Route != nil {
		r.IfVersion, r.IfNew = in.Observed.Route.ResourceVersion, false
	}
	return append(objects, r)
}

func sharedService(in Input) *corev1ac.ServiceApplyConfiguration {
	return service(in.App, naming.Service(in.App), labels(in.App, naming.ComponentApp),
		naming.ServiceSelector(in.App, in.Rollout.Traffic))
}

// route is the HTTPRoute. The rule for a person who wants to see the candidate comes first.
func route(in Input) *gatewayv1ac.HTTPRouteApplyConfiguration {
	spec := gatewayv1ac.HTTPRouteSpec()
	for _, ref := range in.App.Spec.Traffic.Gateway.ParentRefs {
		parent := gatewayv1ac.ParentReference().WithName(gatewayv1.ObjectName(ref.Name))
		if ref.Namespace != "" {
			parent.WithNamespace(gatewayv1.Namespace(ref.Namespace))
		}
		if ref.SectionName != "" {
			parent.WithSectionName(gatewayv1.SectionName(ref.SectionName))
		}
		spec.WithParentRefs(parent)
	}
	for _, name := range in.App.Spec.Traffic.Gateway.Hostnames {
		spec.WithHostnames(gatewayv1.Hostname(name))
	}
	if preview := previewed(in); preview != "" {
		spec.WithRules(gatewayv1ac.HTTPRouteRule().
			WithMatches(gatewayv1ac.HTTPRouteMatch().WithHeaders(gatewayv1ac.HTTPHeaderMatch().
				WithName(naming.PreviewHeader).WithValue(naming.PreviewValue))).
			WithBackendRefs(backendRef(naming.Backend{Service: preview, Weight: 100})))
	}
	rule := gatewayv1ac.HTTPRouteRule()
	for _, b := range naming.Backends(in.App, in.Rollout.Traffic) {
		rule.WithBackendRefs(backendRef(b))
	}
	route := gatewayv1ac.HTTPRoute(naming.Route(in.App), in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentApp)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(spec.WithRules(rule))
	if in.Nudge != "" && in.Nudge != "0" {
		route.WithAnnotations(map[string]string{naming.AnnotationNudge: in.Nudge})
	}
	return route
}

func backendRef(b naming.Backend) *gatewayv1ac.HTTPBackendRefApplyConfiguration {
	return gatewayv1ac.HTTPBackendRef().WithName(gatewayv1.ObjectName(b.Service)).WithPort(httpPort).WithWeight(b.Weight)
}

// previewed is the candidate, if traffic does not follow the pods of all revisions anyway, there are pods to
// be seen, and another revision beside it.
func previewed(in Input) string {
	r := in.Rollout
	if r.Traffic == nil || r.Traffic.Service == "" || r.Candidate == nil || r.Candidate.Replicas == 0 || r.Stable == nil {
		return ""
	}
	return r.Candidate.Revision
}
