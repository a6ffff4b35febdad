package observe

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/backup"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// fixedVolumes asks for the StorageClasses of the volumes that are to grow. That a class does not let them is
// known before anything is touched, and in better words than those of the refusal.
func (o *Observer) fixedVolumes(ctx context.Context, app *v1alpha1.ScalableApp, seen *state.Observed) error {
	for set, storage := range growing(app) {
		for _, claim := range components.VolumesOf(seen.Volumes, set) {
			if requested := claim.Spec.Resources.Requests[corev1.ResourceStorage]; requested.Cmp(storage.Size) >= 0 {
				continue
			}
			why, err := o.fixed(ctx, claim)
			if err != nil {
				return err
			}
			if why != "" {
				seen.FixedVolumes[claim.Name] = why
			}
		}
	}
	return nil
}

// growing are the volumes that may grow, by their StatefulSet.
func growing(app *v1alpha1.ScalableApp) map[string]v1alpha1.StorageSpec {
	out := map[string]v1alpha1.StorageSpec{}
	if db := app.Spec.Database; db != nil && db.Postgres != nil {
		out[naming.Database(app)] = db.Postgres.Storage
	}
	if spec := backup.Spec(app); spec != nil && spec.S3 == nil {
		out[naming.Backup(app)] = components.BackupStorage(app)
	}
	if storage := components.SessionsStorage(app); storage != nil {
		out[naming.Sessions(app)] = *storage
	}
	return out
}

// fixed is why a volume cannot grow, "" if it can or if nobody may know.
func (o *Observer) fixed(ctx context.Context, claim *corev1.PersistentVolumeClaim) (string, error) {
	if claim.Spec.StorageClassName == nil || *claim.Spec.StorageClassName == "" {
		return "it has no StorageClass that could grow it", nil
	}
	name, class := *claim.Spec.StorageClassName, &storagev1.StorageClass{}
	err := o.Live.Get(ctx, types.NamespacedName{Name: name}, class)
	switch {
	case apierrors.IsForbidden(err):
		return "", nil // an operator with rights in some namespaces only: it is tried
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("its StorageClass %s does not exist any more", name), nil
	case err != nil:
		return "", fmt.Errorf("StorageClass %s: %w", name, err)
	case class.AllowVolumeExpansion == nil || !*class.AllowVolumeExpansion:
		return fmt.Sprintf("its StorageClass %s does not let volumes grow (allowVolumeExpansion)", name), nil
	}
	return "", nil
}

// grows says whether a volume asks for more than it has.
func grows(claim *corev1.PersistentVolumeClaim) bool {
	capacity, requested := claim.Status.Capacity[corev1.ResourceStorage], claim.Spec.Resources.Requests[corev1.ResourceStorage]
	return capacity.Cmp(requested) < 0
}
