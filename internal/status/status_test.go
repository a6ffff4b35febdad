package status

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rollout"
	"github.com/scalableapp/scalableapp-operator/internal/state"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// stable is an input whose app is rolled out and of whose 3 pods n serve.
func stable(t *testing.T, n int) Input {
	app := testkit.App(t, testkit.Small)
	seen := &state.Observed{Now: testkit.Born.Add(time.Hour)}
	for i := range 3 {
		pod := testkit.Pod(app, naming.ComponentApp, "shop-"+string(rune('a'+i)))
		if i < n {
			testkit.Serve(pod)
		}
		seen.Pods = append(seen.Pods, pod)
	}
	lead(app, seen, naming.Service(app), naming.Selector(app, naming.ComponentApp))
	return Input{App: app, Observed: seen, Desired: 3, Rollout: rollout.Decision{
		Status: v1alpha1.RolloutStatus{Stage: v1alpha1.StageStable}, Reason: v1alpha1.ReasonReady}}
}

// lead makes a Service that selects, with its EndpointSlice, or leads it elsewhere.
func lead(app *v1alpha1.ScalableApp, seen *state.Observed, name string, selector map[string]string) {
	service := seen.Service(name)
	if service == nil {
		service = &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: naming.Labels(app, naming.ComponentApp)}}
		seen.Services = append(seen.Services, service)
		state.SortByName(seen.Services)
	}
	service.Spec.Selector = selector
	slice := testkit.Slice(name, service.Labels)
	for _, pod := range seen.PodsWith(selector) {
		testkit.AddEndpoint(slice, pod)
	}
	seen.Slices = slices.DeleteFunc(seen.Slices, func(s *discoveryv1.EndpointSlice) bool { return s.Name == name })
	seen.Slices = append(seen.Slices, slice)
}

func rolling(in Input, stage, reason, message string, stalled bool) Input {
	in.Rollout = rollout.Decision{Status: v1alpha1.RolloutStatus{Stage: stage, Message: message}, Reason: reason, Stalled: stalled}
	return in
}

func text(c *metav1.Condition) string {
	if c == nil {
		return "none"
	}
	return string(c.Status) + " " + c.Reason + ": " + c.Message
}

func TestReadyAndAvailable(t *testing.T) {
	paused := rolling(stable(t, 3), v1alpha1.StagePaused, v1alpha1.ReasonPaused, "spec.paused is true: nothing is changed; shop-b is to serve", false)
	paused.App.Spec.Paused = new(true)
	crash := stable(t, 2)
	crash.Observed.Pods[2].Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: ended(1, "Error", "boom")}
	external := stable(t, 3)
	external.App.Spec.Database = &v1alpha1.DatabaseSpec{External: &v1alpha1.ExternalDatabaseSpec{SecretName: "db"}}
	waitsToo := rolling(external, v1alpha1.StageProgressing, v1alpha1.ReasonRollingOut, "rolling out", false)
	zero := stable(t, 0)
	zero.Desired = 0

	for name, c := range map[string]struct {
		in                Input
		ready, available  string
		kstatus, lastWord string
	}{
		"all serve": {in: stable(t, 3), kstatus: "Current",
			ready: "True Ready: 3 of 3 pods serve registry.example/shop:1.0.0", available: "True Ready: 3 of 3 pods serve"},
		"scaled to zero": {in: zero, kstatus: "Current",
			ready: "True Ready: 0 of 0 pods serve registry.example/shop:1.0.0", available: "True Ready: 0 of 0 pods serve"},
		"one is missing": {in: stable(t, 2), kstatus: "InProgress",
			ready: "False Degraded: 2 of 3 pods serve", available: "True Degraded: 2 of 3 pods serve"},
		"one crashes": {in: crash, kstatus: "InProgress",
			ready:     "False Degraded: 2 of 3 pods serve: pod shop-c: container app ends with exit code 1 (Error): boom",
			available: "True Degraded: 2 of 3 pods serve"},
		"none serves": {in: stable(t, 0), kstatus: "InProgress",
			ready: "False Degraded: 0 of 3 pods serve", available: "False Unavailable: no pod serves, 3 are wanted"},
		"rolling out": {in: rolling(stable(t, 3), v1alpha1.StageProgressing, v1alpha1.ReasonRollingOut, "1 of 3 pods of shop-b serve", false), kstatus: "InProgress",
			ready: "False RollingOut: 1 of 3 pods of shop-b serve", available: "True Ready: 3 of 3 pods serve"},
		"rollout failed": {in: rolling(stable(t, 3), v1alpha1.StageFailed, v1alpha1.ReasonImagePullFailed, "no progress", true), kstatus: "Failed",
			ready: "False ImagePullFailed: no progress", available: "True Ready: 3 of 3 pods serve"},
		"paused midway": {in: paused, kstatus: "InProgress",
			ready:     "False Paused: spec.paused is true: nothing is changed; shop-b is to serve",
			available: "True Ready: 3 of 3 pods serve"},
		"the database's Secret is missing": {in: external, kstatus: "Failed",
			ready:     "False SecretMissing: Secret db (database.external.secretName) does not exist; create it with a key uri",
			available: "True Ready: 3 of 3 pods serve"},
		"what needs a person is said first": {in: waitsToo, kstatus: "Failed",
			ready:     "False SecretMissing: Secret db (database.external.secretName) does not exist; create it with a key uri",
			available: "True Ready: 3 of 3 pods serve"},
	} {
		t.Run(name, func(t *testing.T) {
			c.in.App.Generation = 7
			got := Build(c.in)
			if ready := text(meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionReady)); ready != c.ready {
				t.Errorf("Ready is %q\nwant     %q", ready, c.ready)
			}
			if available := text(meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionAvailable)); available != c.available {
				t.Errorf("Available is %q\nwant         %q", available, c.available)
			}
			wantKstatus(t, got, 7, c.kstatus)
		})
	}
}

// wantKstatus follows the rules by which kstatus, and with it Flux, Argo CD and `kubectl wait` read any
// status: an old observedGeneration is InProgress, Stalled is Failed, Reconciling or Ready=False is
// InProgress, all else Current. Ours are stricter: exactly one of the three at any time.
func wantKstatus(t *testing.T, s v1alpha1.ScalableAppStatus, generation int64, want string) {
	t.Helper()
	is := func(kind string) bool { return meta.IsStatusConditionTrue(s.Conditions, kind) }
	got := "Current"
	switch {
	case s.ObservedGeneration != generation:
		got = "InProgress"
	case is(v1alpha1.ConditionStalled):
		got = "Failed"
	case is(v1alpha1.ConditionReconciling), !is(v1alpha1.ConditionReady):
		got = "InProgress"
	}
	if got != want {
		t.Errorf("kstatus reads %s, want %s: %v", got, want, s.Conditions)
	}
	n := 0
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		if is(kind) {
			n++
		}
		if kind != v1alpha1.ConditionReady && meta.IsStatusConditionFalse(s.Conditions, kind) {
			t.Errorf("%s is there although it is not True", kind)
		}
	}
	if n != 1 {
		t.Errorf("%d of Ready, Reconciling and Stalled are True, want 1: %v", n, s.Conditions)
	}
	for _, c := range s.Conditions {
		if c.ObservedGeneration != generation || c.LastTransitionTime.IsZero() || c.Reason == "" {
			t.Errorf("condition %s of generation %d, since %s, reason %q", c.Type, c.ObservedGeneration, c.LastTransitionTime, c.Reason)
		}
	}
}

func TestAutoscalingReady(t *testing.T) {
	hpa := func(conditions ...autoscalingv2.HorizontalPodAutoscalerCondition) *autoscalingv2.HorizontalPodAutoscaler {
		return &autoscalingv2.HorizontalPodAutoscaler{Status: autoscalingv2.HorizontalPodAutoscalerStatus{Conditions: conditions}}
	}
	type condition = autoscalingv2.HorizontalPodAutoscalerCondition
	c := func(kind autoscalingv2.HorizontalPodAutoscalerConditionType, status corev1.ConditionStatus, reason string) condition {
		return condition{Type: kind, Status: status, Reason: reason, Message: "m"}
	}
	for want, scaler := range map[string]*autoscalingv2.HorizontalPodAutoscaler{
		"False Progressing: the HorizontalPodAutoscaler has not acted yet": nil,
		"True Ready: between 2 and 5 replicas": hpa(c(autoscalingv2.AbleToScale, "True", "ReadyForNewScale"),
			c(autoscalingv2.ScalingActive, "True", "ValidMetricFound"), c(autoscalingv2.ScalingLimited, "False", "DesiredWithinRange")),
		"False Unavailable: the HorizontalPodAutoscaler cannot act (FailedGetResourceMetric): m": hpa(
			c(autoscalingv2.ScalingActive, "False", "FailedGetResourceMetric")),
		"True Ready: the app is scaled to zero, so autoscaling rests": hpa(c(autoscalingv2.ScalingActive, "False", "ScalingDisabled")),
	} {
		in := stable(t, 3)
		in.App.Spec.Autoscaling = &v1alpha1.AutoscalingSpec{MinReplicas: 2, MaxReplicas: 5}
		in.Observed.Autoscaler = scaler
		if got := text(meta.FindStatusCondition(Build(in).Conditions, v1alpha1.ConditionAutoscalingReady)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if c := meta.FindStatusCondition(Build(stable(t, 3)).Conditions, v1alpha1.ConditionAutoscalingReady); c != nil {
		t.Errorf("without autoscaling there is a condition: %v", c)
	}
}

// A condition's time is that of its last change of status, not of its words.
func TestLastTransitionTime(t *testing.T) {
	in := stable(t, 3)
	in.App.Status = Build(in)
	in.Observed.Now = in.Observed.Now.Add(time.Hour)
	if diff := cmp.Diff(in.App.Status, Build(in)); diff != "" {
		t.Errorf("an hour later the status is another:\n%s", diff)
	}
	next := stable(t, 2)
	next.App.Status, next.Observed.Now = in.App.Status, in.Observed.Now
	got := Build(next)
	if c := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionReady); !c.LastTransitionTime.Time.Equal(in.Observed.Now) {
		t.Errorf("Ready turned at %s, now is %s", c.LastTransitionTime, in.Observed.Now)
	}
	if c := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionAvailable); c.LastTransitionTime.Time.Equal(in.Observed.Now) {
		t.Error("Available stayed True, but its time changed")
	}
}

// A failure to write is kept in the status as long as it lasts, in the same order as any status: else
// each pass would write it anew.
func TestFailure(t *testing.T) {
	in := stable(t, 2)
	in.App.Spec.Autoscaling = &v1alpha1.AutoscalingSpec{MinReplicas: 2, MaxReplicas: 5}
	now := metav1.NewTime(in.Observed.Now)
	failure := Failure{Reason: v1alpha1.ReasonNameConflict, Message: "Service shop exists"}

	built := Build(in)
	if StoredFailure(built) != nil {
		t.Error("a status without a failure speaks of one")
	}
	failed := WithFailure(built, in.App.Status, failure, now)
	wantKstatus(t, failed, in.App.Generation, "Failed")
	if got := StoredFailure(failed); got == nil || *got != failure {
		t.Errorf("the stored failure is %v, want %v", got, failure)
	}
	if len(built.Conditions) == 0 || meta.FindStatusCondition(built.Conditions, v1alpha1.ConditionReconciling) == nil {
		t.Error("the status that was given has been changed")
	}

	in.App.Status = failed
	later := metav1.NewTime(now.Add(time.Hour))
	in.Observed.Now = later.Time
	if diff := cmp.Diff(failed, WithFailure(Build(in), failed, failure, later)); diff != "" {
		t.Errorf("while it lasts the status changes:\n%s", diff)
	}
	var kinds []string
	for _, c := range failed.Conditions {
		kinds = append(kinds, c.Type)
	}
	if !slices.Equal(kinds, []string{"Ready", "Available", "AutoscalingReady", "TrafficReady", "Stalled"}) {
		t.Errorf("conditions %v", kinds)
	}
}

// A mistake of the user's that was not found in writing is no stored failure: the next pass finds out
// for itself whether it lasts.
func TestStoredFailureIsOfWritesOnly(t *testing.T) {
	for reason, stored := range map[string]bool{
		v1alpha1.ReasonNameConflict: true, v1alpha1.ReasonForbidden: true, v1alpha1.ReasonRefused: true, v1alpha1.ReasonQuotaExceeded: true,
		v1alpha1.ReasonInvalidSpec: false, v1alpha1.ReasonConfigMissing: false, v1alpha1.ReasonImagePullFailed: false,
	} {
		s := v1alpha1.ScalableAppStatus{Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: reason}}}
		if got := StoredFailure(s) != nil; got != stored {
			t.Errorf("%s is a stored failure: %t, want %t", reason, got, stored)
		}
	}
}
