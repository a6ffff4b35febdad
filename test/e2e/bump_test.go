package e2e

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// A new version takes over from the old one under load without a failed request, and back; a change
// of configuration is a version too, and undoing it brings the old configuration back.
func TestBumpUnderLoad(t *testing.T) {
	w := newWorld(t)
	app := w.sample()
	app.Spec.App.Replicas = new(int32(3))
	w.create(app)
	first := w.waitReady(app.Name).Status.Rollout.Stable.Revision

	second := w.bump(app.Name, "1.0.0 to 1.1.0", "1.1.0", func(app *v1alpha1.ScalableApp) { app.Spec.App.Image = image110 })
	if second.Image != image110 || second.Number != 2 {
		t.Errorf("the stable revision is %+v, want number 2 with %s", second, image110)
	}
	back := w.bump(app.Name, "1.1.0 back to 1.0.0", "1.0.0", func(app *v1alpha1.ScalableApp) { app.Spec.App.Image = image100 })
	if back.Revision != first {
		t.Errorf("going back made revision %s, want %s again: it has the same inputs", back.Revision, first)
	}
}

// bump changes the spec under load and sees the new revision take over: no request fails, no pod less
// than wanted serves at any time, and in the end only the new version answers.
func (w *world) bump(name, what, version string, edit func(*v1alpha1.ScalableApp)) *v1alpha1.RevisionStatus {
	w.Helper()
	before := w.waitReady(name).Status.Rollout.Stable.Revision
	tr := w.startTraffic(name, w.rate(), true)
	time.Sleep(setting(w.T, "E2E_BEFORE", 10*time.Second)) // a measurement, not a wait: what "before" is
	changed := time.Now()
	w.changeApp(name, edit)
	after := w.waitStable(name, before)
	served := time.Now()
	w.waitGone(before) // under load, too: the old pods must end well
	ended := time.Now()
	result := tr.finish()
	w.Logf("bump %s at %.0f requests/s: %d requests, %d failed; the new version served after %s, the last old pod was gone after %s",
		what, w.rate(), result.Sent(), result.Failed(), served.Sub(changed).Round(time.Millisecond), ended.Sub(changed).Round(time.Millisecond))
	w.Logf("  before: %s", result.Between(result.Began, changed))
	w.Logf("  during: %s", result.Between(changed, ended))
	for _, app := range w.history.since(name, changed) {
		if app.Status.App.ReadyReplicas < *app.Spec.App.Replicas {
			w.Errorf("while the revision took over only %s pods served", app.Status.App.Ready)
		}
	}
	if got := w.versionsServed(w.base(name)); len(got) != 1 || got[version] == 0 {
		w.Errorf("after the bump %v answer, want only %s", got, version)
	}
	return after.Status.Rollout.Stable
}

// The content of a ConfigMap that the app refers to belongs to the revision: a change rolls out, and
// undo brings the old content back although the ConfigMap still holds the new one.
func TestUndoRestoresConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: w.namespace},
		Data:       map[string]string{"APP_VERSION": "blue"}, // what the sample app says on /version
	}
	w.create(config)
	app := w.light("shop", 2)
	app.Spec.App.EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: "settings"},
	}}}
	w.create(app)
	blue := w.waitReady("shop").Status.Rollout.Stable.Revision
	tr := w.startTraffic("shop", 10, false)

	change(w, "settings", &corev1.ConfigMap{}, func(c *corev1.ConfigMap) { c.Data["APP_VERSION"] = "green" })
	green := w.waitStable("shop", blue).Status.Rollout.Stable.Revision
	w.waitGone(blue)
	w.answersAre("green")

	w.changeApp("shop", func(app *v1alpha1.ScalableApp) {
		app.Annotations = maps.Clone(app.Annotations)
		if app.Annotations == nil {
			app.Annotations = map[string]string{}
		}
		app.Annotations[naming.AnnotationUndo] = green + ":" + blue
	})
	undone := w.waitStable("shop", green)
	if undone.Status.Rollout.Stable.Revision != blue || !strings.Contains(undone.Status.Rollout.Message, green) {
		t.Errorf("undone to %+v with the message %q, want %s and a message that names %s",
			undone.Status.Rollout.Stable, undone.Status.Rollout.Message, blue, green)
	}
	w.waitGone(green)
	w.answersAre("blue")

	// A new version ends the undo.
	change(w, "settings", &corev1.ConfigMap{}, func(c *corev1.ConfigMap) { c.Data["APP_VERSION"] = "red" })
	w.waitStable("shop", blue)
	w.waitGone(blue)
	w.answersAre("red")
	tr.finish()
}

func (w *world) answersAre(version string) {
	w.Helper()
	w.eventually(30*time.Second, "only "+version+" answers", func() error {
		if got := w.versionsServed(w.base("shop")); len(got) != 1 || got[version] == 0 {
			return fmt.Errorf("%v answer", got)
		}
		return nil
	})
}
