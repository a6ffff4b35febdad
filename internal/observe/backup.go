package observe

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/backup"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// backupStore reads the user's Secret of the object store. The agent's reports wake the operator every now
// and then, so other keys are taken up without a watch.
func (o *Observer) backupStore(ctx context.Context, app *v1alpha1.ScalableApp, seen *state.Observed) (err error) {
	seen.BackupStore, err = o.store(ctx, app)
	return err
}

func (o *Observer) store(ctx context.Context, app *v1alpha1.ScalableApp) (state.StoreSecret, error) {
	spec := backup.Spec(app)
	if spec == nil || spec.S3 == nil {
		return state.StoreSecret{}, nil
	}
	secret := &corev1.Secret{}
	err := o.Live.Get(ctx, types.NamespacedName{Namespace: app.Namespace, Name: spec.S3.SecretName}, secret)
	if apierrors.IsNotFound(err) {
		return state.StoreSecret{}, nil
	}
	if err != nil {
		return state.StoreSecret{}, fmt.Errorf("Secret %s: %w", spec.S3.SecretName, err)
	}
	return state.StoreSecret{
		Exists: true, AccessKeyID: string(secret.Data[backup.KeyAccessKeyID]),
		SecretAccessKey: string(secret.Data[backup.KeySecretAccessKey]), CA: string(secret.Data[backup.KeyCA]),
	}, nil
}

// source reads the app that the database is restored from, until the database is there.
func (o *Observer) source(ctx context.Context, app *v1alpha1.ScalableApp, seen *state.Observed) error {
	restore := backup.RestoreSpec(app)
	if !backup.Restoring(app, seen) {
		return nil
	}
	seen.Source = &state.Source{}
	source := &v1alpha1.ScalableApp{}
	err := o.Cached.Get(ctx, types.NamespacedName{Namespace: app.Namespace, Name: restore.FromApp}, source)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ScalableApp %s: %w", restore.FromApp, err)
	}
	seen.Source.App = source
	authority := &corev1.Secret{}
	err = o.Cached.Get(ctx, types.NamespacedName{Namespace: app.Namespace, Name: naming.DatabaseAuthority(source)}, authority)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("Secret %s: %w", naming.DatabaseAuthority(source), err)
	}
	if err == nil && authority.Labels[naming.LabelInstance] == source.Name {
		seen.Source.Authority = authority
	}
	seen.Source.Store, err = o.store(ctx, source)
	return err
}
