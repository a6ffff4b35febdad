package cli

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

func inputs(change func(*revision.Inputs)) revision.Inputs {
	in := revision.Inputs{Format: revision.Format, App: v1alpha1.AppSpec{
		Image: "shop:1", Port: new(int32(8080)),
		Env: []corev1.EnvVar{{Name: "LEVEL", Value: "info"}, {Name: "PASSWORD", Value: "hunter2"}},
	}}
	in.Config = []revision.Config{{Name: "settings", Data: map[string]string{"a": "1", "b": "2"}}}
	if change != nil {
		change(&in)
	}
	return in
}

func template(raw string) *apiextensionsv1.JSON { return &apiextensionsv1.JSON{Raw: []byte(raw)} }

const restartedAt = `"kubectl.kubernetes.io/restartedAt": "2026-01-02T03:04:05Z"`

func TestCauses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*revision.Inputs)
		want   string
	}{
		"nothing":            {func(*revision.Inputs) {}, ""},
		"image":              {func(in *revision.Inputs) { in.App.Image = "shop:2" }, "image shop:1 → shop:2"},
		"port":               {func(in *revision.Inputs) { in.App.Port = new(int32(9090)) }, "port 8080 → 9090"},
		"secret value":       {func(in *revision.Inputs) { in.App.Env[1].Value = "hunter3" }, "env PASSWORD changed"},
		"variable added":     {func(in *revision.Inputs) { in.App.Env = append(in.App.Env, corev1.EnvVar{Name: "NEW", Value: "x"}) }, "env NEW added"},
		"all variables gone": {func(in *revision.Inputs) { in.App.Env = nil }, "env LEVEL removed, env PASSWORD removed"},
		"variable from a Secret": {func(in *revision.Inputs) {
			in.App.Env[1] = corev1.EnvVar{Name: "PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "k"}}}
		}, "env PASSWORD changed"},
		"arguments":       {func(in *revision.Inputs) { in.App.Args = []string{"--token=x", "-v"} }, "args added"},
		"probe":           {func(in *revision.Inputs) { in.App.Probes.Readiness = &v1alpha1.HTTPProbe{Path: "/up"} }, "probes added"},
		"config changed":  {func(in *revision.Inputs) { in.Config[0].Data = map[string]string{"a": "1", "b": "3", "c": ""} }, "config settings changed (b, c)"},
		"config replaced": {func(in *revision.Inputs) { in.Config[0].Name = "other" }, "config other added, config settings removed"},
		"restart": {func(in *revision.Inputs) {
			in.App.PodTemplate = template(`{"metadata":{"annotations":{` + restartedAt + `}}}`)
		},
			"restarted 2026-01-02T03:04:05Z"},
		"restart beside a template": {func(in *revision.Inputs) {
			in.App.PodTemplate = template(`{"metadata":{"annotations":{"a":"b",` + restartedAt + `}},"spec":{"hostname":"h"}}`)
		}, "podTemplate added, restarted 2026-01-02T03:04:05Z"},
		"bindings": {func(in *revision.Inputs) { in.Bindings = revision.Bindings{Cache: true, ExternalSecret: "theirs"} },
			"cache bound, external database added theirs"},
		"the image comes first": {func(in *revision.Inputs) { in.App.Args, in.App.Image = []string{"x"}, "shop:2" }, "image shop:1 → shop:2, args added"},
	} {
		t.Run(name, func(t *testing.T) {
			words, err := causes(inputs(nil), inputs(c.change))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(words, ", "); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// record is a revision of the history.
func record(number int64, name, image string, change func(*revision.Inputs)) past {
	in := inputs(change)
	in.App.Image = image
	return past{Revision: revision.Revision{Name: name, Inputs: in}, number: number, migrated: true,
		made: time.Date(2026, 1, 1, int(number), 0, 0, 0, time.UTC)}
}

func restarted(in *revision.Inputs) {
	in.App.PodTemplate = template(`{"metadata":{"annotations":{` + restartedAt + `}}}`)
}

func migrates(safe v1alpha1.RollbackSafety) func(*revision.Inputs) {
	return func(in *revision.Inputs) {
		in.App.Migration = &v1alpha1.MigrationSpec{Command: []string{"/shop", "migrate"}, RollbackSafe: safe}
	}
}

// running is an app whose stable revision and candidate are those of the history with these numbers; 0
// is none.
func running(history []past, stable, candidate int) *v1alpha1.ScalableApp {
	app := shop()
	at := func(i int) *v1alpha1.RevisionStatus {
		if i == 0 {
			return nil
		}
		return &v1alpha1.RevisionStatus{Revision: history[i-1].Name, Number: history[i-1].number, Image: history[i-1].Inputs.App.Image}
	}
	app.Status.Rollout.Stable, app.Status.Rollout.Candidate = at(stable), at(candidate)
	return app
}

// undoing is the app after the operator has acted on an undo.
func undoing(app *v1alpha1.ScalableApp, from, to string) *v1alpha1.ScalableApp {
	app.Annotations = map[string]string{naming.AnnotationUndo: from + ":" + to}
	app.Status.Rollout.Message = "revision " + from + " was undone: " + to + " runs until spec.app changes."
	app.Status.Rollout.Undone = from
	return app
}

func TestUndoTarget(t *testing.T) {
	plain := []past{record(1, "a", "shop:1", nil), record(2, "b", "shop:2", nil), record(3, "c", "shop:3", nil)}
	afterRestart := []past{plain[0], plain[1], record(3, "r", "shop:2", restarted)}
	neverRan := []past{plain[0], record(2, "m", "shop:2", migrates(v1alpha1.RollbackSafeYes)), plain[2]}
	neverRan[1].migrated = false
	marked := []past{plain[0], plain[1], plain[2], record(4, "d", "shop:4", nil)}
	marked[1].proven, marked[3].proven = true, true // 3 failed
	oneWay := []past{plain[0], record(2, "m", "shop:2", migrates(v1alpha1.RollbackSafeNo)), plain[2]}
	for name, c := range map[string]struct {
		app     *v1alpha1.ScalableApp
		wanted  string
		history []past
		flags   undoFlags
		want    string // the name of the target
		refused string // a part of the refusal
	}{
		"the one before":                   {app: running(plain, 3, 0), wanted: "c", history: plain, want: "b"},
		"what failed is passed over":       {app: running(marked, 4, 0), wanted: "d", history: marked, want: "b"},
		"none before is marked":            {app: running(marked, 2, 0), wanted: "b", history: marked, want: "a"},
		"a restart is no version":          {app: running(afterRestart, 3, 0), wanted: "r", history: afterRestart, want: "a"},
		"what never ran is passed over":    {app: running(neverRan, 3, 0), wanted: "c", history: neverRan, want: "a"},
		"a rollout: back to stable":        {app: running(plain, 1, 3), wanted: "c", history: plain, want: "a"},
		"by number":                        {app: running(plain, 3, 0), wanted: "c", history: plain, flags: undoFlags{to: "1"}, want: "a"},
		"by name":                          {app: running(plain, 3, 0), wanted: "c", history: plain, flags: undoFlags{to: "a"}, want: "a"},
		"one more step back":               {app: undoing(running(plain, 2, 0), "c", "b"), wanted: "c", history: plain, want: "a"},
		"forward again is another word":    {app: undoing(running(plain, 2, 0), "c", "b"), wanted: "c", history: plain, flags: undoFlags{to: "3"}, refused: "--clear"},
		"on the way back already":          {app: undoing(running(plain, 3, 2), "c", "b"), wanted: "c", history: plain, refused: "--clear"},
		"what runs already":                {app: running(plain, 3, 0), wanted: "c", history: plain, flags: undoFlags{to: "3"}, refused: "runs already"},
		"what runs already by an undo":     {app: undoing(running(plain, 2, 0), "c", "b"), wanted: "c", history: plain, flags: undoFlags{to: "b"}, refused: "runs already"},
		"not in the history":               {app: running(plain, 3, 0), wanted: "c", history: plain, flags: undoFlags{to: "9"}, refused: "there are 1, 2, 3"},
		"nothing before":                   {app: running(plain, 1, 0), wanted: "a", history: plain[:1], refused: "no revision before 1"},
		"the first rollout":                {app: running(plain, 0, 1), wanted: "a", history: plain, refused: "no stable revision"},
		"nothing rolled out yet":           {app: running(plain, 0, 0), wanted: "a", history: nil, refused: "nothing of shop was rolled out"},
		"over a migration of no return":    {app: running(oneWay, 3, 0), wanted: "c", history: oneWay, flags: undoFlags{to: "1"}, refused: "migration of revision 2"},
		"over it by force":                 {app: running(oneWay, 3, 0), wanted: "c", history: oneWay, flags: undoFlags{to: "1", force: true}, want: "a"},
		"to it is no going over it":        {app: running(oneWay, 3, 0), wanted: "c", history: oneWay, want: "m"},
		"another plugin's hash":            {app: running(plain, 3, 0), wanted: "x", history: plain, refused: "not of the operator's version"},
		"a change not seen yet":            {app: unseen(running(plain, 3, 0)), wanted: "x", history: plain, want: "c"},
		"a spec that the operator refuses": {app: refusedSpec(running(plain, 3, 0)), wanted: "x", history: plain, flags: undoFlags{to: "3"}, want: "c"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := chooseUndo(c.app, c.wanted, c.history, c.flags)
			switch {
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("got %v, %v; want a refusal with %q", got, err, c.refused)
			case c.refused == "" && err != nil:
				t.Error(err)
			case c.refused == "" && got.Name != c.want:
				t.Errorf("got %s, want %s", got.Name, c.want)
			}
		})
	}
}

func unseen(app *v1alpha1.ScalableApp) *v1alpha1.ScalableApp {
	app.Generation++
	return app
}

func refusedSpec(app *v1alpha1.ScalableApp) *v1alpha1.ScalableApp {
	condition(app, v1alpha1.ConditionStalled, true, v1alpha1.ReasonInvalidSpec, "spec.app.podTemplate is no partial pod template")
	return app
}

func TestHistoryText(t *testing.T) {
	history := []past{
		record(1, "shop-a", "shop:1", nil), record(2, "shop-b", "shop:2", nil), record(3, "shop-c", "shop:2", restarted),
		record(4, "shop-d", "shop:2", func(in *revision.Inputs) { in.Config[0].Data["b"] = "3" }),
	}
	history[0].proven, history[1].proven = true, true
	app := undoing(running(history, 2, 0), "shop-d", "shop-b")
	app.Status.Rollout.Candidate = &v1alpha1.RevisionStatus{Revision: "shop-e", Number: 5, Image: "shop:5"}
	text, err := historyText(app, history, time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "history", text)
}

func TestRestartRefusals(t *testing.T) {
	paused := shop()
	paused.Spec.Paused = new(true)
	deleted := shop()
	deleted.DeletionTimestamp = new(metav1.Now())
	for want, app := range map[string]*v1alpha1.ScalableApp{
		"is paused": paused, "was undone": undoing(shop(), "shop-b", "shop-a"), "is being deleted": deleted,
	} {
		if _, _, err := restart(app, time.Now()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a refusal with %q", err, want)
		}
	}
}

// Whatever may be a secret is named, never shown.
func TestDifferencesHideSecrets(t *testing.T) {
	type m = map[string]any
	named := func(name, value string) m { return m{"name": name, "value": value} }
	for name, c := range map[string]struct {
		kind     string
		from, to any
		want     []string
	}{
		"plain":       {"Deployment", m{"replicas": 2}, m{"replicas": 3}, []string{"replicas: 2 → 3"}},
		"added":       {"Deployment", m{}, m{"a": m{"b": "c"}}, []string{"a: added"}},
		"added value": {"Deployment", m{}, m{"a": "c"}, []string{"a: added c"}},
		"removed":     {"Deployment", m{"a": true}, m{}, []string{"a: removed true"}},
		"env": {"ScalableApp", m{"env": []any{named("A", "x")}}, m{"env": []any{named("A", "y"), named("B", "z")}},
			[]string{"env[A].value: changed", "env[B]: added"}},
		"first env": {"ScalableApp", m{}, m{"env": []any{named("A", "x")}}, []string{"env[A]: added"}},
		"Secret": {"Secret", m{"data": m{"k": "x"}, "metadata": m{"name": "a"}}, m{"data": m{"k": "y"}, "metadata": m{"name": "b"}},
			[]string{"data.k: changed", "metadata.name: a → b"}},
		"ConfigMap": {"ConfigMap", m{"data": m{"a.conf": "x"}}, m{"data": m{"b.conf": "x"}},
			[]string{"data[a.conf]: removed", "data[b.conf]: added"}},
		"annotation": {"Pod", m{"metadata": m{"annotations": m{"x/y": "1"}}}, m{"metadata": m{"annotations": m{"x/y": "2"}}}, []string{"metadata.annotations[x/y]: changed"}},
		"arguments":  {"ScalableApp", m{"args": []any{"a", "b"}}, m{"args": []any{"a", "c"}}, []string{"args[1]: changed"}},
	} {
		t.Run(name, func(t *testing.T) {
			changes, err := differences(c.from, c.to)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, each := range changes {
				got = append(got, each.words(c.kind))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}
