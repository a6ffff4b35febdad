package components

import (
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// VolumesOf are the claims of the members of a StatefulSet of the data tier: data-NAME-N.
func VolumesOf(claims []*corev1.PersistentVolumeClaim, set string) []*corev1.PersistentVolumeClaim {
	var volumes []*corev1.PersistentVolumeClaim
	for _, claim := range claims {
		ordinal, ok := strings.CutPrefix(claim.Name, dataVolume+"-"+set+"-")
		if _, err := strconv.Atoi(ordinal); ok && err == nil {
			volumes = append(volumes, claim)
		}
	}
	return volumes
}

// templateSize is the size of the volume claim template that a StatefulSet has, if it is there and has one.
func templateSize(in Input, set string) (resource.Quantity, bool) {
	if seen := in.Observed.StatefulSet(set); seen != nil {
		for _, claim := range seen.Spec.VolumeClaimTemplates {
			return claim.Spec.Resources.Requests[corev1.ResourceStorage], true
		}
	}
	return resource.Quantity{}, false
}

// retention keeps the volumes of members that are scaled away; what becomes of all of them with the app is the
// user's choice. But a StatefulSet that is about to be made anew with larger volumes must not own those that it
// has: they would go with it, its pods kept or not (the executor sees to it that they do not).
func retention(
	in Input, set string, wanted v1alpha1.StorageSpec,
) *appsv1ac.StatefulSetPersistentVolumeClaimRetentionPolicyApplyConfiguration {
	deleted := appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	if wanted.OnDelete == v1alpha1.StorageDelete && !renewed(in, set, wanted.Size) {
		deleted = appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	}
	return appsv1ac.StatefulSetPersistentVolumeClaimRetentionPolicy().
		WithWhenDeleted(deleted).
		WithWhenScaled(appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
}

// renewed says whether a StatefulSet is about to be made anew: all volumes ask for the wanted size, and its
// template does not.
func renewed(in Input, set string, wanted resource.Quantity) bool {
	size, there := templateSize(in, set)
	smaller := func(claim *corev1.PersistentVolumeClaim) bool {
		requested := claim.Spec.Resources.Requests[corev1.ResourceStorage]
		return requested.Cmp(wanted) < 0
	}
	return there && size.Cmp(wanted) != 0 && !slices.ContainsFunc(VolumesOf(in.Observed.Volumes, set), smaller)
}
