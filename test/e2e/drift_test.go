package e2e

import (
	"errors"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// What somebody changes or deletes by hand is put right, once: no pass after that writes again.
func TestDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(w.light("shop", 2))
	revision := w.waitReady("shop").Status.Rollout.Stable.Revision

	deployment := &appsv1.Deployment{}
	checkRepaired(w, child{revision, deployment, "the image"}, func() { deployment.Spec.Template.Spec.Containers[0].Image = image110 },
		func() bool { return deployment.Spec.Template.Spec.Containers[0].Image == image100 })
	checkRepaired(w, child{revision, deployment, "the number of pods"}, func() { deployment.Spec.Replicas = new(int32(5)) },
		func() bool { return *deployment.Spec.Replicas == 2 })
	service := &corev1.Service{}
	checkRepaired(w, child{"shop", service, "the selector"}, func() { service.Spec.Selector = map[string]string{"app": "none"} },
		func() bool {
			return service.Spec.Selector[naming.LabelInstance] == "shop" && len(service.Spec.Selector) == 2
		})
	budget := &policyv1.PodDisruptionBudget{}
	checkRepaired(w, child{"shop", budget, "the budget"}, func() { budget.Spec.MaxUnavailable = new(intstr.FromInt32(7)) },
		func() bool { return budget.Spec.MaxUnavailable.String() == "25%" })
	sessions := &appsv1.StatefulSet{}
	checkRepaired(w, child{"shop-sessions", sessions, "the grace period"},
		func() { sessions.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(1)) },
		func() bool { return *sessions.Spec.Template.Spec.TerminationGracePeriodSeconds != 1 })

	checkMadeAnew(w, "shop", &corev1.Service{})
	checkMadeAnew(w, naming.RedisConfig("shop-sessions"), &corev1.ConfigMap{})
	checkMadeAnew(w, policyName(w), &networkingv1.NetworkPolicy{})
	checkMadeAnew(w, revision, &appsv1.Deployment{})
	w.waitReady("shop")
}

// versionOf tells whether somebody wrote: of what has one, the generation, since others write status.
func versionOf(object client.Object) string {
	if object.GetGeneration() > 0 {
		return fmt.Sprintf("%s, generation %d, labels %v", object.GetUID(), object.GetGeneration(), object.GetLabels())
	}
	return string(object.GetUID()) + ", version " + object.GetResourceVersion()
}

// child is an object of the app's, and what of it is spoilt.
type child struct {
	name   string
	object client.Object
	what   string
}

// checkRepaired changes an object by hand, waits until it is right again and sees that it is then left alone.
func checkRepaired(w *world, c child, spoil func(), right func() bool) {
	w.Helper()
	name, object, what := c.name, c.object, c.what
	change(w, name, object, func(client.Object) { spoil() })
	spoilt := object.GetGeneration()
	w.eventually(time.Minute, fmt.Sprintf("%s of %T %s is right again", what, object, name), func() error {
		w.must(w.read(name, object))
		if !right() {
			return errors.New("it is not")
		}
		return nil
	})
	if spoilt > 0 && object.GetGeneration() != spoilt+1 {
		w.Errorf("%s of %T %s: generation %d is right after %d, want one write", what, object, name, object.GetGeneration(), spoilt)
	}
	staysAsItIs(w, name, object)
}

// checkMadeAnew deletes an object and waits for a new one of that name.
func checkMadeAnew(w *world, name string, object client.Object) {
	w.Helper()
	w.must(w.read(name, object))
	old := object.GetUID()
	w.must(api.Delete(w.ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	w.eventually(time.Minute, fmt.Sprintf("%T %s is there again", object, name), func() error {
		if err := w.read(name, object); err != nil {
			return err
		}
		if object.GetUID() == old {
			return errors.New("it is still the old one")
		}
		return nil
	})
	if _, controlled := object.(*appsv1.Deployment); !controlled { // whose controller gives it a generation or two
		staysAsItIs(w, name, object)
	}
}

func staysAsItIs(w *world, name string, object client.Object) {
	w.Helper()
	before := versionOf(object)
	w.stays(2*time.Second, fmt.Sprintf("%T %s is written once", object, name), func() error {
		if err := w.read(name, object); err != nil {
			return err
		}
		if now := versionOf(object); now != before {
			return fmt.Errorf("it was %s and now is %s", before, now)
		}
		return nil
	})
}

// policyName is the name of a NetworkPolicy of the world.
func policyName(w *world) string {
	w.Helper()
	list := &networkingv1.NetworkPolicyList{}
	w.must(api.List(w.ctx, list, client.InNamespace(w.namespace)))
	if len(list.Items) == 0 {
		w.Fatal("there is no NetworkPolicy, although spec.networkPolicy is Enabled")
	}
	return list.Items[0].Name
}
