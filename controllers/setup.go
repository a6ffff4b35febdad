package controllers

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/apply"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/member"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/observe"
	"github.com/scalableapp/scalableapp-operator/internal/patroni"
	"github.com/scalableapp/scalableapp-operator/internal/pgbouncer"
	"github.com/scalableapp/scalableapp-operator/internal/plan"
	"github.com/scalableapp/scalableapp-operator/internal/podmetrics"
	"github.com/scalableapp/scalableapp-operator/internal/probe"
	"github.com/scalableapp/scalableapp-operator/internal/promql"
	"github.com/scalableapp/scalableapp-operator/internal/redisclient"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/telemetry"
)

// The operator's permissions. Children are read through caches that select our label, which needs
// list and watch; the user's own Secrets are read one by one, by name.
//
// +kubebuilder:rbac:groups=apps.scalableapp.dev,resources=scalableapps,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps.scalableapp.dev,resources=scalableapps/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=apps.scalableapp.dev,resources=scalableapps/finalizers,verbs=update
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;controllerrevisions,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=autoscaling,resources=horizontalpodautoscalers,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles;rolebindings,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=services;serviceaccounts;secrets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=httproutes,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=gateways,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups="",resources=events,verbs=list
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=storage.k8s.io,resources=storageclasses,verbs=get
//
// What Patroni's pods may do, the operator must be allowed to give them: configmaps and pods.
//
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups="",resources=pods/resize,verbs=patch

// retryConflict is how soon a pass is made again that met a newer object than its cache held.
const retryConflict = 200 * time.Millisecond

// configIndex finds the ScalableApps that refer to a ConfigMap.
const configIndex = "config"

// Options are what the operator's flags say about the controller.
type Options struct {
	// Namespaces are those to act in; none is all.
	Namespaces []string
	// Concurrency is how many apps are worked on at once.
	Concurrency int
	// Metrics is where the metrics of rollouts are registered; nil is nowhere.
	Metrics prometheus.Registerer
	// MetricsPerApp adds metrics with the names of apps.
	MetricsPerApp bool
}

func (o Options) namespaces() map[string]cache.Config {
	if len(o.Namespaces) == 0 {
		return nil
	}
	byName := map[string]cache.Config{}
	for _, name := range o.Namespaces {
		byName[name] = cache.Config{}
	}
	return byName
}

// CacheOptions are the caches of the operator: of the app's children only those that carry our label. It is
// the default, because a kind that the cluster may not know, HTTPRoute, cannot be named here.
func CacheOptions(o Options) cache.Options {
	ours := labels.Set{naming.LabelManagedBy: naming.ManagedBy}
	ofApp := labels.Set{naming.LabelManagedBy: naming.ManagedBy, naming.LabelComponent: naming.ComponentApp}
	return cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.ScalableApp{}: {Label: labels.Everything()},
			// Slices carry the labels of their Service. Those of the data tier tell nothing.
			&discoveryv1.EndpointSlice{}: {Label: labels.SelectorFromSet(ofApp)},
		},
		DefaultLabelSelector: labels.SelectorFromSet(ours),
		DefaultNamespaces:    o.namespaces(), ReaderFailOnMissingInformer: true,
	}
}

// Setup wires the controller into a manager.
func Setup(ctx context.Context, mgr ctrl.Manager, config plan.Config, o Options) error {
	metadata, err := metadataCache(mgr, o.namespaces())
	if err != nil {
		return err
	}
	recorder, err := newTelemetry(mgr, o)
	if err != nil {
		return err
	}
	live := mgr.GetAPIReader()
	records := newRenewals()
	poolers := &pgbouncer.Client{Database: components.PoolerDatabase, Lookup: components.PoolerLookup, Way: components.PoolerWay}
	gateways := &gateways{mgr: mgr, metadata: metadata, namespaces: o.Namespaces}
	r := &Reconciler{
		Client: mgr.GetClient(),
		Observer: &observe.Observer{
			Cached: mgr.GetCache(), Live: live, Scheme: mgr.GetScheme(), Now: time.Now,
			Config:   &observe.ConfigReader{Metadata: metadata, Live: live},
			Gateways: gateways, Renewals: records,
			Gates: &observe.Gates{Pods: &podmetrics.Reader{}, Prometheus: &promql.Client{}, Prober: &probe.Client{}},
			Redis: &redisclient.Client{}, Parameters: &member.Client{},
		},
		Executor: &apply.Executor{
			Client: mgr.GetClient(), Live: live, Patroni: &patroni.Client{}, Redis: &redisclient.Client{},
			Poolers: poolers,
			Ways:    poolers,
		},
		Recorder: mgr.GetEventRecorder("scalableapp-operator"),
		Config:   config, Telemetry: recorder,
	}
	for index, names := range map[string]client.IndexerFunc{
		configIndex:  func(o client.Object) []string { return revision.ConfigNames(&o.(*v1alpha1.ScalableApp).Spec.App) },
		gatewayIndex: gatewayNames,
	} {
		if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.ScalableApp{}, index, names); err != nil {
			return err
		}
	}
	b := ctrl.NewControllerManagedBy(mgr).
		Named("scalableapp").
		For(&v1alpha1.ScalableApp{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, predicate.LabelChangedPredicate{}))).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: o.Concurrency,
			ReconciliationTimeout:   2 * time.Minute,
			// What fails is tried again soon and then ever more rarely, but never less than every 15 s: a
			// person who has mended the cause should not have to wait, and every event of a child that
			// meets the same failure lengthens the time.
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](500*time.Millisecond, 15*time.Second),
		})
	for _, kind := range observe.Kinds {
		b = b.Watches(kind.Object, handler.EnqueueRequestsFromMapFunc(appOfChild), builder.WithPredicates(tells(records)))
	}
	b = b.WatchesRawSource(source.Channel(records.late, handler.EnqueueRequestsFromMapFunc(appOfChild)))
	b = b.WatchesRawSource(configSource(metadata, mgr.GetClient()))
	if gateways.controller, err = b.Build(r); err != nil {
		return err
	}
	return gateways.start(ctx, false)
}

func newTelemetry(mgr ctrl.Manager, o Options) (*telemetry.Recorder, error) {
	if o.Metrics == nil {
		return nil, nil
	}
	return telemetry.New(o.Metrics, telemetry.Options{Apps: listApps(mgr), PerApp: o.MetricsPerApp, Now: time.Now})
}

// listApps lists all apps out of the cache. An operator that stands by lists none, or all would be there twice.
func listApps(mgr ctrl.Manager) telemetry.Apps {
	return func(ctx context.Context) ([]v1alpha1.ScalableApp, error) {
		select {
		case <-mgr.Elected():
		default:
			return nil, errors.New("another operator acts")
		}
		list := &v1alpha1.ScalableAppList{}
		err := mgr.GetClient().List(ctx, list)
		return list.Items, err
	}
}

// appOfChild finds the app of a child by its label: that of Patroni's records and of pods too, whose
// owner is somebody else.
func appOfChild(_ context.Context, object client.Object) []reconcile.Request {
	name := object.GetLabels()[naming.LabelInstance]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
}

// tells lets through the changes of children that tell something new. Patroni renews its leader
// record every few seconds and writes its position into its pod's annotations: a pass for each would
// never let the operator rest.
func tells(records *renewals) predicate.Predicate {
	return predicate.Funcs{CreateFunc: func(e event.CreateEvent) bool {
		records.saw(e.Object)
		return true
	}, DeleteFunc: func(e event.DeleteEvent) bool {
		records.forget(e.Object)
		return true
	}, UpdateFunc: func(e event.UpdateEvent) bool {
		records.saw(e.ObjectNew)
		return !equality.Semantic.DeepEqual(essence(e.ObjectOld), essence(e.ObjectNew))
	}}
}

// noise are the annotations that Patroni renews, and the time of the change that a slice follows.
var noise = []string{"renewTime", "optime", "ttl", "slots", "retain_slots", "failsafe", corev1.EndpointsLastChangeTriggerTime}

// memberStatus is the annotation in which a member of the database says how it is; its position in the
// write-ahead log moves all the time.
const memberStatus = "status"

var location = regexp.MustCompile(`"(xlog_location|receive_lsn|replay_lsn|lag|receive_lag|replay_lag)":\s*[0-9]+,?`)

// essence is what of a child matters to a decision.
func essence(object client.Object) client.Object {
	out := object.DeepCopyObject().(client.Object)
	out.SetResourceVersion("")
	out.SetManagedFields(nil)
	annotations := maps.Clone(out.GetAnnotations())
	for _, key := range noise {
		delete(annotations, key)
	}
	if said, ok := annotations[memberStatus]; ok {
		annotations[memberStatus] = location.ReplaceAllString(said, "")
	}
	out.SetAnnotations(annotations)
	switch o := out.(type) {
	case *corev1.Pod:
		for i := range o.Status.Conditions {
			o.Status.Conditions[i].LastProbeTime.Reset()
		}
	case *gatewayv1.HTTPRoute:
		for i := range o.Status.Parents { // a Gateway may say the same again
			for j := range o.Status.Parents[i].Conditions {
				o.Status.Parents[i].Conditions[j].LastTransitionTime.Reset()
			}
		}
	}
	return out
}
