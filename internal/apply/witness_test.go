package apply

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

func TestWitnesses(t *testing.T) {
	app := &v1alpha1.ScalableApp{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "prod", ResourceVersion: "9"}}
	decidedSince := app.DeepCopy()
	decidedSince.ResourceVersion = "8"
	deleted := app.DeepCopy()
	deleted.Name = "gone"
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "shop-a", Namespace: "prod", ResourceVersion: "7"}}
	made := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	holder := testkit.Pod(app, naming.ComponentApp, "shop-a-1")
	holder.CreationTimestamp = made
	holder.Spec.Volumes = []corev1.Volume{{Name: "b", VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: "shop-db-app"}}}}
	holds := func(secret string, before time.Duration) components.Witness {
		return components.Witness{Kind: components.WitnessPods, Name: secret, Before: made.Add(before)}
	}
	x := &Executor{Live: fake.NewClientBuilder().WithScheme(testkit.Scheme()).WithObjects(deployment, app, holder).Build()}
	decided := func(app *v1alpha1.ScalableApp) components.Witness {
		return components.Decided(components.Input{App: app})
	}
	for name, c := range map[string]struct {
		witness  components.Witness
		conflict bool
		// pass is the app as the pass knows it.
		pass *v1alpha1.ScalableApp
	}{
		"as it was seen":  {components.Witness{Name: "shop-a", ResourceVersion: "7"}, false, app},
		"changed since":   {components.Witness{Name: "shop-a", ResourceVersion: "6"}, true, app},
		"gone since then": {components.Witness{Name: "shop-b", ResourceVersion: "6"}, true, app},

		"a pod was made before a password was exchanged": {holds("shop-db-app", time.Second), true, app},
		"a pod was made after":                           {holds("shop-db-app", 0), false, app},
		"a pod has nothing of it":                        {holds("shop-cache-app", time.Second), false, app},

		"the decision is the newest":          {decided(app), false, app},
		"somebody has decided since":          {decided(app), true, decidedSince},
		"the app is deleted in the meanwhile": {decided(deleted), true, deleted},
	} {
		t.Run(name, func(t *testing.T) {
			err := x.heard(t.Context(), c.pass, components.Object{Witnesses: []components.Witness{c.witness}})
			if apierrors.IsConflict(err) != c.conflict || (err != nil) != c.conflict {
				t.Errorf("got %v, want a conflict: %v", err, c.conflict)
			}
		})
	}
}
