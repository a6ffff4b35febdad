package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
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
sessions: {store: Redis, redis: {members: 1}}
cache: {redis: {}}
`

// wholeWorkload is an app with everything that is made, and then gets a new version and an autoscaler and
// loses its cache.
var wholeWorkload = []act{
	func(s *stack) {
		s.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: s.namespace}, Data: map[string]string{"MODE": "fast"}})
		s.deploy(whole)
		s.settle()
		s.ready()
	},
	func(s *stack) {
		s.change(func(app *v1alpha1.ScalableApp) {
			app.Spec.App.Image = "registry.example/shop:1.1.0"
			app.Spec.Cache = nil
			app.Spec.Autoscaling = &v1alpha1.AutoscalingSpec{MinReplicas: 3, MaxReplicas: 5, CPUUtilizationPercent: new(int32(70))}
		})
		s.settle()
		s.ready()
	},
}

// act is a part of a workload; at its end the app is at rest.
type act func(*stack)

func workload(s *stack) {
	for _, act := range wholeWorkload {
		act(s)
	}
}

// The operator may die after any of its writes. The next one finds its way to the same end, whatever the
// first had done.
func TestCrashSweep(t *testing.T) {
	t.Parallel()
	sweep(t, wholeWorkload, sweepOf{every: 1, atLeast: 50, begin: newStack})
}

// The same of each way in which a revision takes over. The suite stops after one write in four, of each way
// after others; make crash-sweep stops after every one.
func TestCrashSweepOfCutovers(t *testing.T) {
	t.Parallel()
	for _, c := range cutovers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for name, acts := range c.stories() {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					of := sweepOf{skip: 1, every: 4, offset: len(c.name) + len(name), atLeast: 12, begin: c.newStack}
					if name == "success" {
						of.skip = 0 // else how the app is made was swept already
					}
					if os.Getenv("CRASH_SWEEP") == "all" {
						of.every = 1
					}
					sweep(t, acts, of)
				})
			}
		})
	}
}

// sweepOf says what of a workload is swept.
type sweepOf struct {
	// skip is the number of acts at the beginning after whose writes nobody dies.
	skip int
	// every is how many writes there are from one death to the next, offset where the first is.
	every, offset int
	// atLeast is the number of writes without which it is no workload.
	atLeast int
	begin   func(testing.TB) *stack
}

// sweep plays a workload once undisturbed, and then once for each write of those that are swept, after which
// the operator dies. At the end of the act in which it died everything must be as it was undisturbed.
func sweep(t *testing.T, acts []act, of sweepOf) {
	reference := of.begin(t)
	var ends []int
	var want []map[string]string
	for _, act := range acts {
		act(reference)
		ends, want = append(ends, len(reference.writes)), append(want, reference.picture())
	}
	writes, first := reference.writes, 0
	if of.skip > 0 {
		first = ends[of.skip-1]
	}
	total := len(writes) - first
	if total < of.atLeast {
		t.Fatalf("%d writes are no workload", total)
	}
	var equal, stops atomic.Int32
	t.Run("stop", func(t *testing.T) {
		for k := first + of.offset%of.every; k < len(writes); k += of.every {
			stops.Add(1)
			t.Run(fmt.Sprintf("after write %d, %s", k, writes[max(0, k-1)]), func(t *testing.T) {
				t.Parallel()
				s := of.begin(t)
				s.limit = k
				last := slices.IndexFunc(ends, func(end int) bool { return k < end })
				for _, act := range acts[:last+1] {
					act(s)
				}
				if diff := cmp.Diff(want[last], s.picture()); diff != "" {
					t.Fatalf("the end of act %d is another (-undisturbed +stopped):\n%s\nwrites:\n%s", last+1, diff, strings.Join(s.writes, "\n"))
				}
				if s.deaths != 1 {
					t.Fatalf("the operator died %d times", s.deaths)
				}
				equal.Add(1)
			})
		}
	})
	t.Logf("the operator was stopped after %d of %d writes: %d of %d came to the same end", stops.Load(), total, equal.Load(), stops.Load())
}

// picture is everything that the operator is answerable for, without what differs from run to run:
// names of namespaces, uids, times, passwords and addresses.
func (s *stack) picture() map[string]string {
	s.Helper()
	out := map[string]string{}
	for i, object := range s.seen.now {
		switch {
		case i.kind.Kind == "Pod", i.kind.Kind == "EndpointSlice", i.kind.Kind == "PersistentVolumeClaim", !cached(object):
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
	timeless(status["rollout"])
	for _, c := range status["conditions"].([]any) {
		delete(c.(map[string]any), "lastTransitionTime")
		delete(c.(map[string]any), "observedGeneration")
	}
	delete(status, "observedGeneration")
}

// timeless puts one word for all times. That there is one stays to be seen.
func timeless(value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, part := range v {
			if _, isText := part.(string); isText && (key == "time" || strings.HasSuffix(key, "Time")) {
				v[key] = "TIME"
			}
			timeless(part)
		}
	case []any:
		for _, part := range v {
			timeless(part)
		}
	}
}
