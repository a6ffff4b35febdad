package cli

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rollout"
)

// What Argo CD says and offers is the same as what the plugin says and offers, so both are tested on the same
// apps.

const argocd = "../../config/argocd"

// runLua runs a script on an app as Argo CD does: with the libraries that it gives to scripts in argocd-cm
// (no strings), and the object as obj.
func runLua(t *testing.T, script string, app *v1alpha1.ScalableApp) lua.LValue {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(argocd, script))
	if err != nil {
		t.Fatal(err)
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(app)
	if err != nil {
		t.Fatal(err)
	}
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	t.Cleanup(l.Close)
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		if err := l.CallByParam(lua.P{Fn: l.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			t.Fatal(err)
		}
	}
	l.SetGlobal("obj", toLua(l, fields))
	if err := l.DoString(string(text)); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return l.Get(-1)
}

func toLua(l *lua.LState, value any) lua.LValue {
	switch v := value.(type) {
	case bool:
		return lua.LBool(v)
	case string:
		return lua.LString(v)
	case int64:
		return lua.LNumber(v)
	case []any:
		list := l.NewTable()
		for _, each := range v {
			list.Append(toLua(l, each))
		}
		return list
	case map[string]any:
		table := l.NewTable()
		for key, each := range v {
			table.RawSetString(key, toLua(l, each))
		}
		return table
	default:
		return lua.LNil
	}
}

// member is a value deep in a table; nil where there is none.
func member(value lua.LValue, path ...string) lua.LValue {
	for _, key := range path {
		table, ok := value.(*lua.LTable)
		if !ok {
			return lua.LNil
		}
		value = table.RawGetString(key)
	}
	return value
}

var anew = record(2, "shop-b", "shop:2", nil)

// argoApps are apps as they stand at every stage.
func argoApps() map[string]*v1alpha1.ScalableApp {
	paused := func(app *v1alpha1.ScalableApp) { app.Spec.Paused = new(true) }
	return map[string]*v1alpha1.ScalableApp{
		"ready": shop(), "unseen": unseen(shop()), "deleted": deleted(canary()),
		"never looked at": changed(shop(), func(app *v1alpha1.ScalableApp) { app.Status = v1alpha1.ScalableAppStatus{ObservedGeneration: -1} }),
		"canary":          canary(), "no step yet": unopened(), "awaiting": awaiting(), "inconclusive": inconclusive(), "aborting": aborting(),
		"failed": givenUp(), "frozen": frozenApp(), "held": held(), "blue-green": blueGreen(), "first": firstRollout(),
		"failed, but Ready": changed(givenUp(), func(app *v1alpha1.ScalableApp) {
			condition(app, v1alpha1.ConditionStalled, false, v1alpha1.ReasonReady, "")
			condition(app, v1alpha1.ConditionReady, true, v1alpha1.ReasonReady, "2 of 2 pods serve shop:1")
		}),
		"promote said": told(awaiting(), "promote:shop-b:1:2"), "promote heard": heard(awaiting(), "promote:shop-b:1:2"),
		"abort said": told(canary(), "abort:shop-b:1"), "abort of another": told(awaiting(), "abort:shop-c:1"),
		"retry said": told(givenUp(), "retry:shop-b:1"), "retry heard": heard(givenUp(), "retry:shop-b:1"),
		"second attempt": secondAttempt(), "unseen canary": unseen(canary()),
		"paused":         changed(standing(canary(), v1alpha1.StagePaused, v1alpha1.ReasonPaused, "spec.paused is true"), paused),
		"paused at rest": changed(shop(), paused),
		"stalled": changed(shop(), func(app *v1alpha1.ScalableApp) {
			condition(app, v1alpha1.ConditionReady, false, v1alpha1.ReasonConfigMissing, "ConfigMap c does not exist")
			condition(app, v1alpha1.ConditionStalled, true, v1alpha1.ReasonConfigMissing, "ConfigMap c does not exist")
		}),
		"degraded": changed(shop(), func(app *v1alpha1.ScalableApp) {
			condition(app, v1alpha1.ConditionReady, false, v1alpha1.ReasonDegraded, "1 of 2 pods serve")
		}),
	}
}

func TestArgoHealth(t *testing.T) {
	got := map[string]string{}
	for name, app := range argoApps() {
		health := runLua(t, "health.lua", app)
		status, message := member(health, "status").String(), member(health, "message").String()
		got[name] = status + " | " + message
		_, code := verdict(app)
		want := map[int][]string{ExitOK: {"Healthy"}, ExitProgressing: {"Progressing"}, ExitStalled: {"Degraded", "Suspended"}}[code]
		if isPaused(app) {
			want = []string{"Suspended"}
		}
		if !slices.Contains(want, status) {
			t.Errorf("%s is %s, but status ends with %d", name, got[name], code)
		}
	}
	for name, want := range map[string]string{
		"ready":           "Healthy | 2 of 2 pods serve shop:1",
		"unseen":          "Progressing | the operator has not seen the newest change yet",
		"never looked at": "Progressing | the operator has not looked at it yet",
		"awaiting":        "Suspended | AwaitingApproval: " + awaiting().Status.Rollout.Message,
		"inconclusive":    "Suspended | Inconclusive: " + inconclusive().Status.Rollout.Message,
		"aborting":        "Progressing | Aborting: " + aborting().Status.Rollout.Message,
		"failed":          "Degraded | GateFailed: " + givenUp().Status.Rollout.Message,
		"stalled":         "Degraded | ConfigMissing: ConfigMap c does not exist",
		"degraded":        "Progressing | Degraded: 1 of 2 pods serve",
		"retry said":      "Progressing | the operator has not acted on retry:shop-b:1 yet",
		"paused":          "Suspended | Paused: spec.paused is true",
	} {
		if got[name] != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got[name], want)
		}
	}
}

// An action is offered where the plugin would do it, and writes the same.
func TestArgoActions(t *testing.T) {
	for name, app := range argoApps() {
		t.Run(name, func(t *testing.T) {
			offered := runLua(t, "actions/discovery.lua", app)
			for verb, do := range map[string]func() (object, string, error){
				rollout.VerbPromote:     func() (object, string, error) { return promote(app, false) },
				rollout.VerbPromoteFull: func() (object, string, error) { return promote(app, true) },
				rollout.VerbAbort:       func() (object, string, error) { return abort(app, []past{anew}, false) },
				rollout.VerbRetry:       func() (object, string, error) { return retry(app) },
			} {
				changes, _, err := do()
				if disabled := member(offered, verb, "disabled"); disabled != lua.LBool(err != nil) {
					t.Errorf("%s: disabled is %v, and the plugin says: %v", verb, disabled, err)
				}
				if err != nil {
					continue
				}
				want := changes["metadata"].(object)["annotations"].(object)[naming.AnnotationAction]
				after := runLua(t, "actions/"+verb+"/action.lua", app)
				if got := member(after, "metadata", "annotations", naming.AnnotationAction).String(); got != want {
					t.Errorf("%s writes %q, the plugin %q", verb, got, want)
				}
			}
		})
	}
}

func TestArgoUndo(t *testing.T) {
	oneWay := func(app *v1alpha1.ScalableApp) {
		app.Spec.App.Migration = &v1alpha1.MigrationSpec{RollbackSafe: v1alpha1.RollbackSafeNo}
	}
	for name, c := range map[string]struct {
		app  *v1alpha1.ScalableApp
		want string // empty: not offered
	}{
		"a rollout": {canary(), "shop-b:shop-a"}, "after it": {held(), "shop-b:shop-a"}, "what failed": {givenUp(), "shop-b:shop-a"},
		"nothing before": {shop(), ""}, "the first": {firstRollout(), ""}, "unseen": {unseen(canary()), ""}, "deleted": {deleted(canary()), ""},
		"undone already": {changed(held(), func(app *v1alpha1.ScalableApp) { app.Status.Rollout.Undone = "shop-c" }), ""},
		"one way":        {changed(canary(), oneWay), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if disabled := member(runLua(t, "actions/discovery.lua", c.app), "undo", "disabled"); disabled != lua.LBool(c.want == "") {
				t.Fatalf("disabled is %v", disabled)
			}
			if c.want == "" {
				return
			}
			c.app.Annotations = map[string]string{"mine": "stays"}
			after := runLua(t, "actions/undo/action.lua", c.app)
			if got := member(after, "metadata", "annotations", naming.AnnotationUndo).String(); got != c.want {
				t.Errorf("it writes %q, want %q", got, c.want)
			}
			if got := member(after, "metadata", "annotations", "mine").String(); got != "stays" {
				t.Errorf("another annotation is %q", got)
			}
		})
	}
	forced := changed(canary(), oneWay)
	if disabled := member(runLua(t, "actions/discovery.lua", forced), rollout.VerbAbort, "disabled"); disabled != lua.LTrue {
		t.Error("abort is offered over a migration that is not rollbackSafe")
	}
}

// The patch of argocd-cm holds what the files hold. With -update it is written.
func TestArgoConfigMap(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(argocd, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	type m = map[string]any
	var definitions []m
	for _, name := range []string{rollout.VerbPromote, rollout.VerbPromoteFull, rollout.VerbAbort, rollout.VerbRetry, "undo"} {
		definitions = append(definitions, m{"name": name, "action.lua": read("actions/" + name + "/action.lua")})
	}
	folders, err := filepath.Glob(filepath.Join(argocd, "actions/*/action.lua"))
	if err != nil || len(folders) != len(definitions) {
		t.Errorf("there are %d actions, and %d are in the patch (%v)", len(folders), len(definitions), err)
	}
	actions, err := yaml.Marshal(m{"discovery.lua": read("actions/discovery.lua"), "definitions": definitions})
	if err != nil {
		t.Fatal(err)
	}
	kind := v1alpha1.GroupVersion.Group + "_ScalableApp"
	patch, err := yaml.Marshal(m{"apiVersion": "v1", "kind": "ConfigMap", "metadata": m{"name": "argocd-cm"}, "data": m{
		"resource.customizations.health." + kind:  read("health.lua"),
		"resource.customizations.actions." + kind: string(actions),
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := "# Made from the files beside it. docs/argocd.md says how to apply it.\n" + string(patch)
	file := filepath.Join(argocd, "argocd-cm.yaml")
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, read("argocd-cm.yaml")); diff != "" {
		t.Errorf("%s is out of date (run this test with -update):\n%s", file, diff)
	}
	if strings.Contains(want, "string.") {
		t.Error("Argo CD gives scripts no library of strings")
	}
}
