package status

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// autoscaling is the condition AutoscalingReady.
func autoscaling(in Input) verdict {
	const kind = v1alpha1.ConditionAutoscalingReady
	spec := in.App.Spec.Autoscaling
	if spec == nil {
		return verdict{}
	}
	hpa := in.Observed.Autoscaler
	if hpa == nil || len(hpa.Status.Conditions) == 0 {
		return bad(kind, v1alpha1.ReasonProgressing, "the HorizontalPodAutoscaler has not acted yet")
	}
	for _, c := range hpa.Status.Conditions {
		if c.Status != corev1.ConditionFalse {
			continue
		}
		switch {
		case c.Reason == "ScalingDisabled":
			return good(kind, "the app is scaled to zero, so autoscaling rests")
		case c.Type == autoscalingv2.ScalingActive, c.Type == autoscalingv2.AbleToScale:
			return bad(kind, v1alpha1.ReasonUnavailable, "the HorizontalPodAutoscaler cannot act (%s): %s", c.Reason, c.Message)
		}
	}
	return good(kind, fmt.Sprintf("between %d and %d replicas", spec.MinReplicas, spec.MaxReplicas))
}
