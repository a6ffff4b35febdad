package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// metadataCache watches the metadata of the users' ConfigMaps and of Gateways. It is a cache of its own because the
// manager's holds, of ConfigMaps, only the operator's children.
func metadataCache(mgr ctrl.Manager, namespaces map[string]cache.Config) (cache.Cache, error) {
	options := cache.Options{
		DefaultNamespaces: namespaces,
		HTTPClient:        mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		DefaultTransform: func(o any) (any, error) {
			if meta, ok := o.(*metav1.PartialObjectMetadata); ok {
				// Name and version are all that is asked for; labels and annotations may be large.
				meta.Labels, meta.Annotations, meta.ManagedFields = nil, nil, nil
			}
			return o, nil
		},
	}
	metadata, err := cache.New(mgr.GetConfig(), options)
	if err != nil {
		return nil, err
	}
	return metadata, mgr.Add(metadata)
}

// configSource wakes the apps that refer to a ConfigMap when it changes.
func configSource(metadata cache.Cache, apps client.Reader) source.Source {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	appsOf := func(ctx context.Context, config *metav1.PartialObjectMetadata) []reconcile.Request {
		return appsBy(ctx, apps, client.InNamespace(config.Namespace), client.MatchingFields{configIndex: config.Name})
	}
	return source.Kind(metadata, object, handler.TypedEnqueueRequestsFromMapFunc(appsOf),
		predicate.TypedResourceVersionChangedPredicate[*metav1.PartialObjectMetadata]{})
}

// appsBy are the apps that an index finds, as requests.
func appsBy(ctx context.Context, apps client.Reader, by ...client.ListOption) []reconcile.Request {
	list := &v1alpha1.ScalableAppList{}
	if err := apps.List(ctx, list, by...); err != nil {
		return nil // the cache is not there yet; every app gets its first pass anyway
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}
