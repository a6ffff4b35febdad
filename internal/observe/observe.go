// Package observe is the operator's only reader: it puts what an app's pass needs to know into one
// snapshot. Children come from caches that watch; only what no watch can cover is asked for, and only
// when the app needs it.
package observe

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// Observer reads.
type Observer struct {
	// Cached reads the operator's children from caches.
	Cached client.Reader
	// Live reads from the API server what the caches do not hold: objects of the user's, and events.
	Live client.Reader
	// Scheme knows the kinds.
	Scheme *runtime.Scheme
	// Now is the clock.
	Now func() time.Time
	// Config remembers the content of the user's ConfigMaps.
	Config *ConfigReader
	// Gateways says what there is of the Gateway API. Without it there is nothing.
	Gateways GatewayReader
	// Renewals says when Patroni's leader records were last renewed. Without it nobody knows.
	Renewals RenewalReader
	// Gates asks the gates of rollouts. Without it they say nothing.
	Gates *Gates
	// Redis asks the session store and the cache how they are. Without it they are not asked.
	Redis Redis
	// Parameters has PostgreSQL judge changed settings. Without it they are not judged.
	Parameters ParameterJudge

	judgements judgements
}

// RenewalReader says when the newest renewal of a leader record was first seen; zero if none was.
type RenewalReader interface {
	Renewed(record types.NamespacedName) time.Time
}

// Observe makes the snapshot of one app.
func (o *Observer) Observe(ctx context.Context, app *v1alpha1.ScalableApp) (*state.Observed, error) {
	seen := &state.Observed{Now: o.Now(), Entropy: make([]byte, 256), StorageClasses: map[string]bool{}, Warnings: map[string]string{},
		FixedVolumes: map[string]string{}}
	if _, err := rand.Read(seen.Entropy); err != nil {
		return nil, fmt.Errorf("random bytes: %w", err)
	}
	for _, read := range []func(context.Context, *v1alpha1.ScalableApp, *state.Observed) error{
		o.gateways, o.children, o.config, o.external, o.backupStore, o.source, o.parameters, o.storageClasses, o.fixedVolumes,
		o.warnings, o.redis, o.gates,
	} {
		if err := read(ctx, app, seen); err != nil {
			return nil, err
		}
	}
	if o.Renewals != nil {
		seen.LeaderRenewed = o.Renewals.Renewed(types.NamespacedName{Namespace: app.Namespace, Name: naming.DatabaseLeader(app)})
	}
	return seen, nil
}

// Kind is a kind of children with a constructor of its list.
type Kind struct {
	Object  client.Object
	NewList func() client.ObjectList
}

// Kinds are all the kinds of children that the operator makes, and that follow from what it makes, but for
// Route. The caches are set up from it, so a kind that is missing here cannot be read by accident.
var Kinds = []Kind{
	{&appsv1.Deployment{}, func() client.ObjectList { return &appsv1.DeploymentList{} }},
	{&appsv1.StatefulSet{}, func() client.ObjectList { return &appsv1.StatefulSetList{} }},
	{&appsv1.ControllerRevision{}, func() client.ObjectList { return &appsv1.ControllerRevisionList{} }},
	{&batchv1.Job{}, func() client.ObjectList { return &batchv1.JobList{} }},
	{&autoscalingv2.HorizontalPodAutoscaler{}, func() client.ObjectList { return &autoscalingv2.HorizontalPodAutoscalerList{} }},
	{&policyv1.PodDisruptionBudget{}, func() client.ObjectList { return &policyv1.PodDisruptionBudgetList{} }},
	{&networkingv1.NetworkPolicy{}, func() client.ObjectList { return &networkingv1.NetworkPolicyList{} }},
	{&rbacv1.Role{}, func() client.ObjectList { return &rbacv1.RoleList{} }},
	{&rbacv1.RoleBinding{}, func() client.ObjectList { return &rbacv1.RoleBindingList{} }},
	{&corev1.ServiceAccount{}, func() client.ObjectList { return &corev1.ServiceAccountList{} }},
	{&corev1.Service{}, func() client.ObjectList { return &corev1.ServiceList{} }},
	{&discoveryv1.EndpointSlice{}, func() client.ObjectList { return &discoveryv1.EndpointSliceList{} }},
	{&corev1.Secret{}, func() client.ObjectList { return &corev1.SecretList{} }},
	{&corev1.ConfigMap{}, func() client.ObjectList { return &corev1.ConfigMapList{} }},
	{&corev1.Pod{}, func() client.ObjectList { return &corev1.PodList{} }},
	{&corev1.PersistentVolumeClaim{}, func() client.ObjectList { return &corev1.PersistentVolumeClaimList{} }},
}

// Route is the one kind of children that a cluster need not know.
var Route = Kind{&gatewayv1.HTTPRoute{}, func() client.ObjectList { return &gatewayv1.HTTPRouteList{} }}

func (o *Observer) children(ctx context.Context, app *v1alpha1.ScalableApp, seen *state.Observed) error {
	kinds := slices.Clip(Kinds)
	if seen.Gateways.Known {
		kinds = append(kinds, Route)
	}
	for _, kind := range kinds {
		list := kind.NewList()
		err := o.Cached.List(ctx, list, client.InNamespace(app.Namespace), client.MatchingLabels{naming.LabelInstance: app.Name},
			client.UnsafeDisableDeepCopy) // nothing in the snapshot is ever written to
		if err != nil {
			return fmt.Errorf("list %T: %w", list, err)
		}
		gvk, err := apiutil.GVKForObject(kind.Object, o.Scheme)
		if err != nil {
			return err
		}
		for _, object := range sorted(list, seen) {
			seen.Children = append(seen.Children, state.Child{
				APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Name: object.GetName(),
				UID: object.GetUID(), ResourceVersion: object.GetResourceVersion(),
				Owned:     metav1.IsControlledBy(object, app),
				Component: object.GetLabels()[naming.LabelComponent], Revision: object.GetLabels()[naming.LabelRevision],
			})
		}
	}
	return nil
}

// sorted puts a list into its place in the snapshot, sorted by name, and returns it.
func sorted(list client.ObjectList, seen *state.Observed) []client.Object {
	switch l := list.(type) {
	case *appsv1.DeploymentList:
		all := pointers(l.Items)
		pooler := func(d *appsv1.Deployment) bool { return d.Labels[naming.LabelComponent] == naming.ComponentPooler }
		seen.Poolers = only(all, pooler)
		seen.Deployments = only(all, func(d *appsv1.Deployment) bool { return !pooler(d) })
		return objects(all)
	case *appsv1.StatefulSetList:
		seen.StatefulSets = pointers(l.Items)
		return objects(seen.StatefulSets)
	case *appsv1.ControllerRevisionList:
		// StatefulSets keep ControllerRevisions of their own, with the labels of their pods.
		seen.Revisions = only(pointers(l.Items), func(r *appsv1.ControllerRevision) bool {
			return r.Labels[naming.LabelRevision] == r.Name
		})
		return objects(seen.Revisions)
	case *batchv1.JobList:
		seen.Jobs = pointers(l.Items)
		return objects(seen.Jobs)
	case *autoscalingv2.HorizontalPodAutoscalerList:
		scalers := pointers(l.Items)
		if len(scalers) > 0 {
			seen.Autoscaler = scalers[0]
		}
		return objects(scalers)
	case *corev1.ServiceList:
		seen.Services = pointers(l.Items)
		return objects(seen.Services)
	case *discoveryv1.EndpointSliceList:
		seen.Slices = only(pointers(l.Items), func(s *discoveryv1.EndpointSlice) bool {
			return s.Labels[naming.LabelComponent] == naming.ComponentApp
		})
		return nil // they belong to Services
	case *gatewayv1.HTTPRouteList:
		routes := pointers(l.Items)
		for _, route := range routes {
			if route.Name == route.Labels[naming.LabelInstance] { // see naming.Route
				seen.Route = route
			}
		}
		return objects(routes)
	case *corev1.SecretList:
		seen.Secrets = pointers(l.Items)
		return objects(seen.Secrets)
	case *corev1.ConfigMapList:
		seen.ConfigMaps = pointers(l.Items)
		return objects(seen.ConfigMaps)
	case *corev1.PodList:
		seen.Pods = pointers(l.Items)
		return nil // they belong to Deployments and StatefulSets
	case *corev1.PersistentVolumeClaimList:
		seen.Volumes = pointers(l.Items)
		return nil // they belong to StatefulSets, or to nobody
	default:
		return untold(list)
	}
}

// untold are kinds of which it only counts that they are there.
func untold(list client.ObjectList) []client.Object {
	switch l := list.(type) {
	case *policyv1.PodDisruptionBudgetList:
		return objects(pointers(l.Items))
	case *networkingv1.NetworkPolicyList:
		return objects(pointers(l.Items))
	case *rbacv1.RoleList:
		return objects(pointers(l.Items))
	case *rbacv1.RoleBindingList:
		return objects(pointers(l.Items))
	case *corev1.ServiceAccountList:
		return objects(pointers(l.Items))
	default:
		panic(fmt.Sprintf("observe: %T is in Kinds but has no place in the snapshot", list))
	}
}

// only are the objects that are wanted.
func only[T any](list []T, wanted func(T) bool) []T {
	var out []T
	for _, object := range list {
		if wanted(object) {
			out = append(out, object)
		}
	}
	return out
}

func pointers[T any, P interface {
	*T
	GetName() string
}](items []T) []P {
	out := make([]P, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	state.SortByName(out)
	return out
}

func objects[T client.Object](list []T) []client.Object {
	out := make([]client.Object, len(list))
	for i := range list {
		out[i] = list[i]
	}
	return out
}
