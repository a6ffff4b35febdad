package e2e

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// What the schema cannot see is said in status with the true reason, and heals by itself when its cause
// goes.

func TestStorageClassMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const missing = "e2e-not-there-yet"
	app := w.bare("main", 1)
	app.Spec.Database = postgres(1)
	app.Spec.Database.Postgres.Storage.StorageClassName = new(missing)
	w.create(app)
	w.waitStalled("main", v1alpha1.ReasonStorageClassMissing, missing)

	class := defaultClass(w)
	class.ObjectMeta = metav1.ObjectMeta{Name: missing}
	w.must(client.IgnoreAlreadyExists(api.Create(w.ctx, class)))
	t.Cleanup(func() { deleteAtEnd(t, class) })
	w.waitReady("main")
	externalDatabase(w)
}

// externalDatabase binds an app to the database of another, which is external to it. The Secret is
// missing first, then has no uri, then a right one.
func externalDatabase(w *world) {
	w.Helper()
	app := w.bare("guest", 1)
	app.Spec.Database = &v1alpha1.DatabaseSpec{External: &v1alpha1.ExternalDatabaseSpec{SecretName: "elsewhere"}}
	// The other app's database lets nobody else in.
	w.changeApp("main", func(app *v1alpha1.ScalableApp) { app.Spec.NetworkPolicy = v1alpha1.NetworkPolicyDisabled })
	w.create(app)
	w.waitStalled("guest", v1alpha1.ReasonSecretMissing, "elsewhere")

	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "elsewhere", Namespace: w.namespace},
		StringData: map[string]string{"password": "not enough"}}
	w.create(secret)
	w.waitStalled("guest", v1alpha1.ReasonSecretIncomplete, "elsewhere", "uri")

	binding := &corev1.Secret{}
	w.must(w.read(naming.DatabaseBinding(w.app("main")), binding))
	change(w, "elsewhere", secret, func(s *corev1.Secret) {
		s.Data = map[string][]byte{"uri": binding.Data["uri"], "ca.crt": binding.Data["ca.crt"]}
	})
	w.waitReady("guest") // the sample app is ready only when its database has answered
	now := &corev1.Secret{}
	w.must(w.read("elsewhere", now))
	if now.ResourceVersion != secret.ResourceVersion {
		w.Error("the user's Secret was written to")
	}
}

func defaultClass(w *world) *storagev1.StorageClass {
	w.Helper()
	list := &storagev1.StorageClassList{}
	w.must(api.List(w.ctx, list))
	for i := range list.Items {
		if list.Items[i].Annotations["storageclass.kubernetes.io/is-default-class"] == "true" {
			return &list.Items[i]
		}
	}
	w.Fatal("the cluster has no default StorageClass")
	return nil
}

func TestQuotaExceeded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	quota := func(what corev1.ResourceName) *corev1.ResourceQuota {
		return &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "tight", Namespace: w.namespace},
			Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{what: resource.MustParse("0")}}}
	}
	inForce := func(what corev1.ResourceName) {
		w.eventually(time.Minute, "the quota is in force", func() error {
			now := &corev1.ResourceQuota{}
			if err := w.read("tight", now); err != nil {
				return err
			}
			if _, ok := now.Status.Hard[what]; !ok {
				return errNotYet
			}
			return nil
		})
	}
	// What the operator itself makes.
	tight := quota(corev1.ResourceServices)
	w.create(tight)
	inForce(corev1.ResourceServices)
	w.create(w.bare("first", 1))
	w.waitStalled("first", v1alpha1.ReasonQuotaExceeded, "tight", "services")
	w.remove(tight)
	w.waitReady("first")

	// What others make for it: pods of the app, and those of a data tier, of which no condition tells.
	tight = quota(corev1.ResourcePods)
	w.create(tight)
	inForce(corev1.ResourcePods)
	app := w.bare("second", 1)
	app.Spec.Rollout.ProgressDeadlineSeconds = new(int32(10))
	w.create(app)
	w.create(w.light("third", 1))
	w.waitStalled("second", v1alpha1.ReasonQuotaExceeded, "tight", "pods")
	w.waitStalled("third", v1alpha1.ReasonQuotaExceeded, "tight", "pods")
	w.remove(tight)
	w.waitReady("second")
	w.waitReady("third")
}

func TestNameConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	foreign := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: w.namespace, Labels: map[string]string{"of": "somebody"}},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"of": "somebody"},
			Ports: []corev1.ServicePort{{Port: 1234, TargetPort: intstr.FromInt32(1234)}}},
	}
	w.create(foreign)
	w.create(w.bare("shop", 1))
	w.waitStalled("shop", v1alpha1.ReasonNameConflict, "Service", "shop")
	w.stays(3*time.Second, "the Service of somebody else is left alone", func() error {
		now := &corev1.Service{}
		w.must(w.read("shop", now))
		if now.ResourceVersion != foreign.ResourceVersion {
			t.Errorf("it was written to: %+v", now.ObjectMeta)
		}
		return nil
	})
	w.must(api.Delete(w.ctx, foreign))
	w.waitReady("shop")

	// The app's own deletion does not take what is not its own either.
	other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "other-sessions-redis", Namespace: w.namespace}}
	w.create(other)
	app := w.light("other", 1)
	w.create(app)
	stalled := w.waitStalled("other", v1alpha1.ReasonNameConflict, "ConfigMap", other.Name)
	if message := readyMessage(stalled); !strings.Contains(message, "not touched") {
		t.Errorf("the message does not say what happens to it: %s", message)
	}
	w.remove(app)
	if err := w.read(other.Name, other); err != nil {
		t.Errorf("the ConfigMap of somebody else: %v", err)
	}
}
