package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// With the app goes everything but its volumes and what Patroni has noted about them; an app of the same
// name takes them up again, with new passwords. storage.onDelete: Delete takes all of it.
func TestDeleteAndRecreate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := w.sample()
	w.create(app.DeepCopy())
	w.waitReady(app.Name)
	user, _ := w.login(w.base(app.Name), "ada")
	var placed order
	w.post(user, "/orders", map[string]any{"items": map[string]int{"saw": 3}}, http.StatusCreated, &placed)
	password := w.password(naming.DatabaseCredentials(app))

	w.remove(app.DeepCopy())
	w.waitNothingLeft(app.Name, kept(app)...)
	if n := len(w.volumes(app.Name)); n != 3 {
		t.Errorf("%d volumes are kept, want 3: two of the database, one of the sessions", n)
	}

	began := time.Now()
	w.create(app.DeepCopy())
	w.waitReady(app.Name)
	t.Logf("on kept volumes Ready after %s", time.Since(began).Round(100*time.Millisecond))
	if now := w.password(naming.DatabaseCredentials(app)); now == password {
		t.Error("the database's passwords are those of the app that was deleted")
	}
	user, _ = w.login(w.base(app.Name), "ada")
	w.eventually(30*time.Second, "the order of before is there", func() error {
		for _, o := range w.orders(user) {
			if o.ID == placed.ID {
				return nil
			}
		}
		return errors.New("it is not")
	})
	w.post(user, "/orders", map[string]any{"items": map[string]int{"saw": 1}}, http.StatusCreated, nil)

	w.changeApp(app.Name, func(app *v1alpha1.ScalableApp) {
		app.Spec.Database.Postgres.Storage.OnDelete = v1alpha1.StorageDelete
		app.Spec.Sessions.Redis.Storage.OnDelete = v1alpha1.StorageDelete
	})
	w.waitReady(app.Name)
	w.eventually(time.Minute, "the volumes know that they shall go", func() error {
		for _, volume := range w.volumes(app.Name) {
			if len(volume.OwnerReferences) == 0 {
				return fmt.Errorf("%s has no owner", volume.Name)
			}
		}
		return nil
	})
	w.remove(app.DeepCopy())
	w.waitNothingLeft(app.Name)
}

func (w *world) volumes(app string) []corev1.PersistentVolumeClaim {
	w.Helper()
	list := &corev1.PersistentVolumeClaimList{}
	w.must(api.List(w.ctx, list, client.InNamespace(w.namespace), client.MatchingLabels{naming.LabelInstance: app}))
	return list.Items
}

// password is what a Secret holds; its values are compared, never printed.
func (w *world) password(secret string) string {
	w.Helper()
	s := &corev1.Secret{}
	w.must(w.read(secret, s))
	if len(s.Data) == 0 {
		w.Fatalf("Secret %s is empty", secret)
	}
	return fmt.Sprint(s.Data)
}

// everything is every kind of object of which a stack has some, pods and Patroni's records included.
var everything = []schema.GroupVersionKind{
	{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "apps", Version: "v1", Kind: "StatefulSet"},
	{Group: "apps", Version: "v1", Kind: "ReplicaSet"}, {Group: "apps", Version: "v1", Kind: "ControllerRevision"},
	{Group: "batch", Version: "v1", Kind: "Job"}, {Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
	{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"}, {Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"},
	{Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "Service"}, {Version: "v1", Kind: "Secret"}, {Version: "v1", Kind: "ConfigMap"},
	{Version: "v1", Kind: "ServiceAccount"}, {Version: "v1", Kind: "PersistentVolumeClaim"},
}

// kept are the objects, as KIND NAME, that stay when an app with retained volumes is deleted. Patroni's
// records are among them: they tell which member has every commit that was acknowledged.
func kept(app *v1alpha1.ScalableApp) []string {
	names := []string{"PersistentVolumeClaim data-shop-db-0", "PersistentVolumeClaim data-shop-db-1", "PersistentVolumeClaim data-shop-sessions-0"}
	for _, record := range naming.PatroniRecords(app) {
		names = append(names, "ConfigMap "+record)
	}
	return names
}

// waitNothingLeft waits until there is nothing in the namespace but what is kept. It looks at all
// objects, not at those with the right labels: what lacks them would be left unseen.
func (w *world) waitNothingLeft(app string, kept ...string) {
	w.Helper()
	w.eventually(3*time.Minute, "nothing of "+app+" is left", func() error {
		var left []string
		for _, kind := range everything {
			list := &metav1.PartialObjectMetadataList{}
			list.SetGroupVersionKind(kind)
			w.must(api.List(w.ctx, list, client.InNamespace(w.namespace)))
			for _, object := range list.Items {
				what := kind.Kind + " " + object.Name
				clusters := what == "ConfigMap kube-root-ca.crt" || what == "ServiceAccount default"
				if !clusters && !slices.Contains(kept, what) {
					left = append(left, what)
				}
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("there are %v", left)
		}
		return nil
	})
}
