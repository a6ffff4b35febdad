package plan

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// An app with 4 pods whose owner has taken replicas out of the manifest and switched autoscaling on,
// with 2 to 6 pods: the schema's default is 2.
func TestReplicasAreHandedOverToTheAutoscalerWithoutADip(t *testing.T) {
	scaler := func(decided int32, active corev1.ConditionStatus) *autoscalingv2.HorizontalPodAutoscaler {
		return &autoscalingv2.HorizontalPodAutoscaler{Status: autoscalingv2.HorizontalPodAutoscalerStatus{
			DesiredReplicas: decided,
			Conditions:      []autoscalingv2.HorizontalPodAutoscalerCondition{{Type: autoscalingv2.ScalingActive, Status: active}},
		}}
	}
	for name, c := range map[string]struct {
		scaler    *autoscalingv2.HorizontalPodAutoscaler
		spec, has int32
		want      int32
	}{
		"no autoscaler yet: as it is":            {nil, 2, 4, 4},
		"it has not looked yet":                  {&autoscalingv2.HorizontalPodAutoscaler{}, 2, 4, 4},
		"it cannot see and has never decided":    {scaler(0, corev1.ConditionFalse), 2, 4, 4},
		"it has decided for less":                {scaler(2, corev1.ConditionTrue), 2, 4, 2},
		"its status came before its write":       {scaler(5, corev1.ConditionTrue), 2, 4, 5},
		"it went blind; a person lowers by hand": {scaler(5, corev1.ConditionFalse), 3, 4, 3},
		"a new app":                              {nil, 2, 0, 2},
		"never more than the bounds":             {nil, 2, 9, 6},
		"zero by hand puts it to rest":           {nil, 0, 4, 0},
	} {
		app := &v1alpha1.ScalableApp{}
		app.Spec.App.Replicas = &c.spec
		app.Spec.Autoscaling = &v1alpha1.AutoscalingSpec{MinReplicas: 2, MaxReplicas: 6}
		seen := &state.Observed{Autoscaler: c.scaler}
		if c.has > 0 {
			seen.Deployments = []*appsv1.Deployment{{
				ObjectMeta: metav1.ObjectMeta{Name: "shop-a", Labels: map[string]string{naming.LabelRevision: "shop-a"}},
				Spec:       appsv1.DeploymentSpec{Replicas: &c.has},
			}}
		}
		b := &builder{app: app, seen: seen}
		if got := b.desired(); got != c.want {
			t.Errorf("%s: %d pods, want %d", name, got, c.want)
		}
	}
}
