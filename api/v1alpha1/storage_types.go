package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
)

// StorageSpec is a volume.
// +kubebuilder:validation:XValidation:rule="quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0",message="storage.size cannot shrink: create a new ScalableApp with the smaller size and move the data, or set it back"
// +kubebuilder:validation:XValidation:rule="has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",message="storage.storageClassName cannot be changed on a live volume: create a new ScalableApp with the other class and move the data, or set it back"
type StorageSpec struct {
	// size is the size of the volume, for example 10Gi. It can grow, where the StorageClass allows it, and
	// never shrink.
	// +required
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="storage.size must be greater than 0, for example 10Gi"
	Size resource.Quantity `json:"size,omitzero"`

	// storageClassName is the StorageClass of the volume. Left out, the cluster's default class.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="storage.storageClassName must be the name of a StorageClass: lower-case letters, digits, '-' and '.'"
	StorageClassName *string `json:"storageClassName,omitempty"`

	// onDelete says what becomes of the volumes when the ScalableApp is deleted. A ScalableApp of the
	// same name takes retained volumes up again.
	// +optional
	// +kubebuilder:default=Retain
	OnDelete StorageOnDelete `json:"onDelete,omitempty"`
}

// StorageOnDelete says what becomes of volumes when their app is deleted.
// +kubebuilder:validation:Enum=Retain;Delete
type StorageOnDelete string

// The values of onDelete.
const (
	StorageRetain StorageOnDelete = "Retain"
	StorageDelete StorageOnDelete = "Delete"
)
