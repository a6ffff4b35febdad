package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// pollEvery is how often a condition is looked at that is waited for.
const pollEvery = 250 * time.Millisecond

// labelWorld marks the namespaces of these tests.
const labelWorld = "apps.scalableapp.dev/e2e"

// world is a test's own namespace.
type world struct {
	*testing.T
	namespace string
	ctx       context.Context
	history   *history
}

// newWorld makes the namespace. It is named after the test, so that a person who looks knows what it
// is for; what a test that was cut short has left there goes first.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, namespace: "e2e-" + strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "/", "-"), ctx: t.Context()}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace, Labels: map[string]string{
		labelWorld: "true", "pod-security.kubernetes.io/enforce": "restricted",
	}}}
	if err := api.Delete(w.ctx, namespace.DeepCopy()); err == nil {
		t.Logf("the namespace %s is left from a test that was cut short; it is removed first", w.namespace)
	}
	w.eventually(3*time.Minute, "the namespace "+w.namespace+" is new", func() error {
		return api.Create(w.ctx, namespace.DeepCopy())
	})
	w.history = record(w)
	t.Cleanup(func() {
		if t.Failed() {
			w.dump()
			if os.Getenv("E2E_KEEP") != "" {
				return
			}
		}
		// t.Context() has ended by now. The namespace goes on its own from here.
		if err := api.Delete(context.Background(), namespace); client.IgnoreNotFound(err) != nil {
			t.Errorf("remove the namespace: %v", err)
		}
	})
	return w
}

// eventually waits until check finds nothing wrong. What it found last is in the failure.
func (w *world) eventually(within time.Duration, what string, check func() error) {
	w.Helper()
	deadline := time.Now().Add(within)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("not within %s: %s: %v", within, what, err)
		}
		select {
		case <-w.ctx.Done():
			w.Fatalf("%s: %v; last: %v", what, w.ctx.Err(), err)
		case <-time.After(pollEvery):
		}
	}
}

// stays sees that check finds nothing wrong for a while. It cannot prove that nothing will ever happen;
// the while is many times what the operator needs for a pass.
func (w *world) stays(during time.Duration, what string, check func() error) {
	w.Helper()
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(pollEvery) {
		if err := check(); err != nil {
			w.Fatalf("does not stay so: %s: %v", what, err)
		}
	}
}

// must ends the test on an error.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// create makes an object in the world's namespace, if it is of a kind that has one.
func (w *world) create(object client.Object) {
	w.Helper()
	w.must(api.Create(w.ctx, object))
}

// read is an object of the world's namespace as it is.
func (w *world) read(name string, into client.Object) error {
	return api.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, into)
}

func (w *world) app(name string) *v1alpha1.ScalableApp {
	w.Helper()
	app := &v1alpha1.ScalableApp{}
	w.must(w.read(name, app))
	return app
}

// change edits an object as a person with an editor does: it is read, changed and written again when
// somebody else was quicker.
func change[T client.Object](w *world, name string, object T, edit func(T)) {
	w.Helper()
	for range 20 {
		w.must(w.read(name, object))
		edit(object)
		err := api.Update(w.ctx, object)
		if !apierrors.IsConflict(err) {
			w.must(err)
			return
		}
	}
	w.Fatalf("%T %s changes faster than it can be edited", object, name)
}

func (w *world) changeApp(name string, edit func(*v1alpha1.ScalableApp)) {
	w.Helper()
	change(w, name, &v1alpha1.ScalableApp{}, edit)
}

// remove deletes an object with what it owns and returns when it is gone.
func (w *world) remove(object client.Object) {
	w.Helper()
	w.must(client.IgnoreNotFound(api.Delete(w.ctx, object, client.PropagationPolicy(metav1.DeletePropagationForeground))))
	w.eventually(3*time.Minute, fmt.Sprintf("%T %s is gone", object, object.GetName()), func() error {
		err := w.read(object.GetName(), object)
		if err == nil {
			return errors.New("it is still there")
		}
		return client.IgnoreNotFound(err)
	})
}

// podsOf are the pods with all the labels.
func (w *world) podsOf(labels map[string]string) []corev1.Pod {
	w.Helper()
	list := &corev1.PodList{}
	w.must(api.List(w.ctx, list, client.InNamespace(w.namespace), client.MatchingLabels(labels)))
	return list.Items
}
