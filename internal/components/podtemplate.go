package components

import (
	"bytes"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// overlay lays the user's partial pod template over the operator's own, as a strategic merge patch:
// lists of named things, such as containers, are merged by name. The labels that selectors rely on
// stay.
func overlay(
	template *corev1ac.PodTemplateSpecApplyConfiguration, user *apiextensionsv1.JSON, keep map[string]string,
) (*corev1ac.PodTemplateSpecApplyConfiguration, error) {
	if user == nil || len(user.Raw) == 0 {
		return template, nil
	}
	// An unknown field would be dropped without a word. Strict reading names it.
	strict := json.NewDecoder(bytes.NewReader(user.Raw))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&corev1.PodTemplateSpec{}); err != nil {
		return nil, fmt.Errorf("spec.app.podTemplate is no partial pod template: %w", err)
	}
	ours, err := json.Marshal(template)
	if err != nil {
		return nil, err
	}
	merged, err := strategicpatch.StrategicMergePatch(ours, user.Raw, corev1.PodTemplateSpec{})
	if err != nil {
		return nil, fmt.Errorf("spec.app.podTemplate cannot be laid over the operator's template: %w", err)
	}
	out := &corev1ac.PodTemplateSpecApplyConfiguration{}
	if err := json.Unmarshal(merged, out); err != nil {
		return nil, fmt.Errorf("spec.app.podTemplate is no partial pod template: %w", err)
	}
	return out.WithLabels(keep), nil
}

// convert turns a part of the API into its apply configuration: the two have the same JSON, and the
// apply configuration leaves out what is not set.
func convert[T any](from any) *T {
	out := new(T)
	raw, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(raw, out)
	}
	if err != nil {
		// Both types are generated from one schema; this is a fault of the build, not of any input.
		panic(fmt.Sprintf("components: %T cannot be converted: %v", from, err))
	}
	return out
}

// restrictedPod and restrictedContainer are what the Pod Security Standard "restricted" asks for.
func restrictedPod() *corev1ac.PodSecurityContextApplyConfiguration {
	return corev1ac.PodSecurityContext().WithRunAsNonRoot(true).
		WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))
}

func restrictedContainer() *corev1ac.SecurityContextApplyConfiguration {
	return corev1ac.SecurityContext().
		WithAllowPrivilegeEscalation(false).
		WithCapabilities(corev1ac.Capabilities().WithDrop("ALL"))
}

// resourcesOr are the user's resources, or the given ones when the user named none.
func resourcesOr(user corev1.ResourceRequirements, requests, limits corev1.ResourceList) *corev1ac.ResourceRequirementsApplyConfiguration {
	if len(user.Requests) > 0 || len(user.Limits) > 0 {
		requests, limits = user.Requests, user.Limits
	}
	out := corev1ac.ResourceRequirements()
	if len(requests) > 0 {
		out.WithRequests(requests)
	}
	if len(limits) > 0 {
		out.WithLimits(limits)
	}
	return out
}
