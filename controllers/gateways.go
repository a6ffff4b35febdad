package controllers

import (
	"context"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/observe"
)

// gatewayIndex finds the ScalableApps that name a Gateway, as NAMESPACE/NAME.
const gatewayIndex = "gateway"

// syncTimeout is how long a pass waits for the first list of HTTPRoutes and Gateways.
const syncTimeout = 20 * time.Second

// gateways watches HTTPRoutes and the metadata of Gateways as soon as the cluster knows them: from the
// start, or from when the first app wants a route and they have come.
type gateways struct {
	mgr        ctrl.Manager
	metadata   cache.Cache
	namespaces []string
	controller controller.Controller

	mu      sync.Mutex
	watched bool
}

// start watches if the cluster knows the kinds. Before the manager runs nothing is waited for.
func (g *gateways) start(ctx context.Context, running bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.watched {
		return nil
	}
	known, err := observe.Knows(g.mgr.GetRESTMapper())
	if !known || err != nil {
		return err
	}
	if running {
		log.FromContext(ctx).Info("The cluster knows HTTPRoutes now")
		// What is read right after this must be there, so both caches are waited for. One that cannot be
		// filled is asked for again by the next pass.
		ctx, cancel := context.WithTimeout(ctx, syncTimeout)
		defer cancel()
		if _, err := g.mgr.GetCache().GetInformer(ctx, observe.Route.Object); err != nil {
			return err
		}
		if _, err := g.metadata.GetInformer(ctx, observe.GatewayMetadata()); err != nil {
			return err
		}
	}
	for _, s := range []source.Source{
		source.Kind(g.mgr.GetCache(), observe.Route.Object, handler.EnqueueRequestsFromMapFunc(appOfChild), tells(nil)),
		g.source(),
	} {
		if err := g.controller.Watch(s); err != nil {
			return err
		}
	}
	g.watched = true
	return nil
}

// source wakes the apps that name a Gateway when it comes or goes. How it is, the route's conditions tell.
func (g *gateways) source() source.Source {
	appsOf := func(ctx context.Context, gateway *metav1.PartialObjectMetadata) []reconcile.Request {
		return appsBy(ctx, g.mgr.GetClient(), client.MatchingFields{gatewayIndex: client.ObjectKeyFromObject(gateway).String()})
	}
	return source.Kind(g.metadata, observe.GatewayMetadata(), handler.TypedEnqueueRequestsFromMapFunc(appsOf),
		predicate.TypedFuncs[*metav1.PartialObjectMetadata]{
			UpdateFunc: func(event.TypedUpdateEvent[*metav1.PartialObjectMetadata]) bool { return false }})
}

// Known says whether HTTPRoutes are watched.
func (g *gateways) Known(ctx context.Context, wanted bool) (bool, error) {
	if wanted {
		if err := g.start(ctx, true); err != nil {
			return false, err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.watched, nil
}

// Exists says whether a Gateway is there. One in a namespace that the operator has no rights in is said to
// be: the route's conditions will tell.
func (g *gateways) Exists(ctx context.Context, key types.NamespacedName) (bool, error) {
	if len(g.namespaces) > 0 && !slices.Contains(g.namespaces, key.Namespace) {
		return true, nil
	}
	err := g.metadata.Get(ctx, key, observe.GatewayMetadata())
	return err == nil, client.IgnoreNotFound(err)
}

// gatewayNames are the Gateways that an app names, for gatewayIndex.
func gatewayNames(object client.Object) []string {
	app := object.(*v1alpha1.ScalableApp)
	if app.Spec.Traffic.Gateway == nil {
		return nil
	}
	var names []string
	for _, ref := range app.Spec.Traffic.Gateway.ParentRefs {
		key := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
		if key.Namespace == "" {
			key.Namespace = app.Namespace
		}
		names = append(names, key.String())
	}
	return names
}
