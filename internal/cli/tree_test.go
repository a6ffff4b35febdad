package cli

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// shop is an app with everything, as it is when all is well.
func shop() *v1alpha1.ScalableApp {
	app := &v1alpha1.ScalableApp{}
	app.Namespace, app.Name, app.Generation = "eu", "shop", 3
	app.Spec.App.Image = "shop:1"
	app.Spec.Database = &v1alpha1.DatabaseSpec{Postgres: &v1alpha1.PostgresSpec{Instances: 2}}
	app.Spec.Sessions = &v1alpha1.SessionsSpec{Store: v1alpha1.SessionStoreRedis}
	app.Spec.Autoscaling = &v1alpha1.AutoscalingSpec{MinReplicas: 2, MaxReplicas: 6}
	app.Status = v1alpha1.ScalableAppStatus{
		ObservedGeneration: 3,
		App:                v1alpha1.AppStatus{Ready: "2/2"},
		Rollout: v1alpha1.RolloutStatus{
			Stage: v1alpha1.StageStable, Weight: new(int32(100)),
			Stable: &v1alpha1.RevisionStatus{Revision: "shop-a", Number: 1, Image: "shop:1", Replicas: 2, AvailableReplicas: 2},
		},
		Database: &v1alpha1.DatabaseStatus{Primary: "shop-db-0", Instances: 2, ReadyInstances: 2, Synchronous: []string{"shop-db-1"}},
		Endpoints: v1alpha1.EndpointsStatus{
			App: "shop.eu.svc:80", DatabaseReadWrite: "shop-db-rw.eu.svc:5432", DatabaseReadOnly: "shop-db-ro.eu.svc:5432",
		},
	}
	condition(app, v1alpha1.ConditionReady, true, v1alpha1.ReasonReady, "2 of 2 pods serve shop:1")
	condition(app, v1alpha1.ConditionDatabaseReady, true, v1alpha1.ReasonReady, "shop-db-0 takes writes, 2 of 2 instances are ready")
	condition(app, v1alpha1.ConditionAvailable, true, v1alpha1.ReasonReady, "2 of 2 pods serve")
	return app
}

// condition sets a condition.
func condition(app *v1alpha1.ScalableApp, kind string, ok bool, reason, message string) {
	value := metav1.ConditionFalse
	if ok {
		value = metav1.ConditionTrue
	}
	c := metav1.Condition{Type: kind, Status: value, Reason: reason, Message: message}
	for i := range app.Status.Conditions {
		if app.Status.Conditions[i].Type == kind {
			app.Status.Conditions[i] = c
			return
		}
	}
	app.Status.Conditions = append(app.Status.Conditions, c)
}

func pod(name string, ready bool, labels map[string]string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: corev1.PodSpec{NodeName: "n1"}}
	p.Status.Phase = corev1.PodRunning
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	return p
}

func appPod(app *v1alpha1.ScalableApp, revision string, i int, ready bool) *corev1.Pod {
	labels := naming.Selector(app, naming.ComponentApp)
	labels[naming.LabelRevision] = revision
	return pod(fmt.Sprintf("%s-%d", revision, i), ready, labels)
}

func deployment(revision string, replicas int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: revision, Labels: map[string]string{naming.LabelRevision: revision}},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas},
		Status:     appsv1.DeploymentStatus{Replicas: replicas},
	}
}

// around are the children of shop when all is well.
func around(app *v1alpha1.ScalableApp) *state.Observed {
	seen := &state.Observed{
		Deployments: []*appsv1.Deployment{deployment("shop-a", 2)},
		Pods:        []*corev1.Pod{appPod(app, "shop-a", 0, true), appPod(app, "shop-a", 1, true)},
		Autoscaler:  &autoscalingv2.HorizontalPodAutoscaler{Status: autoscalingv2.HorizontalPodAutoscalerStatus{DesiredReplicas: 2}},
	}
	for i, role := range []string{"primary", "replica"} {
		labels := naming.Selector(app, naming.ComponentDatabase)
		labels[naming.LabelRole] = role
		seen.Pods = append(seen.Pods, pod(fmt.Sprintf("shop-db-%d", i), true, labels))
	}
	seen.Pods = append(seen.Pods, pod("shop-sessions-0", true, naming.Selector(app, naming.ComponentSessions)))
	return seen
}

func TestTree(t *testing.T) {
	for name, change := range map[string]func(*sight){
		"ready": func(*sight) {},
		"new": func(s *sight) {
			s.app.Status = v1alpha1.ScalableAppStatus{ObservedGeneration: -1}
			s.seen = &state.Observed{}
		},
		"rolling out": func(s *sight) {
			r := &s.app.Status.Rollout
			r.Stage, r.Weight = v1alpha1.StageProgressing, new(int32(33))
			r.Candidate = &v1alpha1.RevisionStatus{Revision: "shop-b", Number: 2, Image: "shop:2"}
			condition(s.app, v1alpha1.ConditionReady, false, v1alpha1.ReasonRollingOut, "1 of 2 pods of shop-b serve")
			r.Message = "1 of 2 pods of shop-b serve"
			s.seen.Deployments = append(s.seen.Deployments, deployment("shop-b", 6))
			s.seen.Pods = append(s.seen.Pods, appPod(s.app, "shop-b", 0, true))
			for i := 1; i < 6; i++ {
				s.seen.Pods = append(s.seen.Pods, appPod(s.app, "shop-b", i, false))
			}
			crashing := s.seen.Pods[len(s.seen.Pods)-5]
			crashing.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", LastTerminationState: corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error", Message: "no such table"}}}}
		},
		"stalled while the database is degraded": func(s *sight) {
			condition(s.app, v1alpha1.ConditionReady, false, v1alpha1.ReasonImagePullFailed, "no progress for 10m0s: image shop:3 cannot be pulled")
			condition(s.app, v1alpha1.ConditionStalled, true, v1alpha1.ReasonImagePullFailed, "no progress for 10m0s: image shop:3 cannot be pulled")
			condition(s.app, v1alpha1.ConditionDatabaseReady, false, v1alpha1.ReasonDegraded, "shop-db-0 takes writes, but no standby is in step")
			condition(s.app, v1alpha1.ConditionAutoscalingReady, false, v1alpha1.ReasonUnavailable, "the HorizontalPodAutoscaler cannot act (FailedGetResourceMetric): no metrics")
			s.app.Status.Database.Synchronous = nil
			s.seen.Pods[3].Status = corev1.PodStatus{Phase: corev1.PodPending}
			s.seen.Pods[3].Spec.NodeName = ""
		},
		"undone, an old revision leaves": func(s *sight) {
			s.app.Status.Rollout.Message = "revision shop-b was undone: shop-a runs until spec.app changes or the annotation apps.scalableapp.dev/undo goes."
			s.app.Status.Rollout.Undone = "shop-b"
			leaving := deployment("shop-b", 1)
			s.seen.Deployments = append(s.seen.Deployments, leaving, deployment("shop-c", 0))
			s.seen.Pods = append(s.seen.Pods, appPod(s.app, "shop-b", 0, true))
			s.seen.Pods[len(s.seen.Pods)-1].DeletionTimestamp = new(metav1.Now())
		},
		"external database and little rights": func(s *sight) {
			s.app.Generation = 4
			s.app.Spec.Database = &v1alpha1.DatabaseSpec{External: &v1alpha1.ExternalDatabaseSpec{SecretName: "theirs"}}
			condition(s.app, v1alpha1.ConditionDatabaseReady, false, v1alpha1.ReasonSecretMissing, "Secret theirs does not exist; create it with a key uri")
			s.app.Status.Endpoints = v1alpha1.EndpointsStatus{App: "shop.eu.svc:80"}
			s.seen = &state.Observed{}
			s.hidden = []string{"pods", "deployments"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			app := shop()
			s := sight{app: app, seen: around(app)}
			change(&s)
			testkit.Golden(t, strings.NewReplacer(" ", "-", ",", "").Replace(name), tree(s, name == "ready"))
		})
	}
}

// A line that the terminal breaks by itself would move all that is drawn below it.
func TestScreen(t *testing.T) {
	got := screen("0123456789012345\nsecond\nthird\nfourth\n", 12, 5)
	want := "\x1b[H012345678901\x1b[K\n    2345\x1b[K\nsecond\x1b[K\n… 2 more lines\x1b[K\n\x1b[J"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.ScalableApp)
		text   string
		code   int
	}{
		"ready": {func(*v1alpha1.ScalableApp) {}, "shop is Ready: 2 of 2 pods serve shop:1.", ExitOK},
		"new": {func(app *v1alpha1.ScalableApp) { app.Status = v1alpha1.ScalableAppStatus{ObservedGeneration: -1} },
			"shop is new: the operator has not looked at it yet.", ExitProgressing},
		"changed": {func(app *v1alpha1.ScalableApp) { app.Generation++ },
			"shop was changed, and the operator has not seen it yet.", ExitProgressing},
		"undo not seen": {func(app *v1alpha1.ScalableApp) {
			app.Annotations = map[string]string{naming.AnnotationUndo: "shop-a:shop-0"}
		},
			"shop is to be taken back, and the operator has not seen it yet.", ExitProgressing},
		"undo of long ago": {func(app *v1alpha1.ScalableApp) {
			app.Annotations = map[string]string{naming.AnnotationUndo: "shop-9:shop-0"}
		},
			"shop is Ready: 2 of 2 pods serve shop:1.", ExitOK},
		"undone": {func(app *v1alpha1.ScalableApp) {
			app.Annotations = map[string]string{naming.AnnotationUndo: "shop-b:shop-a"}
			app.Status.Rollout.Message = "revision shop-b was undone: shop-a runs until spec.app changes."
			app.Status.Rollout.Undone = "shop-b"
		}, "shop is Ready: 2 of 2 pods serve shop:1. Revision shop-b, which the spec asks for, was undone.", ExitOK},
		"rolling out": {func(app *v1alpha1.ScalableApp) {
			condition(app, v1alpha1.ConditionReady, false, v1alpha1.ReasonRollingOut, "1 of 2 pods of shop-b serve")
			app.Status.Rollout.Candidate = &v1alpha1.RevisionStatus{Revision: "shop-b", Number: 2, Image: "shop:2"}
			app.Status.Rollout.Weight = new(int32(50))
		}, "shop is not ready yet (RollingOut): 1 of 2 pods of shop-b serve. Revision 2 (shop:2) is to take over from revision 1 (shop:1) and has 50% of the traffic.",
			ExitProgressing},
		"stalled": {func(app *v1alpha1.ScalableApp) {
			condition(app, v1alpha1.ConditionReady, false, v1alpha1.ReasonConfigMissing, "ConfigMap c does not exist; create it")
			condition(app, v1alpha1.ConditionStalled, true, v1alpha1.ReasonConfigMissing, "ConfigMap c does not exist; create it")
		}, "shop is Stalled (ConfigMissing): ConfigMap c does not exist; create it.", ExitStalled},
		"undo to what is not there": {func(app *v1alpha1.ScalableApp) {
			app.Annotations = map[string]string{naming.AnnotationUndo: "shop-a:shop-0"}
			condition(app, v1alpha1.ConditionReady, false, v1alpha1.ReasonInvalidSpec, "revision shop-0 is not in the history")
			condition(app, v1alpha1.ConditionStalled, true, v1alpha1.ReasonInvalidSpec, "revision shop-0 is not in the history")
		}, "shop is Stalled (InvalidSpec): revision shop-0 is not in the history.", ExitStalled},
		"deleted": {func(app *v1alpha1.ScalableApp) { app.DeletionTimestamp = new(metav1.Now()) }, "shop is being deleted.", ExitProgressing},
	} {
		t.Run(name, func(t *testing.T) {
			app := shop()
			c.change(app)
			text, code := verdict(app)
			if text != c.text || code != c.code {
				t.Errorf("got  %q, exit code %d\nwant %q, exit code %d", text, code, c.text, c.code)
			}
		})
	}
}
