package apply

import (
	"context"
	"errors"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/plan"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

var errRefused = apierrors.NewInvalid(appsv1.SchemeGroupVersion.WithKind("StatefulSet").GroupKind(), "shop-db", nil)

// A pod is deleted for the template that its StatefulSet was given in the same pass: if that was refused, it would come
// back as it was. One that is deleted for its own sake is deleted all the same.
func TestNoPodIsDeletedForARefusedStatefulSet(t *testing.T) {
	for name, c := range map[string]struct {
		action  action.DeletePod
		refuses bool
		deleted bool
	}{
		"it was taken":                {action.DeletePod{Pod: "shop-db-1", UID: "u"}, false, true},
		"it was refused":              {action.DeletePod{Pod: "shop-db-1", UID: "u"}, true, false},
		"another one was refused":     {action.DeletePod{Pod: "shop-db-pooler-1", UID: "u"}, true, true},
		"for the sake of its leaving": {action.DeletePod{Pod: "shop-db-1", UID: "u", AtOnce: true}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			app := testkit.App(t, testkit.Small)
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: c.action.Pod, Namespace: app.Namespace, UID: "u"}}
			k8s := fake.NewClientBuilder().WithScheme(testkit.Scheme()).WithObjects(pod).WithInterceptorFuncs(interceptor.Funcs{
				Apply: func(context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption) error {
					if c.refuses {
						return errRefused
					}
					return nil
				},
			}).Build()
			x := &Executor{Client: k8s, Live: k8s}
			err := x.Execute(t.Context(), app, plan.Plan{
				Objects: []components.Object{{Intent: appsv1ac.StatefulSet("shop-db", app.Namespace)}},
				Actions: []action.Action{c.action},
			})
			if refused := errors.Is(err, error(errRefused)); refused != c.refuses || !refused && err != nil {
				t.Fatal(err)
			}
			err = k8s.Get(t.Context(), client.ObjectKeyFromObject(pod), pod)
			if got := apierrors.IsNotFound(err); got != c.deleted {
				t.Errorf("deleted: %t, want %t (%v)", got, c.deleted, err)
			}
		})
	}
}
