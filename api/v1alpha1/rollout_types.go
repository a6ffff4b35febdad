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
// +kubebuilder:validation:Enum=Rolling;BlueGreen;Canary
type RolloutStrategy string

// The strategies.
const (
	// RolloutRolling replaces pods a few at a time; traffic follows the pods.
	RolloutRolling RolloutStrategy = "Rolling"
	// RolloutBlueGreen starts the new revision in full beside the old one, and moves all traffic at once.
	RolloutBlueGreen RolloutStrategy = "BlueGreen"
	// RolloutCanary moves the traffic in steps.
	RolloutCanary RolloutStrategy = "Canary"
)

// RolloutSpec says how a new revision of the app takes over.
// +kubebuilder:validation:XValidation:rule="!has(self.gates) || self.strategy == 'Canary' || self.gates.all(g, !has(g.metric) || !has(g.metric.maxRatioToStable))",message="rollout.gates[].metric.maxRatioToStable compares with the stable revision while both have traffic, which only the strategy Canary gives; use metric.max"
type RolloutSpec struct {
	// strategy is the way in which a new revision takes over.
	// +optional
	// +kubebuilder:default=Rolling
	Strategy RolloutStrategy `json:"strategy,omitempty"`

	// rolling are the settings of the strategy Rolling.
	// +optional
	// +kubebuilder:default={}
	Rolling RollingSpec `json:"rolling,omitzero"`

	// blueGreen are the settings of the strategy BlueGreen.
	// +optional
	BlueGreen BlueGreenSpec `json:"blueGreen,omitzero"`

	// canary are the settings of the strategy Canary.
	// +optional
	Canary CanarySpec `json:"canary,omitzero"`

	// gates are checks that a new revision must pass. One that fails takes the app back to the revision
	// before, by itself.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Gates []GateSpec `json:"gates,omitempty"`

	// progressDeadlineSeconds is how long a new revision may go without progress (one more available
	// pod, one more step) before it counts as failed and the app goes back. Pauses, approvals and
	// gates do not count.
	// +optional
	// +kubebuilder:default=600
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=86400
	ProgressDeadlineSeconds *int32 `json:"progressDeadlineSeconds,omitempty"`

	// rollbackHoldSeconds is how long, with BlueGreen and Canary, the pods of the revision before are
	// kept after a rollout: so long the way back takes no start of pods. At least 30 seconds are kept in
	// any case, for requests that are under way.
	// +optional
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	RollbackHoldSeconds *int32 `json:"rollbackHoldSeconds,omitempty"`

	// revisionHistoryLimit is how many revisions that no longer run are kept for going back.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	RevisionHistoryLimit *int32 `json:"revisionHistoryLimit,omitempty"`
}

// Approval says whether a person has to agree.
// +kubebuilder:validation:Enum=None;Required
type Approval string

// The values of approval.
const (
	ApprovalNone     Approval = "None"
	ApprovalRequired Approval = "Required"
)

// BlueGreenSpec are the settings of the strategy BlueGreen.
type BlueGreenSpec struct {
	// previewReplicas is the number of pods of the new revision while its gates are asked and an approval
	// is waited for. Left out, as many as the app has. Traffic moves only to the full number.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	PreviewReplicas *int32 `json:"previewReplicas,omitempty"`

	// approval says whether a person has to agree before the traffic moves: `kubectl scalableapp
	// promote`.
	// +optional
	// +kubebuilder:default=None
	Approval Approval `json:"approval,omitempty"`
}

// CanarySpec are the settings of the strategy Canary.
type CanarySpec struct {
	// steps are the shares of the traffic that the new revision gets one after the other; all of it
	// follows by itself. Left out: 10 and 50 percent, 60 seconds each.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(i, s, i == 0 || self[i - 1].weight < s.weight)",message="rollout.canary.steps must ascend: each weight must be greater than the one before"
	Steps []CanaryStep `json:"steps,omitempty"`
}

// CanaryStep is a share of the traffic, and how long it is kept.
type CanaryStep struct {
	// weight is the new revision's share of the traffic, in percent. Without a gateway it is reached by
	// numbers of pods, as nearly as they allow (status.rollout.actualWeight).
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight,omitempty"`

	// pauseSeconds is how long the weight is kept at least, once it is in force.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=604800
	PauseSeconds *int32 `json:"pauseSeconds,omitempty"`

	// approval says whether a person has to agree before the next step: `kubectl scalableapp promote`.
	// +optional
	// +kubebuilder:default=None
	Approval Approval `json:"approval,omitempty"`
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
