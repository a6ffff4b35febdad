package observe

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// GatewayReader says what there is of the Gateway API, which a cluster need not have.
type GatewayReader interface {
	// Known says whether HTTPRoutes can be read. Only if an app wants one does it take the trouble to look
	// whether the API has come since.
	Known(ctx context.Context, wanted bool) (bool, error)
	// Exists says whether there is a Gateway of that name.
	Exists(ctx context.Context, key types.NamespacedName) (bool, error)
}

var groupVersion = schema.GroupVersion(gatewayv1.GroupVersion)

// gateways comes before the children: it says whether a route can be among them.
func (o *Observer) gateways(ctx context.Context, app *v1alpha1.ScalableApp, seen *state.Observed) error {
	if o.Gateways == nil {
		return nil
	}
	gateway := app.Spec.Traffic.Gateway
	var err error
	if seen.Gateways.Known, err = o.Gateways.Known(ctx, gateway != nil); err != nil {
		return fmt.Errorf("look for the Gateway API: %w", err)
	}
	if !seen.Gateways.Known || gateway == nil {
		return nil
	}
	for _, ref := range gateway.ParentRefs {
		key := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
		if key.Namespace == "" {
			key.Namespace = app.Namespace
		}
		exists, err := o.Gateways.Exists(ctx, key)
		if err != nil {
			return fmt.Errorf("Gateway %s: %w", key, err)
		}
		if !exists {
			seen.Gateways.Missing = append(seen.Gateways.Missing, key.String())
		}
	}
	return nil
}

// LiveGateways asks the API server each time, which suits whoever looks once.
type LiveGateways struct{ Client client.Client }

// Known asks the API server for the kind.
func (g LiveGateways) Known(context.Context, bool) (bool, error) { return Knows(g.Client.RESTMapper()) }

// Exists asks the API server for the Gateway. One that may not be looked at is said to exist: the
// conditions of the HTTPRoute will tell.
func (g LiveGateways) Exists(ctx context.Context, key types.NamespacedName) (bool, error) {
	err := g.Client.Get(ctx, key, GatewayMetadata())
	if apierrors.IsForbidden(err) {
		return true, nil
	}
	return err == nil, client.IgnoreNotFound(err)
}

// Knows asks a mapper whether the cluster knows HTTPRoutes.
func Knows(mapper meta.RESTMapper) (bool, error) {
	kind := groupVersion.WithKind("HTTPRoute")
	_, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		return false, nil
	}
	return err == nil, err
}

// GatewayMetadata is an empty Gateway of which only metadata is read.
func GatewayMetadata() *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(groupVersion.WithKind("Gateway"))
	return object
}
