package apply

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(raw, &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestSame(t *testing.T) {
	for name, c := range map[string]struct {
		want, have string
		same       bool
	}{
		"equal":                    {"spec: {a: x}", "spec: {a: x}", true},
		"another value":            {"spec: {a: x}", "spec: {a: y}", false},
		"missing":                  {"spec: {a: x}", "spec: {}", false},
		"missing altogether":       {"spec: {a: x}", "{}", false},
		"defaulted by the server":  {"spec: {a: x}", "spec: {a: x, b: 1, c: {d: e}}", true},
		"status is not compared":   {"spec: {a: x}", "{spec: {a: x}, status: {b: 1}}", true},
		"a map where a word stood": {"spec: {a: x}", "spec: {a: {b: c}}", false},
		"a word where a map stood": {"spec: {a: {b: c}}", "spec: {a: x}", false},
		"an empty map is nothing":  {"spec: {emptyDir: {}}", "spec: {}", true},
		"zero is not nothing":      {"spec: {replicas: 0}", "spec: {}", false},
		"false is not nothing":     {"spec: {a: false}", "spec: {}", false},

		"an env of somebody else":         {"env: [{name: A, value: a}]", "env: [{name: A, value: a}, {name: B, value: b}]", true},
		"an env of somebody else, before": {"env: [{name: A, value: a}]", "env: [{name: B, value: b}, {name: A, value: a}]", true},
		"an env that was changed":         {"env: [{name: A, value: a}]", "env: [{name: A, value: x}, {name: B, value: b}]", false},
		"an env that was removed":         {"env: [{name: A, value: a}, {name: B, value: b}]", "env: [{name: A, value: a}]", false},
		"all env removed":                 {"env: [{name: A, value: a}]", "{}", false},
		"a mount of somebody else":        {"m: [{mountPath: /a}]", "m: [{mountPath: /a}, {mountPath: /b}]", true},
		"an owner of somebody else":       {"m: [{uid: u}]", "m: [{uid: v}, {uid: u}]", true},
		"an argument more":                {"args: [a]", "args: [a, b]", false},
		"an argument less":                {"args: [a, b]", "args: [a]", false},
		"arguments in another order":      {"args: [a, b]", "args: [b, a]", false},
		"a toleration more":               {"t: [{key: a}]", "t: [{key: a}, {key: b}]", false},
		"defaults inside of a list":       {"ports: [{name: http, port: 80}]", "ports: [{name: http, port: 80, protocol: TCP}]", true},

		"a selector with a label more": {"spec: {selector: {a: x}}", "spec: {selector: {a: x, b: y}}", false},
		"a selector that is the same":  {"spec: {selector: {a: x}}", "spec: {selector: {a: x}}", true},
		"a selector of pods by labels": {"{selector: {matchLabels: {a: x}}}", "{selector: {matchLabels: {a: x}}}", true},
		"a destination more":           {"r: [{backendRefs: [{name: a}]}]", "r: [{backendRefs: [{name: a}, {name: b}]}]", false},
		"a destination with defaults":  {"r: [{backendRefs: [{name: a}]}]", "r: [{backendRefs: [{name: a, kind: Service}]}]", true},
		"a hostname more":              {"hostnames: [a]", "hostnames: [a, b]", false},
		"a Gateway of somebody else":   {"parentRefs: [{name: a}]", "parentRefs: [{name: a}, {name: b}]", false},

		"the hash of another intent": {
			"metadata: {annotations: {apps.scalableapp.dev/intent: new}}",
			"metadata: {annotations: {apps.scalableapp.dev/intent: old, other: x}}", false},
		"stringData that is stored":   {"stringData: {a: x}", "data: {a: eA==}", true},
		"stringData that is not":      {"stringData: {a: y}", "data: {a: eA==}", false},
		"stringData wins over data":   {"{data: {a: eQ==}, stringData: {a: x}}", "data: {a: eA==}", true},
		"a key in Secret's data more": {"stringData: {a: x}", "data: {a: eA==, b: eA==}", true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := same(parse(t, c.want), parse(t, c.have)); got != c.same {
				t.Errorf("same is %t, want %t", got, c.same)
			}
		})
	}
}

// The live object comes out of a typed struct, the intent out of JSON: numbers and quantities are
// written in different ways and are the same.
func TestSameAcrossTypes(t *testing.T) {
	live := &corev1.Container{Name: "app", Resources: corev1.ResourceRequirements{},
		StartupProbe: &corev1.Probe{PeriodSeconds: 3}}
	if err := yaml.Unmarshal([]byte("requests: {cpu: 1500m, memory: 1024Mi}"), &live.Resources); err != nil {
		t.Fatal(err)
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(live)
	if err != nil {
		t.Fatal(err)
	}
	requests := corev1.ResourceList{}
	if err := yaml.Unmarshal([]byte("{cpu: '1.5', memory: 1Gi}"), &requests); err != nil {
		t.Fatal(err)
	}
	intent, err := json.Marshal(corev1ac.Container().WithName("app").
		WithResources(corev1ac.ResourceRequirements().WithRequests(requests)).
		WithStartupProbe(corev1ac.Probe().WithPeriodSeconds(3)))
	if err != nil {
		t.Fatal(err)
	}
	if !same(parse(t, string(intent)), &unstructured.Unstructured{Object: fields}) {
		t.Errorf("%s\nis not the same as %v", intent, fields)
	}
}

// A field that is left out of the intent is noticed by the intent's hash alone, and the hash does not
// depend on anything else.
func TestIntentHash(t *testing.T) {
	object := func(labels map[string]string) components.Object {
		return components.Object{Intent: corev1ac.ConfigMap("c", "n").WithLabels(labels)}
	}
	hashOf := func(o components.Object) string {
		intent, err := intentOf(o)
		if err != nil {
			t.Fatal(err)
		}
		return intent.GetAnnotations()[naming.AnnotationIntent]
	}
	both := hashOf(object(map[string]string{"a": "1", "b": "2"}))
	if both == "" || both != hashOf(object(map[string]string{"b": "2", "a": "1"})) {
		t.Error("one intent has two hashes")
	}
	if both == hashOf(object(map[string]string{"a": "1"})) {
		t.Error("a label less, and the hash is the same")
	}
}

func TestSameLeavesTheIntentAlone(t *testing.T) {
	intent := parse(t, "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {a: x}}")
	before := intent.DeepCopy()
	same(intent, parse(t, "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: eA==}}"))
	if len(intent.Object) != len(before.Object) || intent.Object["stringData"] == nil || intent.GetKind() != "Secret" {
		t.Errorf("the intent that is to be sent is now %v", intent.Object)
	}
}

// What the API server stores otherwise than it is written is not written again and again; a false that it
// does store is missed when it is gone.
func TestSameStored(t *testing.T) {
	x := &Executor{Client: fake.NewClientBuilder().Build()}
	const head = "{apiVersion: v1, kind: Pod, spec: "
	for name, c := range map[string]struct {
		want, have string
		same       bool
	}{
		"an empty word":              {"{priorityClassName: ''}", "{}", true},
		"a false that is not stored": {"{hostNetwork: false}", "{}", true},
		"a false that is stored":     {"{automountServiceAccountToken: false}", "{}", false},
		"a zero that is stored":      {"{terminationGracePeriodSeconds: 0}", "{}", false},
		"a quantity":                 {"{overhead: {cpu: 1000m}}", "{overhead: {cpu: '1'}}", true},
		"in a list":                  {"{containers: [{name: a, tty: false}]}", "{containers: [{name: a, image: i}]}", true},
		"another value":              {"{nodeName: a}", "{nodeName: b}", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := x.sameStored(parse(t, head+c.want+"}"), parse(t, head+c.have+"}")); got != c.same {
				t.Errorf("the same: %t, want %t", got, c.same)
			}
		})
	}
}
