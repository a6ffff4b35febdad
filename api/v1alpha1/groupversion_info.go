// Package v1alpha1 is the schema of the ScalableApp: what a user writes and reads.
// +kubebuilder:object:generate=true
// +groupName=apps.scalableapp.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of the types in this package.
var GroupVersion = schema.GroupVersion{Group: "apps.scalableapp.dev", Version: "v1alpha1"}

// AddToScheme registers the types of this package with a scheme.
var AddToScheme = (&runtime.SchemeBuilder{addKnownTypes}).AddToScheme

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &ScalableApp{}, &ScalableAppList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
