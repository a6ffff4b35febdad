package integration

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/apply"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/patroni"
	"github.com/scalableapp/scalableapp-operator/internal/plan"
)

// member is a database's member that answers, or not.
type member struct {
	*patroni.Client
	alive bool
}

func (m member) Alive(context.Context, string) bool { return m.alive }

// databaseWorld is a database of two members in a namespace of its own: shop-db-0 leads.
type databaseWorld struct {
	*testing.T
	client.Client
	app    *v1alpha1.ScalableApp
	leader *corev1.Pod
	record *corev1.ConfigMap
}

func newDatabaseWorld(t *testing.T) *databaseWorld {
	t.Helper()
	k8s, ns := newClient(t), namespace(t)
	w := &databaseWorld{T: t, Client: k8s, app: &v1alpha1.ScalableApp{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: ns}}}
	labels := map[string]string{naming.LabelRole: "primary"}
	w.leader = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "shop-db-0", Namespace: ns, Labels: labels},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: components.DatabaseContainer, Image: "i"}}}}
	w.must(k8s.Create(t.Context(), w.leader))
	w.record = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "shop-db-leader", Namespace: ns,
		Annotations: map[string]string{"leader": "shop-db-0", "renewTime": "r1"}}}
	w.must(k8s.Create(t.Context(), w.record))
	return w
}

func (w *databaseWorld) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// container sets what the kubelet says of the leader's container.
func (w *databaseWorld) container(state corev1.ContainerState) {
	w.Helper()
	w.leader.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: components.DatabaseContainer, State: state}}
	w.must(w.Status().Update(w.Context(), w.leader))
}

func (w *databaseWorld) renew(leader, renewed string) {
	w.Helper()
	w.record.Annotations["leader"], w.record.Annotations["renewTime"] = leader, renewed
	w.must(w.Update(w.Context(), w.record))
}

func (w *databaseWorld) act(alive bool, a action.Action) error {
	x := &apply.Executor{Client: w.Client, Live: w.Client, Patroni: member{alive: alive}}
	return x.Execute(w.Context(), w.app, plan.Plan{Actions: []action.Action{a}})
}

func (w *databaseWorld) leads() string {
	w.Helper()
	record := &corev1.ConfigMap{}
	w.must(w.Get(w.Context(), client.ObjectKeyFromObject(w.record), record))
	return record.Annotations["leader"]
}

// The leadership is taken only from the leader that was seen to have ended, or to be silent.
func TestReleaseLeader(t *testing.T) {
	t.Parallel()
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137}}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	for name, c := range map[string]struct {
		state          corev1.ContainerState
		silent, alive  bool
		gone, renewed  bool
		otherPod       bool
		taken, refused bool
	}{
		"its container has ended":                  {state: ended, taken: true},
		"its container runs again":                 {state: running, refused: true},
		"it renewed its record meanwhile":          {state: ended, renewed: true, refused: true},
		"its pod is another one meanwhile":         {state: ended, otherPod: true, refused: true},
		"its pod is gone":                          {gone: true, taken: true},
		"it is silent and does not answer":         {state: running, silent: true, taken: true},
		"it is silent, but answers: it lives":      {state: running, silent: true, alive: true},
		"it is silent, and its pod is another one": {state: running, silent: true, otherPod: true, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newDatabaseWorld(t)
			w.container(c.state)
			a := action.ReleaseLeader{Leader: "shop-db-0", Record: "shop-db-leader", Renewed: "r1", UID: w.leader.UID, Silent: c.silent}
			if c.otherPod {
				a.UID = "another"
			}
			if c.gone {
				w.must(w.Delete(t.Context(), w.leader, client.GracePeriodSeconds(0)))
			}
			if c.renewed {
				w.renew("shop-db-0", "r2")
			}
			err := w.act(c.alive, a)
			if refused := apierrors.IsConflict(err); refused != c.refused || (err != nil) != c.refused {
				t.Errorf("the action ended with %v, want a conflict: %t", err, c.refused)
			}
			if taken := w.leads() == ""; taken != c.taken {
				t.Errorf("the leadership was taken: %t, want %t", taken, c.taken)
			}
		})
	}
}

// A leader whose volume does not answer lives, and would take its record back: first its pod must be asked to end.
func TestReleaseLeaderWhoseVolumeHangs(t *testing.T) {
	t.Parallel()
	w := newDatabaseWorld(t)
	w.container(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})
	a := action.ReleaseLeader{Leader: "shop-db-0", Record: "shop-db-leader", Renewed: "r1", UID: w.leader.UID, Stuck: true}
	if err := w.act(true, a); !apierrors.IsConflict(err) || w.leads() != "shop-db-0" {
		t.Errorf("its pod was not asked to end: %v, %q leads", err, w.leads())
	}
	w.leader.Finalizers = []string{"test/its-processes-hang"}
	w.must(w.Update(t.Context(), w.leader))
	w.must(w.Delete(t.Context(), w.leader))
	defer func() {
		w.must(w.Get(context.Background(), client.ObjectKeyFromObject(w.leader), w.leader))
		w.leader.Finalizers = nil
		w.must(w.Update(context.Background(), w.leader))
	}()
	if err := w.act(true, a); err != nil || w.leads() != "" {
		t.Errorf("its pod was asked to end: %v, %q leads", err, w.leads())
	}
}

// The label of the primary is taken only off a pod that the record does not name.
func TestUnlabel(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		leader string
		taken  bool
	}{
		"another leads":                 {"shop-db-1", true},
		"it leads itself by now":        {"shop-db-0", false},
		"nobody leads: nothing is sure": {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newDatabaseWorld(t)
			w.renew(c.leader, "r2")
			err := w.act(false, action.Unlabel{Pod: "shop-db-0", UID: w.leader.UID, Leader: "shop-db-1"})
			if (err == nil) != c.taken {
				t.Errorf("the action ended with %v", err)
			}
			pod := &corev1.Pod{}
			w.must(w.Get(t.Context(), client.ObjectKeyFromObject(w.leader), pod))
			if _, labelled := pod.Labels[naming.LabelRole]; labelled == c.taken {
				t.Errorf("the pod carries the label: %t", labelled)
			}
		})
	}
}

// A pod that comes next under the same name is not deleted in the place of the one that was seen.
func TestDeletePodOfAnEarlierLife(t *testing.T) {
	t.Parallel()
	w := newDatabaseWorld(t)
	if err := w.act(false, action.DeletePod{Pod: "shop-db-0", UID: types.UID("earlier")}); !apierrors.IsConflict(err) {
		t.Errorf("the action ended with %v, want a conflict", err)
	}
	w.must(w.Get(t.Context(), client.ObjectKeyFromObject(w.leader), &corev1.Pod{}))
}

// A replica that has become the leader meanwhile is not restarted as a replica.
func TestDeletePodThatLeadsByNow(t *testing.T) {
	t.Parallel()
	w := newDatabaseWorld(t)
	a := action.DeletePod{Pod: "shop-db-0", UID: w.leader.UID, UnlessLeads: "shop-db-leader"}
	if err := w.act(false, a); !apierrors.IsConflict(err) {
		t.Errorf("the action ended with %v, want a conflict", err)
	}
	w.must(w.Get(t.Context(), client.ObjectKeyFromObject(w.leader), &corev1.Pod{}))
	w.renew("shop-db-1", "r2")
	w.must(w.act(false, a))
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(w.leader), &corev1.Pod{}); !apierrors.IsNotFound(err) {
		t.Errorf("a replica is still there: %v", err)
	}
}

// An old view never makes a volume smaller.
func TestGrowVolumeNeverShrinks(t *testing.T) {
	t.Parallel()
	w := newDatabaseWorld(t)
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data-shop-db-0", Namespace: w.app.Namespace},
		Spec: corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("2Gi")}}}}
	w.must(w.Create(t.Context(), claim))
	w.must(w.act(false, action.GrowVolume{Claim: claim.Name, Size: resource.MustParse("1Gi")}))
	w.must(w.Get(t.Context(), client.ObjectKeyFromObject(claim), claim))
	if now := claim.Spec.Resources.Requests[corev1.ResourceStorage]; now.String() != "2Gi" {
		t.Errorf("the claim asks for %s now", now.String())
	}
}

// A failover is not forced when somebody has come to lead since it was decided.
func TestForceFailoverLooksAgain(t *testing.T) {
	t.Parallel()
	w := newDatabaseWorld(t)
	w.renew("shop-db-1", "r2")
	err := w.act(false, action.ForceFailover{Pod: "shop-db-0", UID: w.leader.UID, Renewed: "r1"})
	if err == nil || !strings.Contains(err.Error(), "somebody leads by now") {
		t.Errorf("the error is %v", err)
	}
}

// What a pod was asked to have is written down once the API server has taken it, and not before.
func TestResizePod(t *testing.T) {
	t.Parallel()
	w := newDatabaseWorld(t)
	memory := func(request, limit string) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(request)},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(limit)},
		}
	}
	made := memory("256Mi", "512Mi")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "shop-db-1", Namespace: w.app.Namespace,
			Annotations: map[string]string{naming.AnnotationResources: components.AskedResources(made)}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: components.DatabaseContainer, Image: "i", Resources: made}}},
	}
	w.must(w.Create(t.Context(), pod))
	for _, c := range []struct {
		to, want corev1.ResourceRequirements
		refused  bool
	}{
		{memory("256Mi", "1Gi"), memory("256Mi", "1Gi"), false},
		{memory("2Gi", "1Gi"), memory("256Mi", "1Gi"), true},
	} {
		err := w.act(true, action.ResizePod{Pod: pod.Name, UID: pod.UID, Container: components.DatabaseContainer, Resources: c.to})
		if (err != nil) != c.refused {
			t.Errorf("to %v: %v", c.to, err)
		}
		w.must(w.Get(t.Context(), client.ObjectKeyFromObject(pod), pod))
		has, asked := components.AskedResources(pod.Spec.Containers[0].Resources), pod.Annotations[naming.AnnotationResources]
		if want := components.AskedResources(c.want); has != want || asked != want {
			t.Errorf("to %v: it has %s and was asked to have %s", c.to, has, asked)
		}
	}
}
