package e2e

import (
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// readyWithin is how long a stack may take to be Ready. It takes some 25 s; the rest is for a machine
// that is busy with something else.
const readyWithin = 4 * time.Minute

// sample is config/samples/shop.yaml: what `make up` and the README show is what is tested.
func (w *world) sample() *v1alpha1.ScalableApp {
	w.Helper()
	raw, err := os.ReadFile("../../config/samples/shop.yaml")
	w.must(err)
	app := &v1alpha1.ScalableApp{}
	w.must(yaml.UnmarshalStrict(raw, app))
	app.Namespace = w.namespace
	return app
}

// light is an app with sessions and no database: enough for what concerns the app alone, and soon there.
func (w *world) light(name string, replicas int32) *v1alpha1.ScalableApp {
	return &v1alpha1.ScalableApp{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace},
		Spec: v1alpha1.ScalableAppSpec{
			App:      v1alpha1.AppSpec{Image: image100, Replicas: &replicas},
			Sessions: &v1alpha1.SessionsSpec{Redis: &v1alpha1.SessionRedisSpec{Members: 1, Persistence: v1alpha1.PersistenceDisabled}},
		},
	}
}

// bare is an app with nothing around it.
func (w *world) bare(name string, replicas int32) *v1alpha1.ScalableApp {
	app := w.light(name, replicas)
	app.Spec.Sessions = nil
	return app
}

func postgres(instances int32) *v1alpha1.DatabaseSpec {
	return &v1alpha1.DatabaseSpec{Postgres: &v1alpha1.PostgresSpec{
		Instances: instances, Storage: v1alpha1.StorageSpec{Size: resource.MustParse("1Gi")},
	}}
}

// waitReady waits until the newest spec of the app is reached, and returns the app.
func (w *world) waitReady(name string) *v1alpha1.ScalableApp {
	w.Helper()
	app := &v1alpha1.ScalableApp{}
	w.eventually(readyWithin, name+" is Ready", func() error {
		if err := w.read(name, app); err != nil {
			return err
		}
		return isReady(app)
	})
	return app
}

func isReady(app *v1alpha1.ScalableApp) error {
	if app.Status.ObservedGeneration != app.Generation {
		return fmt.Errorf("generation %d is not observed yet", app.Generation)
	}
	return isCondition(app, v1alpha1.ConditionReady, metav1.ConditionTrue, "")
}

// isCondition says how a condition differs from what is wanted; an empty reason stands for any.
func isCondition(app *v1alpha1.ScalableApp, kind string, wanted metav1.ConditionStatus, reason string) error {
	c := meta.FindStatusCondition(app.Status.Conditions, kind)
	switch {
	case c == nil:
		return fmt.Errorf("there is no condition %s", kind)
	case c.Status != wanted || (reason != "" && c.Reason != reason):
		return fmt.Errorf("%s=%s %s (want %s %s): %s", kind, c.Status, c.Reason, wanted, reason, c.Message)
	}
	return nil
}

// waitStalled waits until the app says that it cannot go on, for the reason and in words that hold all
// the parts given, and returns it.
func (w *world) waitStalled(name, reason string, parts ...string) *v1alpha1.ScalableApp {
	w.Helper()
	app := &v1alpha1.ScalableApp{}
	w.eventually(2*time.Minute, fmt.Sprintf("%s is Stalled for %s", name, reason), func() error {
		if err := w.read(name, app); err != nil {
			return err
		}
		if app.Status.ObservedGeneration != app.Generation {
			return fmt.Errorf("generation %d is not observed yet", app.Generation)
		}
		for kind, status := range map[string]metav1.ConditionStatus{
			v1alpha1.ConditionStalled: metav1.ConditionTrue, v1alpha1.ConditionReady: metav1.ConditionFalse,
		} {
			if err := isCondition(app, kind, status, reason); err != nil {
				return err
			}
			message := meta.FindStatusCondition(app.Status.Conditions, kind).Message
			for _, part := range parts {
				if !strings.Contains(message, part) {
					return fmt.Errorf("%s does not name %q: %s", kind, part, message)
				}
			}
		}
		return nil
	})
	return app
}

// waitStable waits until a revision other than before is the stable one and the app is Ready.
func (w *world) waitStable(name, before string) *v1alpha1.ScalableApp {
	w.Helper()
	app := &v1alpha1.ScalableApp{}
	w.eventually(readyWithin, name+" runs another revision than "+before, func() error {
		if err := w.read(name, app); err != nil {
			return err
		}
		if stable := app.Status.Rollout.Stable; stable == nil || stable.Revision == before {
			return fmt.Errorf("stage %s: %s", app.Status.Rollout.Stage, app.Status.Rollout.Message)
		}
		return isReady(app)
	})
	return app
}

// waitGone waits until no pod of a revision is left; that of its migration stays for its log.
func (w *world) waitGone(revision string) {
	w.Helper()
	w.eventually(2*time.Minute, "the pods of "+revision+" are gone", func() error {
		if n := len(w.podsOf(map[string]string{naming.LabelRevision: revision, naming.LabelComponent: naming.ComponentApp})); n > 0 {
			return fmt.Errorf("%d are there", n)
		}
		return nil
	})
}

func env(name, value string) []corev1.EnvVar { return []corev1.EnvVar{{Name: name, Value: value}} }
