package v1alpha1

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// AutoscalingSpec lets the number of app replicas follow the load.
// +kubebuilder:validation:XValidation:rule="self.minReplicas <= self.maxReplicas",message="autoscaling.minReplicas (2 when left out) must not be greater than autoscaling.maxReplicas; raise maxReplicas or lower minReplicas"
// +kubebuilder:validation:XValidation:rule="has(self.cpuUtilizationPercent) || has(self.memoryUtilizationPercent)",message="autoscaling needs a signal: set autoscaling.cpuUtilizationPercent (70 is a good start), autoscaling.memoryUtilizationPercent, or both"
type AutoscalingSpec struct {
	// minReplicas is the least number of replicas.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MinReplicas int32 `json:"minReplicas,omitempty"`

	// maxReplicas is the greatest number of replicas.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxReplicas int32 `json:"maxReplicas,omitempty"`

	// cpuUtilizationPercent is the CPU use to aim at, in percent of the request.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	CPUUtilizationPercent *int32 `json:"cpuUtilizationPercent,omitempty"`

	// memoryUtilizationPercent is the memory use to aim at, in percent of the request.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MemoryUtilizationPercent *int32 `json:"memoryUtilizationPercent,omitempty"`

	// behavior says how fast to scale, as in autoscaling/v2.
	// +optional
	Behavior *autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior,omitempty"`
}

// RolloutStrategy is a way in which a new revision takes over.
// +kubebuilder:validation:Enum=Rolling
type RolloutStrategy string

// RolloutRolling replaces pods a few at a time.
const RolloutRolling RolloutStrategy = "Rolling"

// RolloutSpec says how a new revision of the app takes over.
type RolloutSpec struct {
	// strategy is the way in which a new revision takes over.
	// +optional
	// +kubebuilder:default=Rolling
	Strategy RolloutStrategy `json:"strategy,omitempty"`

	// rolling are the settings of the strategy Rolling.
	// +optional
	// +kubebuilder:default={}
	Rolling RollingSpec `json:"rolling,omitzero"`

	// progressDeadlineSeconds is how long a new revision may go without progress (one more available
	// pod) before it counts as stalled. The old revision keeps serving.
	// +optional
	// +kubebuilder:default=600
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=86400
	ProgressDeadlineSeconds *int32 `json:"progressDeadlineSeconds,omitempty"`

	// revisionHistoryLimit is how many revisions that no longer run are kept for going back.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	RevisionHistoryLimit *int32 `json:"revisionHistoryLimit,omitempty"`
}

// RollingSpec are the settings of the strategy Rolling, with the meaning they have in a Deployment.
// +kubebuilder:validation:XValidation:rule="!has(self.maxSurge) || !has(self.maxUnavailable) || !(string(self.maxSurge) in ['0', '0%'] && string(self.maxUnavailable) in ['0', '0%'])",message="rollout.rolling.maxSurge and rollout.rolling.maxUnavailable must not both be 0: nothing could ever be replaced; set maxSurge to 1 or more"
type RollingSpec struct {
	// maxSurge is how many pods may run above the wanted number, as a number or a percentage (rounded
	// up).
	// +optional
	// +kubebuilder:default="25%"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^(0|[1-9][0-9]{0,3})%$')",message="rollout.rolling.maxSurge must be a number of pods or a percentage such as 25%"
	MaxSurge *intstr.IntOrString `json:"maxSurge,omitempty"`

	// maxUnavailable is how many pods may be missing from the wanted number, as a number or a
	// percentage (rounded down).
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^(100|[1-9]?[0-9])%$')",message="rollout.rolling.maxUnavailable must be a number of pods or a percentage from 0% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
}
