package testkit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// scheme knows every kind of children.
var scheme = Scheme()

// Scheme knows every kind that the operator knows.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, gatewayv1.Install} {
		utilruntime.Must(add(s))
	}
	return s
}

// World is a cluster in memory: what is applied to it is there at once, and pods follow when it is told
// to turn. It has no API server, so it has neither defaults nor rules.
type World struct {
	t testing.TB
	// App is the app, with the status that was last stored.
	App *v1alpha1.ScalableApp
	// Now is the time.
	Now time.Time
	// Config are the user's ConfigMaps.
	Config map[string]*state.Config
	// Children are the app's children, by KIND/NAME.
	Children map[string]client.Object
	// Gateways is what there is of the Gateway API. A Gateway that is there accepts every route.
	Gateways state.Gateways
	made     int
}

// NewWorld is a cluster with nothing in it but the app.
func NewWorld(t testing.TB, app *v1alpha1.ScalableApp) *World {
	return &World{t: t, App: app, Now: Born.Time, Config: map[string]*state.Config{}, Children: map[string]client.Object{}}
}

// Apply makes an object as an intent wants it. With create it is left alone if it is there.
func (w *World) Apply(intent any, create bool) {
	w.t.Helper()
	raw, err := json.Marshal(intent)
	if err != nil {
		w.t.Fatal(err)
	}
	head := &unstructured.Unstructured{}
	if err := json.Unmarshal(raw, &head.Object); err != nil {
		w.t.Fatal(err)
	}
	key := head.GetKind() + "/" + head.GetName()
	old := w.Children[key]
	if old != nil && create {
		return
	}
	object, err := scheme.New(head.GroupVersionKind())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := json.Unmarshal(raw, object); err != nil {
		w.t.Fatal(err)
	}
	if old != nil { // what others wrote beside the intent
		annotations := maps.Clone(old.GetAnnotations())
		if annotations == nil {
			annotations = map[string]string{}
		}
		maps.Copy(annotations, object.(client.Object).GetAnnotations())
		object.(client.Object).SetAnnotations(annotations)
	}
	w.put(key, object.(client.Object), old)
}

func (w *World) put(key string, object, old client.Object) {
	w.made++
	object.SetResourceVersion(fmt.Sprint(w.made))
	if old == nil {
		object.SetUID(types.UID("uid-of-" + key))
		object.SetCreationTimestamp(metav1.NewTime(w.Now))
		object.SetGeneration(1)
	} else {
		object.SetUID(old.GetUID())
		object.SetCreationTimestamp(old.GetCreationTimestamp())
		object.SetGeneration(old.GetGeneration() + 1)
		copyStatus(object, old)
	}
	w.Children[key] = object
}

// copyStatus keeps the status, which an intent does not have.
func copyStatus(to, from client.Object) {
	t, f := reflect.ValueOf(to).Elem().FieldByName("Status"), reflect.ValueOf(from).Elem().FieldByName("Status")
	if t.IsValid() && f.IsValid() {
		t.Set(f)
	}
}

// Delete takes an object away, and with it the pods that it made.
func (w *World) Delete(kind, name string) {
	delete(w.Children, kind+"/"+name)
	if kind == "Service" {
		delete(w.Children, "EndpointSlice/"+name)
	}
	for key, object := range w.Children {
		if pod, ok := object.(*corev1.Pod); ok && pod.Annotations["made-by"] == kind+"/"+name {
			delete(w.Children, key)
		}
	}
}

// Turn lets the controllers and the kubelets do what there is to do. A pod is ready in the turn after it
// was made, unless the name of its image holds the word "broken".
func (w *World) Turn() {
	w.Now = w.Now.Add(10 * time.Second)
	for _, key := range slices.Sorted(maps.Keys(w.Children)) {
		switch object := w.Children[key].(type) {
		case *appsv1.Deployment:
			n, ready := w.pods(key, object.Name, *object.Spec.Replicas, object.Spec.Template, nil)
			object.Status = appsv1.DeploymentStatus{ObservedGeneration: object.Generation, Replicas: n, ReadyReplicas: ready}
		case *appsv1.StatefulSet:
			n, ready := w.pods(key, object.Name, *object.Spec.Replicas, object.Spec.Template, w.patroni(object))
			object.Status = appsv1.StatefulSetStatus{ObservedGeneration: object.Generation, Replicas: n, ReadyReplicas: ready, UpdatedReplicas: n}
		case *batchv1.Job:
			if object.Status.Active == 0 && len(object.Status.Conditions) == 0 {
				object.Status.Active = 1
			} else if object.Status.Active == 1 {
				object.Status = batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}}
			}
		case *autoscalingv2.HorizontalPodAutoscaler:
			object.Status.Conditions = []autoscalingv2.HorizontalPodAutoscalerCondition{
				{Type: autoscalingv2.ScalingActive, Status: corev1.ConditionTrue}}
		case *gatewayv1.HTTPRoute:
			Accept(object)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(w.Children)) {
		if service, ok := w.Children[key].(*corev1.Service); ok {
			w.endpoints(service)
		}
	}
}

// endpoints makes the EndpointSlice of a Service.
func (w *World) endpoints(service *corev1.Service) {
	slice := Slice(service.Name, service.Labels)
	for _, key := range slices.Sorted(maps.Keys(w.Children)) {
		if pod, ok := w.Children[key].(*corev1.Pod); ok && carries(pod.Labels, service.Spec.Selector) {
			AddEndpoint(slice, pod)
		}
	}
	key := "EndpointSlice/" + slice.Name
	old, _ := w.Children[key].(*discoveryv1.EndpointSlice)
	if old == nil {
		w.put(key, slice, nil)
	} else if !reflect.DeepEqual(old.Endpoints, slice.Endpoints) {
		w.put(key, slice, old)
	}
}

func carries(have, want map[string]string) bool {
	for key, value := range want {
		if have[key] != value {
			return false
		}
	}
	return len(want) > 0
}

// pods makes the pods of a Deployment or a StatefulSet.
func (w *World) pods(key, name string, want int32, template corev1.PodTemplateSpec, label func(i int32) string) (n, ready int32) {
	for i := want; ; i++ { // those that are too many
		pod := fmt.Sprintf("Pod/%s-%d", name, i)
		if w.Children[pod] == nil {
			break
		}
		delete(w.Children, pod)
	}
	for i := range want {
		pod := fmt.Sprintf("%s-%d", name, i)
		if old, found := w.Children["Pod/"+pod].(*corev1.Pod); found {
			if !strings.Contains(old.Spec.Containers[0].Image, "broken") {
				Serve(old)
				ready++
			}
			continue
		}
		made := Pod(w.App, template.Labels[naming.LabelComponent], pod)
		made.Labels, made.Spec = maps.Clone(template.Labels), template.Spec
		made.Annotations = map[string]string{"made-by": key}
		maps.Copy(made.Annotations, template.Annotations)
		if label != nil {
			made.Labels[naming.LabelRole] = label(i)
			made.Annotations["status"] = MemberStatus(label(i))
		}
		w.put("Pod/"+pod, made, nil)
	}
	return want, ready
}

// patroni gives the members of the database their roles and writes Patroni's records.
func (w *World) patroni(set *appsv1.StatefulSet) func(int32) string {
	if set.Labels[naming.LabelComponent] != naming.ComponentDatabase {
		return nil
	}
	for suffix, annotations := range map[string]map[string]string{
		"-config": {"initialize": "7"}, "-leader": {"leader": set.Name + "-0"}, "-sync": {"sync_standby": set.Name + "-1"},
	} {
		if key := "ConfigMap/" + set.Name + suffix; w.Children[key] == nil {
			w.put(key, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: set.Name + suffix, Namespace: w.App.Namespace,
				Labels: naming.Labels(w.App, naming.ComponentDatabase), Annotations: annotations}}, nil)
		}
	}
	return func(i int32) string { return map[bool]string{true: "primary", false: "replica"}[i == 0] }
}

// Seen is the snapshot of what there is.
func (w *World) Seen() *state.Observed {
	seen := &state.Observed{Now: w.Now, Entropy: bytes.Repeat([]byte("0123456789abcdef"), 16), Config: w.Config,
		StorageClasses: map[string]bool{}, Warnings: map[string]string{}, Gateways: w.Gateways}
	for _, key := range slices.Sorted(maps.Keys(w.Children)) {
		object := w.Children[key].DeepCopyObject().(client.Object)
		kind, _, _ := strings.Cut(key, "/")
		switch o := object.(type) {
		case *appsv1.Deployment:
			seen.Deployments = append(seen.Deployments, o)
		case *appsv1.StatefulSet:
			seen.StatefulSets = append(seen.StatefulSets, o)
		case *appsv1.ControllerRevision:
			seen.Revisions = append(seen.Revisions, o)
		case *batchv1.Job:
			seen.Jobs = append(seen.Jobs, o)
		case *corev1.Secret:
			seen.Secrets = append(seen.Secrets, o)
		case *corev1.ConfigMap:
			seen.ConfigMaps = append(seen.ConfigMaps, o)
		case *autoscalingv2.HorizontalPodAutoscaler:
			seen.Autoscaler = o
		case *corev1.Service:
			seen.Services = append(seen.Services, o)
		case *gatewayv1.HTTPRoute:
			seen.Route = o
		case *discoveryv1.EndpointSlice:
			seen.Slices = append(seen.Slices, o)
			continue
		case *corev1.Pod:
			seen.Pods = append(seen.Pods, o)
			continue
		}
		seen.Children = append(seen.Children, state.Child{
			APIVersion: object.GetObjectKind().GroupVersionKind().GroupVersion().String(), Kind: kind, Name: object.GetName(),
			UID: object.GetUID(), ResourceVersion: object.GetResourceVersion(), Owned: metav1.IsControlledBy(object, w.App),
			Component: object.GetLabels()[naming.LabelComponent], Revision: object.GetLabels()[naming.LabelRevision],
		})
	}
	return seen
}
