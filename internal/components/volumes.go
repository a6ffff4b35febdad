package components

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
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
