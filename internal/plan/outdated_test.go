package plan

import (
	"encoding/json"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

func (s *story) pod(name string) *corev1.Pod { return s.Children["Pod/"+name].(*corev1.Pod) }

// deletes are the pods that a plan deletes.
func deletes(p Plan) []string {
	var pods []string
	for _, a := range p.Actions {
		if a, ok := a.(action.DeletePod); ok {
			pods = append(pods, a.Pod)
		}
	}
	return pods
}

func resizes(p Plan) []string {
	var pods []string
	for _, a := range p.Actions {
		if a, ok := a.(action.ResizePod); ok {
			pods = append(pods, a.Pod)
		}
	}
	return pods
}

// resized is what becomes of a pod that is resized in place.
func (s *story) resized(p Plan) {
	for _, a := range p.Actions {
		if a, ok := a.(action.ResizePod); ok {
			pod := s.pod(a.Pod)
			pod.Spec = *pod.Spec.DeepCopy() // the template's else
			pod.Spec.Containers[0].Resources = a.Resources
			pod.Annotations[naming.AnnotationResources] = components.AskedResources(a.Resources)
		}
	}
}

func memoryOf(request, limit string) func(*v1alpha1.ScalableApp) {
	return func(app *v1alpha1.ScalableApp) {
		app.Spec.Database.Postgres.Resources = corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(request)},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(limit)},
		}
	}
}

// A LimitRange or a webhook gives every new pod what its template does not have, and another pod would get it again.
func TestWhatTheClusterAddsToAPodDeletesNone(t *testing.T) {
	s := newStory(t, tuned)
	s.play()
	admit := func() {
		for _, name := range []string{"shop-db-0", "shop-db-1"} {
			pod := s.pod(name)
			pod.Spec = *pod.Spec.DeepCopy()
			r := &pod.Spec.Containers[0].Resources
			r.Limits[corev1.ResourceCPU], r.Requests[corev1.ResourceCPU] = resource.MustParse("2"), resource.MustParse("150m")
			r.Limits[corev1.ResourceMemory] = resource.MustParse("1Gi")
		}
	}
	admit()
	if p := s.judged(nil); len(p.Actions) > 0 {
		t.Errorf("what the cluster's rules added is undone: %v", p.Actions)
	}
	s.say("a later operator has another template, and nothing that is worth a restart")
	s.Children["StatefulSet/shop-db"].(*appsv1.StatefulSet).Spec.Template.Labels["more"] = "x"
	if p := s.judged(nil); len(p.Actions) > 0 {
		t.Errorf("%v", p.Actions)
	}
	s.change(memoryOf("512Mi", "2Gi")) // a CPU request that goes takes a new pod, for each member one
	restarts, leader := 0, "shop-db-0"
	for range 12 {
		p := s.pass()
		for _, name := range deletes(p) {
			restarts++
			delete(s.Children, "Pod/"+name)
		}
		for _, a := range p.Actions {
			if a, ok := a.(action.Switchover); ok {
				leader = a.Candidate
			}
		}
		s.Turn()
		s.lead(leader)
		admit()
	}
	if p := s.judged(nil); restarts != 2 || len(p.Actions) > 0 {
		t.Errorf("%d restarts for a request that went from two pods, and then %v", restarts, p.Actions)
	}
}

// lead makes a member of two the primary.
func (s *story) lead(name string) {
	other := map[string]string{"shop-db-0": "shop-db-1", "shop-db-1": "shop-db-0"}[name]
	s.Children["ConfigMap/shop-db-leader"].SetAnnotations(map[string]string{"leader": name})
	s.Children["ConfigMap/shop-db-sync"].SetAnnotations(map[string]string{"leader": name, "sync_standby": other})
	for pod, role := range map[string]string{name: "primary", other: "replica"} {
		s.pod(pod).Labels[naming.LabelRole] = role
		s.pod(pod).Annotations["status"] = testkit.MemberStatus(role)
	}
}

// A new pod comes from the StatefulSet's template: while that is not as wanted, because the API server refuses it
// or has only just taken it, to delete one changes nothing.
func TestNoPodIsDeletedForATemplateThatIsNotThere(t *testing.T) {
	for name, away := range map[string]bool{"all are ready": false, "a replica is not ready": true} {
		s := newStory(t, tuned)
		s.play()
		if away {
			s.pod("shop-db-1").Status.Conditions = nil
		}
		s.config.Images.Postgres = "postgres:next"
		for range 3 { // the StatefulSet is refused in each pass
			p := s.judged(nil)
			if got := deletes(p); len(got) > 0 {
				t.Errorf("%s: %v are deleted, and come back as they were", name, got)
			}
			said := condition(p, v1alpha1.ConditionDatabaseReady)
			if !strings.Contains(said, "the image is postgres:next now, not postgres") || !strings.Contains(said, "its StatefulSet has not taken it up") {
				t.Errorf("%s: %s", name, said)
			}
		}
		s.pass() // now it is taken
		if got := deletes(s.judged(nil)); len(got) > 0 {
			t.Errorf("%s: %v are deleted before the StatefulSet's controller has looked", name, got)
		}
		s.Turn()
		if away {
			s.pod("shop-db-1").Status.Conditions = nil
		}
		if got := deletes(s.judged(nil)); len(got) != 1 || got[0] != "shop-db-1" {
			t.Errorf("%s: %v are deleted, want shop-db-1", name, got)
		}
	}
}

// A pod that was resized in place is no longer as the template that made it, though that is the template of now again.
func TestResizedThereAndBack(t *testing.T) {
	s := newStory(t, tuned)
	s.change(memoryOf("256Mi", "512Mi"))
	s.play()
	s.change(memoryOf("256Mi", "1Gi"))
	s.pass()
	s.Turn()
	for _, want := range []string{"shop-db-1", "shop-db-0"} {
		p := s.judged(nil)
		if got := resizes(p); len(got) != 1 || got[0] != want {
			t.Fatalf("%v are resized, want %s", got, want)
		}
		s.resized(p)
	}
	if p := s.judged(nil); len(p.Actions) > 0 {
		t.Errorf("all are resized, and then %v", p.Actions)
	}
	s.change(memoryOf("256Mi", "512Mi"))
	s.pass()
	s.Turn()
	if got := deletes(s.judged(nil)); len(got) != 1 || got[0] != "shop-db-1" {
		t.Errorf("less memory: %v are deleted, want shop-db-1", got)
	}
}

// Pods of an operator that did not write down what they were asked to have are held against what they have.
func TestResourcesOfAnOlderPod(t *testing.T) {
	s := newStory(t, tuned)
	s.play()
	for _, name := range []string{"shop-db-0", "shop-db-1"} {
		delete(s.pod(name).Annotations, naming.AnnotationResources)
		s.pod(name).Spec = *s.pod(name).Spec.DeepCopy()
		s.pod(name).Spec.Containers[0].Resources.Limits[corev1.ResourceCPU] = resource.MustParse("2")
	}
	if p := s.judged(nil); len(p.Actions) > 0 {
		t.Errorf("%v", p.Actions)
	}
	s.change(func(app *v1alpha1.ScalableApp) {
		app.Spec.Database.Postgres.Resources = components.DatabaseResources(app)
		app.Spec.Database.Postgres.Resources.Limits[corev1.ResourceMemory] = resource.MustParse("1Gi")
	})
	s.pass()
	s.Turn()
	if got := resizes(s.judged(nil)); len(got) != 1 || got[0] != "shop-db-1" {
		t.Errorf("%v are resized, want shop-db-1", got)
	}
}

func TestAskedResourcesAreRead(t *testing.T) {
	limits := corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1024Mi")}
	asked := components.AskedResources(corev1.ResourceRequirements{Limits: limits})
	var read corev1.ResourceRequirements
	if err := json.Unmarshal([]byte(asked), &read); err != nil || read.Limits.Memory().String() != "1Gi" {
		t.Errorf("%s: %v, %v", asked, read, err)
	}
}

func TestWhenTheDatabaseStarted(t *testing.T) {
	began := testkit.Born
	runs := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}}
	for name, c := range map[string]struct {
		statuses []corev1.ContainerStatus
		runs     bool
	}{
		"it is pending":     {},
		"it is made":        {statuses: []corev1.ContainerStatus{{Name: "postgres", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}}}},
		"it runs":           {statuses: []corev1.ContainerStatus{{Name: "pgbackrest", State: runs}, {Name: "postgres", State: runs}}, runs: true},
		"another one does":  {statuses: []corev1.ContainerStatus{{Name: "pgbackrest", State: runs}}},
		"it has only ended": {statuses: []corev1.ContainerStatus{{Name: "postgres", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}}},
	} {
		got := databaseStarted(&corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: c.statuses}})
		if got.Equal(began.Time) != c.runs || got.IsZero() == c.runs {
			t.Errorf("%s: %s", name, got)
		}
	}
}
