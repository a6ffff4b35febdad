package observe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/backup"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// ConfigReader reads the user's ConfigMaps. A watch of metadata alone says which version is there, so
// that the content, which can be large and is nobody else's business, is read once per version.
type ConfigReader struct {
	// Metadata reads PartialObjectMetadata from a cache.
	Metadata client.Reader
	// Live reads the content.
	Live client.Reader

	mu   sync.Mutex
	read map[types.NamespacedName]content
}

type content struct {
	version string
	config  *state.Config
}

// Read is the content of a ConfigMap, or nil if there is none.
func (r *ConfigReader) Read(ctx context.Context, key types.NamespacedName) (*state.Config, error) {
	meta := &metav1.PartialObjectMetadata{}
	meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	if err := r.Metadata.Get(ctx, key, meta); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(key)
			return nil, nil
		}
		return nil, fmt.Errorf("ConfigMap %s: %w", key.Name, err)
	}
	version := string(meta.UID) + "/" + meta.ResourceVersion
	r.mu.Lock()
	have := r.read[key]
	r.mu.Unlock()
	if have.config != nil && have.version == version {
		return have.config, nil
	}
	object := &corev1.ConfigMap{}
	if err := r.Live.Get(ctx, key, object); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	have = content{string(object.UID) + "/" + object.ResourceVersion, &state.Config{Data: object.Data, BinaryData: object.BinaryData}}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.read == nil {
		r.read = map[types.NamespacedName]content{}
	}
	r.read[key] = have
	return have.config, nil
}

func (r *ConfigReader) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.read, key)
}

func (o *Observer) config(ctx context.Context, app *v1alpha1.ScalableApp, seen *state.Observed) error {
	seen.Config = map[string]*state.Config{}
	for _, name := range revision.ConfigNames(&app.Spec.App) {
		config, err := o.Config.Read(ctx, types.NamespacedName{Namespace: app.Namespace, Name: name})
		if err != nil {
			return err
		}
		if config != nil {
			seen.Config[name] = config
		}
	}
	return nil
}

// external looks at the Secrets of the services that exist already.
func (o *Observer) external(ctx context.Context, app *v1alpha1.ScalableApp, seen *state.Observed) error {
	read := func(name string, into *state.ExternalSecret) error {
		secret := &corev1.Secret{}
		err := o.Live.Get(ctx, types.NamespacedName{Namespace: app.Namespace, Name: name}, secret)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("Secret %s: %w", name, err)
		}
		*into = state.ExternalSecret{Exists: true, Keys: slices.Sorted(maps.Keys(secret.Data))}
		return nil
	}
	var errs []error
	if db := app.Spec.Database; db != nil && db.External != nil {
		errs = append(errs, read(db.External.SecretName, &seen.External))
	}
	if s := app.Spec.Sessions; s != nil && s.External != nil {
		errs = append(errs, read(s.External.SecretName, &seen.ExternalSessions))
	}
	if c := app.Spec.Cache; c != nil && c.External != nil {
		errs = append(errs, read(c.External.SecretName, &seen.ExternalCache))
	}
	return errors.Join(errs...)
}

// storageClasses asks for the classes that the spec names, until the volumes that need them are there.
func (o *Observer) storageClasses(ctx context.Context, app *v1alpha1.ScalableApp, seen *state.Observed) error {
	for set, class := range classesOf(app) {
		if s := seen.StatefulSet(set); s != nil && s.Spec.Replicas != nil && s.Status.ReadyReplicas >= *s.Spec.Replicas {
			seen.StorageClasses[class] = true // it has done its work
			continue
		}
		err := o.Live.Get(ctx, types.NamespacedName{Name: class}, &storagev1.StorageClass{})
		if apierrors.IsForbidden(err) {
			err = nil // an operator with rights in some namespaces only; the volume's own events will tell
		}
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("StorageClass %s: %w", class, err)
		}
		seen.StorageClasses[class] = seen.StorageClasses[class] || err == nil
	}
	return nil
}

// classesOf are the StorageClasses that the spec names, by the StatefulSet that needs them.
func classesOf(app *v1alpha1.ScalableApp) map[string]string {
	classes := map[string]string{}
	if db := app.Spec.Database; db != nil && db.Postgres != nil && db.Postgres.Storage.StorageClassName != nil {
		classes[naming.Database(app)] = *db.Postgres.Storage.StorageClassName
	}
	if spec := backup.Spec(app); spec != nil && spec.Volume != nil && spec.Volume.StorageClassName != nil {
		classes[naming.Backup(app)] = *spec.Volume.StorageClassName
	}
	if s := app.Spec.Sessions; s != nil && s.Redis != nil && s.Redis.Storage.StorageClassName != nil &&
		s.Redis.Persistence != v1alpha1.PersistenceDisabled {
		classes[naming.Sessions(app)] = *s.Redis.Storage.StorageClassName
	}
	return classes
}

// warnings asks for the events of StatefulSets that lack pods and of volumes that wait: neither has a
// condition that says why.
func (o *Observer) warnings(ctx context.Context, _ *v1alpha1.ScalableApp, seen *state.Observed) error {
	for _, set := range seen.StatefulSets {
		if lacksPods(set) {
			if err := o.warning(ctx, seen, "StatefulSet", set); err != nil {
				return err
			}
		}
	}
	for _, volume := range seen.Volumes {
		var err error
		switch {
		case volume.Status.Phase == corev1.ClaimPending:
			err = o.warning(ctx, seen, "PersistentVolumeClaim", volume)
		case grows(volume):
			// What was said of it before it was bound is over.
			err = o.warning(ctx, seen, "PersistentVolumeClaim", volume, "VolumeResizeFailed", "FileSystemResizeFailed")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func lacksPods(set *appsv1.StatefulSet) bool {
	return set.Spec.Replicas != nil && set.Status.Replicas < *set.Spec.Replicas
}

// warning asks for the last warning about an object; if reasons are given, the last one of these.
func (o *Observer) warning(ctx context.Context, seen *state.Observed, kind string, object client.Object, reasons ...string) error {
	list := &corev1.EventList{}
	err := o.Live.List(ctx, list, client.InNamespace(object.GetNamespace()),
		client.MatchingFields{"involvedObject.uid": string(object.GetUID()), "type": corev1.EventTypeWarning}, client.Limit(50))
	if err != nil {
		return fmt.Errorf("events of %s %s: %w", kind, object.GetName(), err)
	}
	var last *corev1.Event
	for i := range list.Items {
		if len(reasons) > 0 && !slices.Contains(reasons, list.Items[i].Reason) {
			continue
		}
		if last == nil || lastSeen(&list.Items[i]).After(lastSeen(last).Time) {
			last = &list.Items[i]
		}
	}
	if last != nil {
		seen.Warnings[kind+"/"+object.GetName()] = last.Message
	}
	return nil
}

func lastSeen(e *corev1.Event) metav1.Time {
	if e.LastTimestamp.IsZero() {
		return metav1.Time(e.EventTime)
	}
	return e.LastTimestamp
}
