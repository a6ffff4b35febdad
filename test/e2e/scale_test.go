package e2e

import (
	"fmt"
	"testing"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// The app scales through the scale subresource, by hand and by an autoscaler, which takes over without
// taking a pod away.
func TestScale(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(w.bare("shop", 2))
	stable := w.waitReady("shop").Status.Rollout.Stable.Revision

	scale := w.scale(3)
	if scale.Status.Selector == "" {
		t.Error("the scale subresource has no selector; autoscalers need it")
	}
	three := w.waitReady("shop")
	if three.Status.App.Ready != "3/3" || three.Status.Rollout.Stable.Revision != stable {
		t.Errorf("scaled to 3, but:\n%s", describeApp(three))
	}

	handover := time.Now()
	w.changeApp("shop", func(app *v1alpha1.ScalableApp) {
		app.Spec.Autoscaling = &v1alpha1.AutoscalingSpec{MinReplicas: 3, MaxReplicas: 5, CPUUtilizationPercent: new(int32(70))}
	})
	scaler := &autoscalingv2.HorizontalPodAutoscaler{}
	w.eventually(time.Minute, "the HorizontalPodAutoscaler is there", func() error { return w.read("shop", scaler) })
	if target := scaler.Spec.ScaleTargetRef; target.Kind != "ScalableApp" || target.Name != "shop" {
		t.Errorf("it scales %+v, want the ScalableApp: a rollout has two Deployments", target)
	}
	began := time.Now()
	w.eventually(4*time.Minute, "AutoscalingReady", func() error {
		return isCondition(w.app("shop"), v1alpha1.ConditionAutoscalingReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	})
	t.Logf("AutoscalingReady after %s", time.Since(began).Round(time.Second))
	w.waitReady("shop")
	neverBelow(w, handover, 3)

	// The autoscaler acts: its new bounds hold at once for more, and no pod goes on the way.
	raised := time.Now()
	w.changeApp("shop", func(app *v1alpha1.ScalableApp) { app.Spec.Autoscaling.MinReplicas = 4 })
	w.eventually(2*time.Minute, "4 pods serve", func() error {
		if got := w.waitReady("shop").Status.App.Ready; got != "4/4" {
			return fmt.Errorf("%s serve", got)
		}
		return nil
	})
	w.eventually(2*time.Minute, "the autoscaler has written the number", func() error {
		if got := *w.app("shop").Spec.App.Replicas; got != 4 {
			return fmt.Errorf("spec.app.replicas is %d", got)
		}
		return nil
	})
	neverBelow(w, raised, 3)
}

// Who switches autoscaling on takes replicas out of the manifest, and the schema's default takes its
// place. The app must not shrink to it before the autoscaler has looked.
func TestHandOverToAutoscaler(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(w.bare("shop", 4))
	w.waitReady("shop")
	began := time.Now()
	w.changeApp("shop", func(app *v1alpha1.ScalableApp) {
		app.Spec.App.Replicas = nil // 2 again
		app.Spec.Autoscaling = &v1alpha1.AutoscalingSpec{MinReplicas: 2, MaxReplicas: 6, CPUUtilizationPercent: new(int32(70))}
	})
	scaler := &autoscalingv2.HorizontalPodAutoscaler{}
	w.eventually(4*time.Minute, "the autoscaler has decided", func() error {
		if err := w.read("shop", scaler); err != nil {
			return err
		}
		if scaler.Status.DesiredReplicas == 0 {
			if got := w.app("shop").Status.App.ReadyReplicas; got < 4 {
				w.must(w.read("shop", scaler))
				if scaler.Status.DesiredReplicas == 0 {
					t.Fatalf("%d pods serve before the autoscaler has decided, there were 4", got)
				}
			}
			return errNotYet
		}
		return nil
	})
	t.Logf("the autoscaler decided for %d after %s", scaler.Status.DesiredReplicas, time.Since(began).Round(time.Second))
	w.eventually(time.Minute, "its decision holds", func() error {
		if got := w.waitReady("shop").Status.App.ReadyReplicas; got != scaler.Status.DesiredReplicas {
			return fmt.Errorf("%d pods serve", got)
		}
		return nil
	})
}

// scale does what `kubectl scale` does.
func (w *world) scale(replicas int32) *autoscalingv1.Scale {
	w.Helper()
	app, scale := w.app("shop"), &autoscalingv1.Scale{}
	w.must(api.SubResource("scale").Get(w.ctx, app, scale))
	scale.Spec.Replicas = replicas
	w.must(api.SubResource("scale").Update(w.ctx, app, client.WithSubResourceBody(scale)))
	return scale
}

func neverBelow(w *world, since time.Time, pods int32) {
	w.Helper()
	for _, app := range w.history.since("shop", since) {
		if app.Status.App.ReadyReplicas < pods {
			w.Errorf("only %s pods served; there were %d before", app.Status.App.Ready, pods)
		}
	}
}
