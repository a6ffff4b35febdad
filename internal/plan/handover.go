package plan

import (
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// autoscalerFloor is a number of pods below which spec.app.replicas is not believed, because the
// autoscaler has not written it.
//
// Who hands the number over to an autoscaler takes it out of the manifest, and the schema's default,
// which may be far less than the load needs, takes its place. So until the autoscaler has decided for the
// first time, the app keeps the size that it has. From then on the autoscaler's own decision holds
// where the spec is behind it: its write and its status come by two watches.
func (b *builder) autoscalerFloor() int32 {
	scaler := b.seen.Autoscaler
	if scaler == nil || scaler.Status.DesiredReplicas == 0 {
		return b.largestSet()
	}
	acts := slices.ContainsFunc(scaler.Status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool {
		return c.Type == autoscalingv2.ScalingActive && c.Status == corev1.ConditionTrue
	})
	if !acts {
		return 0 // it had decided, but is blind now: a person may set the number by hand
	}
	return scaler.Status.DesiredReplicas
}

// largestSet is the size of the largest Deployment. It is not their sum: that holds the surge of a
// rollout, and a size that follows from it would grow in each pass.
func (b *builder) largestSet() int32 {
	var largest int32
	for _, d := range b.seen.Deployments {
		if d.Labels[naming.LabelRevision] == d.Name && d.Spec.Replicas != nil {
			largest = max(largest, *d.Spec.Replicas)
		}
	}
	return largest
}
