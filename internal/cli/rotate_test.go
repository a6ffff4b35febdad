package cli

import (
	"strings"
	"testing"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/rotation"
)

// resting is an app with a database and nothing under way.
func resting() *v1alpha1.ScalableApp {
	app := &v1alpha1.ScalableApp{}
	app.Name = "shop"
	app.Spec.Database = &v1alpha1.DatabaseSpec{Postgres: &v1alpha1.PostgresSpec{Instances: 2}}
	app.Status.Database = &v1alpha1.DatabaseStatus{Primary: "shop-db-0"}
	app.Status.Rollout.Stage = v1alpha1.StageStable
	return app
}

func TestCanRotate(t *testing.T) {
	all := []string{rotation.App}
	for name, c := range map[string]struct {
		app   *v1alpha1.ScalableApp
		names []string
		want  string // a part of the refusal, "" is none
	}{
		"at rest":     {app: resting(), names: all},
		"of no cache": {app: resting(), names: []string{rotation.App, rotation.Cache}, want: "spec.cache"},
		"of none":     {app: changed(resting(), func(app *v1alpha1.ScalableApp) { app.Spec.Database = nil }), names: all, want: "spec.database"},
		"of others'": {app: changed(resting(), func(app *v1alpha1.ScalableApp) {
			app.Spec.Database = &v1alpha1.DatabaseSpec{External: &v1alpha1.ExternalDatabaseSpec{}}
		}), names: all, want: "external"},
		"deleted":      {app: deleted(resting()), names: all, want: "deleted"},
		"paused":       {app: changed(resting(), func(app *v1alpha1.ScalableApp) { app.Spec.Paused = new(true) }), names: all, want: "resume"},
		"no primary":   {app: changed(resting(), func(app *v1alpha1.ScalableApp) { app.Status.Database.Primary = "" }), names: all, want: "no primary"},
		"in a rollout": {app: changed(resting(), func(app *v1alpha1.ScalableApp) { app.Status.Rollout.Stage = v1alpha1.StageHeld }), names: all, want: "Held"},
		"members beside a rollout": {app: changed(resting(), func(app *v1alpha1.ScalableApp) { app.Status.Rollout.Stage = v1alpha1.StageHeld }),
			names: []string{rotation.Replication}},
		"another rotation": {app: changed(resting(), func(app *v1alpha1.ScalableApp) {
			app.Status.Credentials = []v1alpha1.CredentialStatus{{Name: "superuser", Phase: rotation.PhasePreparing}}
		}), names: all, want: "superuser Preparing"},
		"after another rotation": {app: changed(resting(), func(app *v1alpha1.ScalableApp) {
			app.Annotations = map[string]string{naming.AnnotationRotate: "app:1"}
			app.Status.Rotation = &v1alpha1.RotationStatus{HandledRequest: "app:1"}
			app.Status.Credentials = []v1alpha1.CredentialStatus{{Name: "app", Phase: rotation.PhaseDone}}
		}), names: all},
		"asked for already": {app: changed(resting(), func(app *v1alpha1.ScalableApp) {
			app.Annotations = map[string]string{naming.AnnotationRotate: "app:1"}
		}), names: all, want: "app:1"},
		"undone": {app: changed(resting(), func(app *v1alpha1.ScalableApp) {
			app.Status.Rollout.Undone = "shop-b"
			app.Annotations = map[string]string{naming.AnnotationUndo: "shop-b:shop-a"}
		}), names: all, want: "undo"},
	} {
		err := canRotate(c.app, c.names)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestARotationIsSeen(t *testing.T) {
	app := resting()
	if n := credentialsNode(app); n != nil {
		t.Errorf("nothing is rotated, but %+v", n)
	}
	app.Status.Credentials = []v1alpha1.CredentialStatus{{Name: "app", Phase: rotation.PhaseRollingOut, Message: "waits for shop-1"}, {Name: "cache", Phase: rotation.PhaseDone}}
	app.Status.Rotation = &v1alpha1.RotationStatus{HandledRequest: "x:1", RefusedMessage: `"x" is not understood`}
	text := credentialsNode(app).String()
	for _, want := range []string{"RollingOut", "waits for shop-1", "not understood"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	before, after := revision.Inputs{}, revision.Inputs{Bindings: revision.Bindings{Rotation: "app=2"}}
	words, err := causes(before, after)
	if err != nil || strings.Join(words, ";") != "passwords rotated (app=2)" || !onlyRestarted(before, after) {
		t.Errorf("%q, %v", words, err)
	}
}
