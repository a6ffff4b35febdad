package revision

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// everything is a spec that sets all there is.
const everything = `
app:
  image: registry.example/shop:1.4.2
  port: 9090
  command: [/shop]
  args: [serve, ""]
  env:
  - {name: MODE, value: fast}
  - {name: LEVEL, valueFrom: {configMapKeyRef: {name: levels, key: level}}}
  envFrom:
  - configMapRef: {name: settings}
  resources: {requests: {cpu: 1500m, memory: 1Gi}}
  imagePullSecrets: [{name: registry}]
  serviceAccountName: shop
  probes: {readiness: {path: /ready, periodSeconds: 3}}
  metrics: {path: /m, port: 9100}
  migration: {command: [/shop, migrate], timeoutSeconds: 60, rollbackSafe: "No"}
  podTemplate: {spec: {priorityClassName: high, tolerations: [{key: a, operator: Exists}]}}
database: {postgres: {storage: {size: 1Gi}}}
sessions: {store: Redis}
cache: {redis: {}}
`

var configs = map[string]*state.Config{
	"levels":   {Data: map[string]string{"level": "3"}},
	"settings": {Data: map[string]string{"A": "1", "B": ""}, BinaryData: map[string][]byte{"C": {0, 1}}},
}

// If this test fails, every user's app would be rolled by the next release of the operator. Do not
// change the hashes: change the code so that the specs that exist keep theirs. A field that gets a
// default needs its line in withDefaults and withoutDefaults.
func TestHashesNeverChange(t *testing.T) {
	for spec, want := range map[string]string{
		"app: {image: registry.example/shop:1.4.2}": "shop-vfgjtgg4tz",
		everything: "shop-nzgwvhbpc4",
	} {
		if got := of(t, spec, configs).Name; got != want {
			t.Errorf("%s\nis revision %s, and was %s when it was released", spec, got, want)
		}
	}
}

func TestWhatIsARevision(t *testing.T) {
	const plain = "app: {image: i"
	for name, c := range map[string]struct {
		a, b string
		same bool
	}{
		"defaults written out": {
			a:    plain + ", metrics: {}, migration: {command: [m]}}",
			b:    plain + `, port: 8080, metrics: {path: /metrics}, migration: {command: [m], timeoutSeconds: 300, rollbackSafe: "Yes"}}`,
			same: true,
		},
		"replicas":                           {a: plain + "}", b: plain + ", replicas: 7}", same: true},
		"empty and absent":                   {a: plain + "}", b: plain + ", env: [], args: [], resources: {limits: {}}, probes: {}}", same: true},
		"equal quantities":                   {a: plain + ", resources: {limits: {cpu: 1000m}}}", b: plain + ", resources: {limits: {cpu: '1'}}}", same: true},
		"order of envFrom":                   {a: plain + ", envFrom: [{configMapRef: {name: a}}, {configMapRef: {name: b}}]}", b: plain + ", envFrom: [{configMapRef: {name: b}}, {configMapRef: {name: a}}]}"},
		"settings of the rollout":            {a: plain + "}", b: plain + "}\nrollout: {progressDeadlineSeconds: 10}\npaused: true", same: true},
		"autoscaling":                        {a: plain + "}", b: plain + "}\nautoscaling: {maxReplicas: 3}", same: true},
		"size of the database":               {a: plain + "}\ndatabase: {postgres: {instances: 1}}", b: plain + "}\ndatabase: {postgres: {instances: 3}}", same: true},
		"order of keys":                      {a: "app: {image: i, port: 1, podTemplate: {a: 1, b: {c: 2, d: 3}}}", b: "app: {podTemplate: {b: {d: 3, c: 2}, a: 1}, port: 1, image: i}", same: true},
		"image":                              {a: plain + "}", b: "app: {image: j}"},
		"port":                               {a: plain + "}", b: plain + ", port: 8081}"},
		"an empty argument":                  {a: plain + "}", b: plain + `, args: [""]}`},
		"a database":                         {a: plain + "}", b: plain + "}\ndatabase: {postgres: {}}"},
		"another external database":          {a: plain + "}\ndatabase: {external: {secretName: a}}", b: plain + "}\ndatabase: {external: {secretName: b}}"},
		"a session store":                    {a: plain + "}", b: plain + "}\nsessions: {store: Redis}"},
		"metrics by default":                 {a: plain + "}", b: plain + ", metrics: {}}"},
		"a cache":                            {a: plain + "}", b: plain + "}\ncache: {redis: {}}"},
		"podTemplate {} is the user's":       {a: plain + "}", b: plain + ", podTemplate: {}}"},
		"null in podTemplate":                {a: plain + ", podTemplate: {spec: {}}}", b: plain + ", podTemplate: {spec: {affinity: null}}}"},
		"{} in podTemplate":                  {a: plain + ", podTemplate: {spec: {}}}", b: plain + ", podTemplate: {spec: {affinity: {}}}}"},
		"a large number":                     {a: plain + ", podTemplate: {a: 9007199254740993}}", b: plain + ", podTemplate: {a: 9007199254740992}}"},
		"whether a ConfigMap may be missing": {a: plain + ", envFrom: [{configMapRef: {name: x}}]}", b: plain + ", envFrom: [{configMapRef: {name: x, optional: true}}]}"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := of(t, c.a, nil), of(t, c.b, nil)
			if (a.Name == b.Name) != c.same {
				t.Errorf("%s and %s, want the same: %t\n%s\n%s", a.Name, b.Name, c.same, a.Data, b.Data)
			}
		})
	}
}

// A rotation of what the app is given is another revision; of what it is not given, none.
func TestRotationIsPartOfTheRevision(t *testing.T) {
	name := func(spec string, credentials ...v1alpha1.CredentialStatus) string {
		app := &v1alpha1.ScalableApp{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Status: v1alpha1.ScalableAppStatus{Credentials: credentials}}
		if err := yaml.UnmarshalStrict([]byte(spec), &app.Spec); err != nil {
			t.Fatal(err)
		}
		r, err := Of(app, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.Name
	}
	const spec = "app: {image: i}\ndatabase: {postgres: {}}"
	never := name(spec)
	one := name(spec, v1alpha1.CredentialStatus{Name: "app", TakenToken: "1"})
	if never != name(spec, v1alpha1.CredentialStatus{Name: "app", Token: "1"}) || never != name(spec, v1alpha1.CredentialStatus{Name: "cache", TakenToken: "1"}) {
		t.Error("a rotation that no pod has taken up changes the revision")
	}
	if one == never || one == name(spec, v1alpha1.CredentialStatus{Name: "app", TakenToken: "2"}) {
		t.Error("a rotation does not change the revision")
	}
}

// The content of the ConfigMaps that the app refers to is part of the revision.
func TestConfigIsPartOfTheRevision(t *testing.T) {
	name := func(change func(map[string]*state.Config)) string {
		have := map[string]*state.Config{}
		for key, c := range configs {
			have[key] = &state.Config{Data: c.Data, BinaryData: c.BinaryData}
		}
		change(have)
		return of(t, everything, have).Name
	}
	base := name(func(map[string]*state.Config) {})
	for what, changed := range map[string]string{
		"a value":     name(func(c map[string]*state.Config) { c["levels"].Data = map[string]string{"level": "4"} }),
		"a key":       name(func(c map[string]*state.Config) { c["levels"].Data = map[string]string{"level": "3", "more": ""} }),
		"binary data": name(func(c map[string]*state.Config) { c["settings"].BinaryData = nil }),
		"its absence": name(func(c map[string]*state.Config) { delete(c, "levels") }),
	} {
		if changed == base {
			t.Errorf("%s of a ConfigMap does not change the revision", what)
		}
	}
	if name(func(c map[string]*state.Config) { c["unrelated"] = &state.Config{Data: map[string]string{"x": "y"}} }) != base {
		t.Error("a ConfigMap that the app does not refer to changes the revision")
	}
	if name(func(c map[string]*state.Config) { c["levels"].BinaryData = map[string][]byte{} }) != base {
		t.Error("empty and absent binary data are different revisions")
	}
}

// Of, Record and Stored are one circle: what went in comes out again, with the same hash.
func TestRoundTrip(t *testing.T) {
	for name, spec := range map[string]string{"smallest": "app: {image: i, metrics: {}, migration: {command: [m]}}", "everything": everything} {
		t.Run(name, func(t *testing.T) {
			want := of(t, spec, configs)
			want.Template = []byte(`{"spec":{"x":1}}`)
			raw, err := want.Record()
			if err != nil {
				t.Fatal(err)
			}
			got, err := Stored(&appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: want.Name}, Data: runtime.RawExtension{Raw: raw}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-Of +Stored:\n%s", diff)
			}
			if name := "shop-" + hash(got.Data); name != want.Name {
				t.Errorf("the stored inputs hash to %s, want %s", name, want.Name)
			}
			if *got.Inputs.App.Port == 0 || got.Inputs.App.Metrics.Path == "" || got.Inputs.App.Migration.RollbackSafe == "" {
				t.Errorf("defaults are missing: %+v", got.Inputs.App)
			}
		})
	}
}

func TestStoredRefusesWhatItDoesNotKnow(t *testing.T) {
	for raw, want := range map[string]string{
		`{"format":2,"app":{"image":"i"}}`: "knows only format 1",
		`{"app":{"image":"i"}}`:            "format 0",
		`no json`:                          "cannot be read",
	} {
		_, err := Stored(&appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: "shop-x"}, Data: runtime.RawExtension{Raw: []byte(raw)}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "shop-x") {
			t.Errorf("%s: %v, want an error that names shop-x and says %q", raw, err, want)
		}
	}
}

func TestConfigNames(t *testing.T) {
	spec := &parse(t, `app: {image: i,
	  envFrom: [{configMapRef: {name: b}}, {secretRef: {name: s}}, {configMapRef: {name: c, optional: true}}],
	  env: [{name: A, valueFrom: {configMapKeyRef: {name: a, key: k}}}, {name: B, valueFrom: {configMapKeyRef: {name: b, key: k}}}]}`).Spec.App
	if diff := cmp.Diff([]string{"a", "b", "c"}, ConfigNames(spec)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a"}, MissingConfig(spec, map[string]*state.Config{"b": {}})); diff != "" {
		t.Errorf("only a is missing and not optional: %s", diff)
	}
}

// References lead to the revision's own copies; what was not there when it was made stays as it is.
func TestReferencesLeadToTheCopies(t *testing.T) {
	r := of(t, everything, map[string]*state.Config{"settings": configs["settings"]})
	app := r.AppSpec(func(i int) string { return "copy-" + string(rune('0'+i)) })
	if got := app.EnvFrom[0].ConfigMapRef.Name; got != "copy-0" {
		t.Errorf("settings is read from %s", got)
	}
	if got := app.Env[1].ValueFrom.ConfigMapKeyRef.Name; got != "levels" {
		t.Errorf("levels is read from %s", got)
	}
	if r.Inputs.App.EnvFrom[0].ConfigMapRef.Name != "settings" {
		t.Error("the revision itself was changed")
	}
}

func TestNumber(t *testing.T) {
	known := []*appsv1.ControllerRevision{{Revision: 3}, {Revision: 1}}
	status := v1alpha1.RolloutStatus{Candidate: &v1alpha1.RevisionStatus{Number: 5}, Stable: &v1alpha1.RevisionStatus{Number: 4}}
	none := v1alpha1.RolloutStatus{}
	for want, got := range map[int64]int64{1: Number(nil, none), 4: Number(known, none), 6: Number(known, status)} {
		if got != want {
			t.Errorf("number %d, want %d", got, want)
		}
	}
}

func of(t *testing.T, spec string, config map[string]*state.Config) Revision {
	t.Helper()
	app := parse(t, spec)
	before := app.DeepCopy()
	r, err := Of(app, config)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, app); diff != "" {
		t.Errorf("Of changes the app, which belongs to the cache:\n%s", diff)
	}
	return r
}

func parse(t *testing.T, spec string) *v1alpha1.ScalableApp {
	t.Helper()
	app := &v1alpha1.ScalableApp{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "prod"}}
	if err := yaml.UnmarshalStrict([]byte(strings.ReplaceAll(spec, "\t", "")), &app.Spec); err != nil {
		t.Fatalf("%v in:\n%s", err, spec)
	}
	return app
}
