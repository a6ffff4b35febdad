package testkit

import (
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// Born is when everything in the tests begins.
var Born = metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))

// Whole is the spec of an app with all its parts, as an API server with the CRD's defaults stores it.
const Whole = `
app: {image: "registry.example/shop:1.0.0", port: 8080, replicas: 2}
database: {postgres: {version: 17, instances: 2, durability: Preferred, storage: {size: 1Gi, onDelete: Retain}}}
sessions: {store: Redis, redis: {memory: 256Mi, persistence: Enabled, storage: {size: 1Gi, onDelete: Retain}}}
cache: {redis: {memory: 128Mi}}
networkPolicy: Enabled
`

// Small is the spec of an app alone.
const Small = `app: {image: "registry.example/shop:1.0.0", port: 8080, replicas: 3}`

// App is the ScalableApp prod/shop with the given spec. Defaults are not filled in: only an API server
// does that.
func App(t testing.TB, spec string) *v1alpha1.ScalableApp {
	t.Helper()
	app := &v1alpha1.ScalableApp{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ScalableApp"},
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "prod", UID: "uid-of-shop", Generation: 1, CreationTimestamp: Born},
		Status:     v1alpha1.ScalableAppStatus{ObservedGeneration: -1},
	}
	if err := yaml.UnmarshalStrict([]byte(spec), &app.Spec); err != nil {
		t.Fatalf("%v in:\n%s", err, spec)
	}
	return app
}

// Pod is a pod of a component of an app, scheduled and with its container starting.
func Pod(app *v1alpha1.ScalableApp, component, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: app.Namespace, Labels: naming.Labels(app, component)},
		Status: corev1.PodStatus{
			Phase: corev1.PodPending,
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
				{Type: corev1.PodReady, Status: corev1.ConditionFalse},
			},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: component, Image: "image-of-" + component,
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}},
			}},
		},
	}
}

// Serve makes a pod ready.
func Serve(pod *corev1.Pod) *corev1.Pod {
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
		{Type: corev1.PodReady, Status: corev1.ConditionTrue},
	}
	for i := range pod.Status.ContainerStatuses {
		c := &pod.Status.ContainerStatuses[i]
		c.Ready, c.Started, c.State = true, new(true), corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	}
	return pod
}

// MemberStatus is what Patroni says of a healthy member of that role in its pod's annotation "status".
func MemberStatus(role string) string {
	if role == "primary" {
		return `{"state":"running","role":"primary","timeline":1,"xlog_location":67108864}`
	}
	return `{"state":"running","role":"replica","replication_state":"streaming","timeline":1,"xlog_location":67108864}`
}

// Slice is the EndpointSlice of a Service with the given labels, and without an endpoint.
func Slice(service string, labels map[string]string) *discoveryv1.EndpointSlice {
	labels = maps.Clone(labels) // a slice carries those of its Service
	if labels == nil {
		labels = map[string]string{}
	}
	labels[discoveryv1.LabelServiceName] = service
	return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: service, Labels: labels}}
}

// AddEndpoint adds a pod to a slice.
func AddEndpoint(slice *discoveryv1.EndpointSlice, pod *corev1.Pod) {
	ready := false
	for _, c := range pod.Status.Conditions {
		ready = ready || (c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue)
	}
	ready = ready && pod.DeletionTimestamp == nil
	slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
		Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: pod.Name, Namespace: pod.Namespace},
	})
}

// Accept is what a Gateway says of a route that it serves.
func Accept(route *gatewayv1.HTTPRoute) {
	route.Status.Parents = nil
	for _, ref := range route.Spec.ParentRefs {
		parent := gatewayv1.RouteParentStatus{ParentRef: ref}
		for _, kind := range []gatewayv1.RouteConditionType{gatewayv1.RouteConditionAccepted, gatewayv1.RouteConditionResolvedRefs} {
			parent.Conditions = append(parent.Conditions, metav1.Condition{Type: string(kind), Status: metav1.ConditionTrue,
				ObservedGeneration: route.Generation, Reason: string(kind), LastTransitionTime: Born})
		}
		route.Status.Parents = append(route.Status.Parents, parent)
	}
}
