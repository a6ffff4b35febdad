package integration

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

const alone = `app: {image: "registry.example/shop:1.0.0", replicas: 3}`

// Everything that the operator applies is, for its own eyes, as it wants it: once an app is at rest, and
// whatever the API server made of the intents, a pass writes nothing.
func TestAtRestNothingIsWritten(t *testing.T) {
	t.Parallel()
	for name, spec := range map[string]string{
		"smallest": "app: {image: i}",
		"whole":    whole,
		"every field of the app": `
app:
  image: i
  port: 9090
  command: [/shop]
  args: [serve, ""]
  env: [{name: MODE, value: fast}, {name: EMPTY, value: ""}, {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}, {name: PORT, value: "1"}]
  envFrom: [{secretRef: {name: s, optional: true}}, {configMapRef: {name: settings}, prefix: P_}]
  resources: {requests: {cpu: 1500m, memory: 1024Mi}, limits: {cpu: "2"}}
  imagePullSecrets: [{name: registry}]
  serviceAccountName: shop
  probes: {startup: {path: /s}, readiness: {path: /r, periodSeconds: 3}, liveness: {path: /l, failureThreshold: 9}}
  metrics: {port: 9100}
  podTemplate:
    metadata: {annotations: {a: b}}
    spec:
      priorityClassName: ""
      tolerations: [{key: a, operator: Exists}]
      affinity: {}
      volumes: [{name: tmp, emptyDir: {sizeLimit: 1024Mi}}]
      containers: [{name: app, volumeMounts: [{name: tmp, mountPath: /tmp}]}, {name: side, image: side, resources: {limits: {cpu: 1000m}}}]
autoscaling:
  maxReplicas: 5
  cpuUtilizationPercent: 70
  memoryUtilizationPercent: 80
  behavior: {scaleDown: {stabilizationWindowSeconds: 60}}
networkPolicy: Disabled
`,
		"durable database":   "app: {image: i}\ndatabase: {postgres: {instances: 3, durability: Required, storage: {size: 1024Mi}, parameters: {work_mem: 8MB}, resources: {limits: {memory: 2048Mi}}}}",
		"sessions in memory": "app: {image: i}\nsessions: {redis: {members: 1, memory: 128Mi, persistence: Disabled}}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: s.namespace}, Data: map[string]string{"A": "a", "B": ""}, BinaryData: map[string][]byte{"C": {0}}})
			s.deploy(spec)
			s.settle()
			s.ready()
			if len(s.writes) < 8 {
				t.Fatalf("only %d writes were needed: %v", len(s.writes), s.writes)
			}
			seen := map[string]bool{}
			for _, write := range s.writes {
				if verb, what, _ := strings.Cut(write, " "); verb == "create" && seen[what] {
					t.Errorf("%s is made twice", what)
				}
				seen[write[strings.LastIndex(write, " ")+1:]] = true
			}
			s.restart() // not even an operator that remembers nothing
			before := len(s.writes)
			for range 2 {
				if _, err := s.pass(); err != nil {
					t.Fatal(err)
				}
			}
			if len(s.writes) != before {
				t.Errorf("at rest it writes %v", s.writes[before:])
			}
		})
	}
}

// Each object is applied no more often than there is a reason to. That a revision was rolled out in full is
// noted in its record afterwards.
func TestFirstRolloutWritesNoObjectTwice(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.deploy(alone)
	s.settle()
	s.ready()
	applied := map[string]int{}
	for _, write := range s.writes {
		if !strings.HasPrefix(write, "patch status") {
			applied[write]++
		}
	}
	record := "apply ControllerRevision/" + revisionOf(s)
	if applied[record] != 2 {
		t.Errorf("the record is written %d times", applied[record])
	}
	for write, n := range applied {
		if n > 1 && write != record {
			t.Errorf("%d times: %s", n, write)
		}
	}
}

func TestEventsTellTheStoryOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.deploy(alone)
	s.settle()
	first := revisionOf(s)
	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.App.Image = "registry.example/shop:1.1.0" })
	s.settle()
	second := revisionOf(s)
	want := []string{
		"Normal RolloutStarted: revision " + first + " (registry.example/shop:1.0.0) is to take over from nothing",
		"Normal RolloutCompleted: revision " + first + " (registry.example/shop:1.0.0) serves; before it served nothing",
		"Normal Ready: 3 of 3 pods serve registry.example/shop:1.0.0",
		"Normal Available: 3 of 3 pods serve",
		"Normal RolloutStarted: revision " + second + " (registry.example/shop:1.1.0) is to take over from " + first,
		"Warning NotReady: RollingOut: 0 of 3 pods of " + second + " serve",
		"Normal RolloutCompleted: revision " + second + " (registry.example/shop:1.1.0) serves; before it served " + first,
		"Normal Ready: 3 of 3 pods serve registry.example/shop:1.1.0",
	}
	if diff := cmp.Diff(want, s.events); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func revisionOf(s *stack) string {
	s.Helper()
	if stable := s.app().Status.Rollout.Stable; stable != nil {
		return stable.Revision
	}
	s.Fatal("there is no stable revision")
	return ""
}

// What somebody changes by hand in a field of the operator's is put right, once; what is not the
// operator's is left alone.
func TestDriftIsRepairedOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.deploy(alone)
	s.settle()
	revision := revisionOf(s)
	deployment := all[appsv1.Deployment](s.seen)[0]
	container := &deployment.Spec.Template.Spec.Containers[0]
	container.Image = "evil"
	container.Env = append(container.Env, corev1.EnvVar{Name: "MORE", Value: "x"})
	deployment.Spec.Replicas = new(int32(1))
	deployment.Labels["mine"] = "yes"
	s.update(deployment)
	before := len(s.writes)
	s.settle()
	wantWrites(t, s.writes[before:], "apply Deployment/"+revision)
	got := all[appsv1.Deployment](s.seen)[0]
	if image := got.Spec.Template.Spec.Containers[0].Image; image != "registry.example/shop:1.0.0" || *got.Spec.Replicas != 3 {
		t.Errorf("it runs %d pods of %s", *got.Spec.Replicas, image)
	}
	if got.Labels["mine"] != "yes" || !slices.ContainsFunc(got.Spec.Template.Spec.Containers[0].Env, func(e corev1.EnvVar) bool { return e.Name == "MORE" }) {
		t.Error("what somebody else added is gone")
	}

	service := all[corev1.Service](s.seen)[0]
	s.delete(service)
	before = len(s.writes)
	s.settle()
	wantWrites(t, s.writes[before:], "apply Service/shop")
}

// wantWrites compares writes without those of status.
func wantWrites(t *testing.T, writes []string, want ...string) {
	t.Helper()
	got := slices.DeleteFunc(slices.Clone(writes), func(w string) bool { return strings.HasPrefix(w, "patch status") })
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// An object of that name that belongs to somebody else is not touched. Status and one event say so until
// it is out of the way.
func TestForeignObjectIsRefused(t *testing.T) {
	t.Parallel()
	owner := metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "theirs", UID: types.UID("u"), Controller: new(true)}
	for name, foreign := range map[string]client.Object{
		"without our label": &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 7}}}},
		"with our labels, but of somebody else": &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{owner},
				Labels: map[string]string{naming.LabelManagedBy: naming.ManagedBy, naming.LabelInstance: "shop"}},
			Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 7}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			foreign.SetNamespace(s.namespace)
			foreign.SetName("shop")
			s.create(foreign)
			version := foreign.GetResourceVersion()
			s.deploy(alone)
			for range 12 { // long enough for all else to be made
				if _, err := s.pass(); err == nil || !strings.Contains(err.Error(), "Service shop exists and belongs to") {
					t.Fatalf("the pass ended with %v", err)
				}
				s.turn()
			}
			status := s.app().Status
			stalled := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionStalled)
			if stalled == nil || stalled.Reason != v1alpha1.ReasonNameConflict {
				t.Errorf("the conditions do not tell: %v", status.Conditions)
			}
			if status.App.ReadyReplicas != 3 {
				t.Errorf("one object held up all others: %d pods serve", status.App.ReadyReplicas)
			}
			writes := len(s.writes)
			for range 3 {
				_, _ = s.pass()
			}
			if len(s.writes) != writes {
				t.Errorf("it writes in every pass: %v", s.writes[writes:])
			}
			told := map[string]int{}
			for _, event := range s.events {
				told[event]++
			}
			for event, n := range told {
				if n > 1 {
					t.Errorf("%d times: %s", n, event)
				}
			}
			live := &corev1.Service{}
			if err := s.api.Get(s.ctx, s.key("shop"), live); err != nil || live.ResourceVersion != version {
				t.Errorf("it was touched: %v", err)
			}

			s.delete(s.seen.now[id{corev1.SchemeGroupVersion.WithKind("Service"), s.key("shop")}])
			s.settle()
			s.ready()
		})
	}
}

// The history keeps what can be gone back to; what nobody can reach is deleted, and nothing else.
func TestHistory(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.deploy(alone + "\nrollout: {revisionHistoryLimit: 1}")
	s.settle()
	var names []string
	for _, image := range []string{"a", "b", "c"} {
		s.change(func(app *v1alpha1.ScalableApp) { app.Spec.App.Image = image })
		s.settle()
		names = append(names, revisionOf(s))
	}
	kinds := map[string]int{}
	for _, r := range all[appsv1.ControllerRevision](s.seen) {
		kinds[r.Name]++
	}
	if got, want := slices.Sorted(maps.Keys(kinds)), slices.Sorted(slices.Values(names[1:])); !slices.Equal(got, want) {
		t.Errorf("the history is %v, want %v", got, want)
	}
	if n := len(all[appsv1.Deployment](s.seen)); n != 1 {
		t.Errorf("%d Deployments are left", n)
	}

	s.change(func(app *v1alpha1.ScalableApp) {
		metav1.SetMetaDataAnnotation(&app.ObjectMeta, naming.AnnotationUndo, names[2]+":"+names[1])
	})
	s.settle()
	if got := revisionOf(s); got != names[1] {
		t.Errorf("undone to %s, want %s", got, names[1])
	}
	if image := all[appsv1.Deployment](s.seen)[0].Spec.Template.Spec.Containers[0].Image; image != "b" {
		t.Errorf("it runs image %s", image)
	}
	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.App.Image = "d" })
	s.settle()
	if image := all[appsv1.Deployment](s.seen)[0].Spec.Template.Spec.Containers[0].Image; image != "d" {
		t.Errorf("a new version does not end the undo: it runs image %s", image)
	}
}
