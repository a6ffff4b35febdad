package integration

import (
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// The Job of a gate is what an API server takes, and its pod what a namespace that enforces the Pod Security
// Standard "restricted" lets in, with an image of its own and in the revision's.
func TestGateJobIsAccepted(t *testing.T) {
	t.Parallel()
	c, ns := newClient(t), namespace(t)
	labelled := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}
	label := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`))
	if err := c.Patch(t.Context(), labelled, label); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: ns}}
	if err := c.Create(t.Context(), account); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err) // no controller makes it here
	}
	if err := c.Create(t.Context(), object(t, ns, "shop", postgres+`rollout: {gates: [
		{name: own, job: {command: [/smoke]}}, {name: foreign, job: {image: k6, command: [k6]}}]}`)); err != nil {
		t.Fatal(err)
	}
	app := &v1alpha1.ScalableApp{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "shop"}, app); err != nil {
		t.Fatal(err)
	}
	r, err := revision.Of(app, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := components.Input{App: app, Observed: &state.Observed{}}
	for _, gate := range app.Spec.Rollout.Gates {
		if err := c.Apply(t.Context(), components.Gate(in, r, &gate, 1, 1).Intent, client.FieldOwner(naming.FieldManager)); err != nil {
			t.Fatalf("gate %s: %v", gate.Name, err)
		}
		job := &batchv1.Job{}
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: naming.Gate(r.Name, gate.Name)}, job); err != nil {
			t.Fatal(err)
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: gate.Name, Namespace: ns}, Spec: job.Spec.Template.Spec}
		if err := c.Create(t.Context(), pod); err != nil {
			t.Errorf("pod of gate %s: %v", gate.Name, err)
		}
	}
}
