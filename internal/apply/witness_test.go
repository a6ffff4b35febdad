package apply

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
)

func TestWitnesses(t *testing.T) {
	app := &v1alpha1.ScalableApp{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "prod"}}
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "shop-a", Namespace: "prod", ResourceVersion: "7"}}
	x := &Executor{Live: fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(deployment).Build()}
	for name, c := range map[string]struct {
		witness  components.Witness
		conflict bool
	}{
		"as it was seen":  {components.Witness{Name: "shop-a", ResourceVersion: "7"}, false},
		"changed since":   {components.Witness{Name: "shop-a", ResourceVersion: "6"}, true},
		"gone since then": {components.Witness{Name: "shop-b", ResourceVersion: "6"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			err := x.heard(t.Context(), app, components.Object{Witnesses: []components.Witness{c.witness}})
			if apierrors.IsConflict(err) != c.conflict || (err != nil) != c.conflict {
				t.Errorf("got %v, want a conflict: %v", err, c.conflict)
			}
		})
	}
}
