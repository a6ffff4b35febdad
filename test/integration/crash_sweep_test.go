package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

const whole = `
app:
  image: registry.example/shop:1.0.0
  replicas: 2
  migration: {command: [/shop, migrate]}
  envFrom: [{configMapRef: {name: settings}}]
database: {postgres: {instances: 2, storage: {size: 1Gi}}}
sessions: {store: Redis}
cache: {redis: {}}
`

// workload is what the sweep plays: an app with everything is made, and then gets a new version and an
// autoscaler and loses its cache.
func workload(s *stack) {
	s.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: s.namespace}, Data: map[string]string{"MODE": "fast"}})
	s.deploy(whole)
	s.settle()
	s.change(func(app *v1alpha1.ScalableApp) {
		app.Spec.App.Image = "registry.example/shop:1.1.0"
		app.Spec.Cache = nil
		app.Spec.Autoscaling = &v1alpha1.AutoscalingSpec{MinReplicas: 3, MaxReplicas: 5, CPUUtilizationPercent: new(int32(70))}
	})
	s.settle()
}

// The operator may die after any of its writes. The next one finds its way to the same end, whatever the
// first had done.
func TestCrashSweep(t *testing.T) {
	reference := newStack(t)
	workload(reference)
	reference.ready()
	want := reference.picture()
	total := len(reference.writes)
	if total < 50 || len(want) < 30 {
		t.Fatalf("%d writes and %d objects are no workload", total, len(want))
	}
	passed := make([]bool, total)
	t.Run("stop", func(t *testing.T) {
		for k := range total {
			t.Run(fmt.Sprintf("after write %d, %s", k, reference.writes[max(0, k-1)]), func(t *testing.T) {
				t.Parallel()
				s := newStack(t)
				s.limit = k
				workload(s)
				s.ready()
				if diff := cmp.Diff(want, s.picture()); diff != "" {
					t.Fatalf("the end is another (-undisturbed +stopped):\n%s\nwrites:\n%s", diff, strings.Join(s.writes, "\n"))
				}
				passed[k] = true
			})
		}
	})
	n := 0
	for _, ok := range passed {
		if ok {
			n++
		}
	}
	t.Logf("the operator was stopped after each of %d writes: %d of %d came to the same end", total, n, total)
}

// picture is everything that the operator is answerable for, without what differs from run to run:
// names of namespaces, uids, times, passwords and addresses.
func (s *stack) picture() map[string]string {
	s.Helper()
	out := map[string]string{}
	for i, object := range s.seen.now {
		switch {
		case i.kind.Kind == "Pod", i.kind.Kind == "PersistentVolumeClaim", !cached(object):
			continue
		}
		raw, err := json.Marshal(object)
		if err != nil {
			s.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(raw, &fields); err != nil {
			s.Fatal(err)
		}
		scrub(i.kind.Kind, fields)
		text, err := json.MarshalIndent(fields, "", " ")
		if err != nil {
			s.Fatal(err)
		}
		out[i.kind.Kind+"/"+i.key.Name] = strings.NewReplacer(s.namespace, "NAMESPACE", string(object.GetUID()), "UID").Replace(string(text))
	}
	return out
}

func scrub(kind string, fields map[string]any) {
	metadata := fields["metadata"].(map[string]any)
	for _, key := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"} {
		delete(metadata, key)
	}
	if owners, ok := metadata["ownerReferences"].([]any); ok {
		for _, owner := range owners {
			delete(owner.(map[string]any), "uid")
		}
	}
	if annotations, ok := metadata["annotations"].(map[string]any); ok {
		annotations[naming.AnnotationIntent] = "hash" // over the uid of the owner
	}
	spec, _ := fields["spec"].(map[string]any)
	switch kind {
	case "Service":
		delete(spec, "clusterIP")
		delete(spec, "clusterIPs")
	case "Secret":
		for key := range fields["data"].(map[string]any) {
			fields["data"].(map[string]any)[key] = "secret"
		}
	case "StatefulSet":
		template := spec["template"].(map[string]any)["metadata"].(map[string]any)
		delete(template, "annotations") // hashes over the configuration, which names the namespace
	}
	if kind != "ScalableApp" {
		delete(fields, "status")
		return
	}
	status := fields["status"].(map[string]any)
	for _, c := range status["conditions"].([]any) {
		delete(c.(map[string]any), "lastTransitionTime")
		delete(c.(map[string]any), "observedGeneration")
	}
	delete(status, "observedGeneration")
}
