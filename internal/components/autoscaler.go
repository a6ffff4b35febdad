package components

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	autoscalingv2ac "k8s.io/client-go/applyconfigurations/autoscaling/v2"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// Autoscaler is the HorizontalPodAutoscaler. It scales the ScalableApp, not a Deployment: while a
// revision takes over there are two of those, and the wanted number is for both together.
func Autoscaler(in Input) []Object {
	scaling := in.App.Spec.Autoscaling
	if scaling == nil {
		return nil
	}
	spec := autoscalingv2ac.HorizontalPodAutoscalerSpec().
		WithScaleTargetRef(autoscalingv2ac.CrossVersionObjectReference().
			WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind("ScalableApp").WithName(in.App.Name)).
		WithMinReplicas(scaling.MinReplicas).
		WithMaxReplicas(scaling.MaxReplicas)
	for _, signal := range []struct {
		resource corev1.ResourceName
		percent  *int32
	}{
		{corev1.ResourceCPU, scaling.CPUUtilizationPercent},
		{corev1.ResourceMemory, scaling.MemoryUtilizationPercent},
	} {
		if signal.percent == nil {
			continue
		}
		spec.WithMetrics(autoscalingv2ac.MetricSpec().
			WithType(autoscalingv2.ResourceMetricSourceType).
			WithResource(autoscalingv2ac.ResourceMetricSource().WithName(signal.resource).
				WithTarget(autoscalingv2ac.MetricTarget().
					WithType(autoscalingv2.UtilizationMetricType).WithAverageUtilization(*signal.percent))))
	}
	if scaling.Behavior != nil {
		spec.WithBehavior(convert[autoscalingv2ac.HorizontalPodAutoscalerBehaviorApplyConfiguration](scaling.Behavior))
	}
	return []Object{{Intent: autoscalingv2ac.HorizontalPodAutoscaler(naming.Autoscaler(in.App), in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentApp)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(spec)}}
}
