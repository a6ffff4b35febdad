package cli

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/state"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// noon is the time of all that is told here.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *metav1.Time { return new(metav1.NewTime(noon.Add(-d))) }

// canary is shop at step 2 of 4 of a canary: 10% of the traffic, all in force, one gate asked.
func canary() *v1alpha1.ScalableApp {
	app := shop()
	app.Spec.App.Image = "shop:2"
	app.Spec.Rollout = v1alpha1.RolloutSpec{
		Strategy: v1alpha1.RolloutCanary,
		Gates: []v1alpha1.GateSpec{
			{Name: "smoke", HTTP: &v1alpha1.HTTPGate{Path: "/selftest"}},
			{Name: "errors", Metric: &v1alpha1.MetricGate{Max: "0.01"}},
		},
		Canary: v1alpha1.CanarySpec{Steps: []v1alpha1.CanaryStep{
			{Weight: 10, PauseSeconds: new(int32(120)), Approval: v1alpha1.ApprovalRequired}, {Weight: 50, PauseSeconds: new(int32(60))},
		}},
		RollbackHoldSeconds: new(int32(300)),
	}
	app.Status.Rollout = v1alpha1.RolloutStatus{
		Stage: v1alpha1.StageProgressing, Weight: new(int32(10)), ActualWeight: new(int32(10)), Step: 2, Steps: 4, Attempt: 1,
		StepStartedTime: ago(18 * time.Second),
		Stable:          &v1alpha1.RevisionStatus{Revision: "shop-a", Number: 1, Image: "shop:1", Replicas: 2, AvailableReplicas: 2},
		Candidate:       &v1alpha1.RevisionStatus{Revision: "shop-b", Number: 2, Image: "shop:2", Replicas: 1, AvailableReplicas: 1},
		Gates: []v1alpha1.GateStatus{{
			Name: "errors", Verdict: v1alpha1.VerdictPending, Value: "0.002", Limit: "0.01", Successes: 1, Reason: "2 of 1000 requests",
		}},
		Traffic: &v1alpha1.TrafficStatus{
			Service: "shop-a", InForceTime: ago(25 * time.Second), SettledTime: ago(18 * time.Second),
			Backends: []v1alpha1.BackendStatus{{Revision: "shop-a", Weight: 90, Highest: 90}, {Revision: "shop-b", Weight: 10, Highest: 10}},
		},
		Message: "10% of the traffic goes to shop-b; gate errors is asked",
	}
	condition(app, v1alpha1.ConditionReady, false, v1alpha1.ReasonRollingOut, "10% of the traffic goes to shop-b; gate errors is asked")
	return app
}

// standing changes where the rollout of an app stands.
func standing(app *v1alpha1.ScalableApp, stage, reason, message string) *v1alpha1.ScalableApp {
	app.Status.Rollout.Stage, app.Status.Rollout.Message = stage, message
	condition(app, v1alpha1.ConditionReady, false, reason, message)
	return app
}

func awaiting() *v1alpha1.ScalableApp {
	app := standing(canary(), v1alpha1.StageAwaitingApproval, v1alpha1.ReasonAwaitingApproval, "shop-b waits for approval at step 2 of 4 (10% of the traffic): `kubectl scalableapp promote` goes on, `abort` goes back")
	app.Status.Rollout.Gates[0].Verdict = v1alpha1.VerdictPass
	app.Status.Rollout.StepStartedTime = ago(time.Hour)
	return app
}

func inconclusive() *v1alpha1.ScalableApp {
	app := standing(canary(), v1alpha1.StageInconclusive, v1alpha1.ReasonGateInconclusive, "shop-b keeps 10% of the traffic, because nothing can be said of it: gate errors: no pod has metrics. `kubectl scalableapp promote` goes on, `abort` goes back")
	condition(app, v1alpha1.ConditionStalled, true, v1alpha1.ReasonGateInconclusive, app.Status.Rollout.Message)
	app.Status.Rollout.Gates = []v1alpha1.GateStatus{{
		Name: "errors", Verdict: v1alpha1.VerdictInconclusive, Limit: "0.01", Inconclusives: 7, Reason: "no pod has metrics",
	}}
	return app
}

func aborting() *v1alpha1.ScalableApp {
	app := standing(canary(), v1alpha1.StageAborting, v1alpha1.ReasonGateFailed, "gate errors failed at step 2 of 4 (10% of the traffic): 200 of 1000 requests. Traffic goes back to shop-a")
	r := &app.Status.Rollout
	r.Weight, r.ActualWeight, r.StepStartedTime = new(int32(0)), new(int32(10)), nil
	r.DrainTime = new(metav1.NewTime(noon.Add(30 * time.Second)))
	r.Gates[0].Verdict, r.Gates[0].Value, r.Gates[0].Failures, r.Gates[0].Reason = v1alpha1.VerdictFail, "0.2", 1, "200 of 1000 requests"
	r.Failure = &v1alpha1.FailureStatus{Reason: v1alpha1.ReasonGateFailed, Message: "gate errors failed at step 2 of 4 (10% of the traffic): 200 of 1000 requests", Time: *ago(5 * time.Second)}
	r.Traffic.Backends = []v1alpha1.BackendStatus{{Revision: "shop-a", Weight: 100, Highest: 100}, {Revision: "shop-b", Highest: 10}}
	r.Traffic.SettledTime = nil
	return app
}

func givenUp() *v1alpha1.ScalableApp {
	app := standing(aborting(), v1alpha1.StageFailed, v1alpha1.ReasonGateFailed, "gate errors failed at step 2 of 4 (10% of the traffic): 200 of 1000 requests. shop-a keeps serving; set the image back, deploy a new version or `kubectl scalableapp retry`")
	r := &app.Status.Rollout
	r.ActualWeight, r.DrainTime, r.Gates, r.Traffic = new(int32(0)), nil, nil, nil
	r.Failure.Time = *ago(10 * time.Minute)
	condition(app, v1alpha1.ConditionStalled, true, v1alpha1.ReasonGateFailed, r.Message)
	return app
}

// frozenApp has failed, but its migration is not rollbackSafe.
func frozenApp() *v1alpha1.ScalableApp {
	app := givenUp()
	app.Status.Rollout.Weight, app.Status.Rollout.ActualWeight = new(int32(10)), new(int32(10))
	app = standing(app, v1alpha1.StageFailed, v1alpha1.ReasonRollbackUnsafe, "gate errors failed. Traffic stays as it is, because shop-b has migrated the database and shop-a does not work after that")
	condition(app, v1alpha1.ConditionStalled, true, v1alpha1.ReasonRollbackUnsafe, app.Status.Rollout.Message)
	return app
}

func held() *v1alpha1.ScalableApp {
	app := canary()
	r := &app.Status.Rollout
	r.Previous, r.Stable, r.Candidate = r.Stable, r.Candidate, nil
	r.Stage, r.Weight, r.Gates, r.Message, r.Traffic, r.StepStartedTime = v1alpha1.StageStable, new(int32(100)), nil, "", nil, nil
	r.HoldTime = new(metav1.NewTime(noon.Add(4*time.Minute + 12*time.Second)))
	condition(app, v1alpha1.ConditionReady, true, v1alpha1.ReasonReady, "2 of 2 pods serve shop:2")
	return app
}

func blueGreen() *v1alpha1.ScalableApp {
	app := canary()
	app.Spec.Rollout.Strategy = v1alpha1.RolloutBlueGreen
	app.Spec.Rollout.BlueGreen = v1alpha1.BlueGreenSpec{PreviewReplicas: new(int32(1)), Approval: v1alpha1.ApprovalRequired}
	r := &app.Status.Rollout
	r.Step, r.Steps, r.Attempt, r.Weight, r.ActualWeight, r.StepStartedTime = 1, 2, 2, new(int32(0)), nil, nil
	r.Gates, r.Traffic = nil, &v1alpha1.TrafficStatus{Service: "shop-a", Backends: []v1alpha1.BackendStatus{{Revision: "shop-a", Weight: 100, Highest: 100}}}
	app.Status.Endpoints.Preview = "shop-b.eu.svc:80"
	return standing(app, v1alpha1.StageProgressing, v1alpha1.ReasonRollingOut, "0 of 1 pods of shop-b serve")
}

func rounded() *v1alpha1.ScalableApp {
	app := canary()
	app.Status.Rollout.ActualWeight = new(int32(33))
	app.Status.Rollout.Traffic.InForceTime, app.Status.Rollout.Traffic.SettledTime = nil, nil
	condition(app, v1alpha1.ConditionReady, false, v1alpha1.ReasonUnavailable, "the cache does not answer")
	condition(app, v1alpha1.ConditionTrafficReady, true, v1alpha1.ReasonWeightRounded, "3 pods allow 33%, not 10%")
	return app
}

func TestCutoverTree(t *testing.T) {
	for name, app := range map[string]*v1alpha1.ScalableApp{
		"canary": canary(), "awaiting approval": awaiting(), "inconclusive": inconclusive(), "aborting": aborting(), "failed": givenUp(),
		"frozen": frozenApp(), "held": held(), "blue-green preview": blueGreen(), "weight rounded": rounded(),
	} {
		t.Run(name, func(t *testing.T) {
			app.Spec.Database, app.Spec.Sessions, app.Spec.Autoscaling = nil, nil, nil
			app.Status.Endpoints.DatabaseReadWrite, app.Status.Endpoints.DatabaseReadOnly = "", ""
			text, code := verdict(app)
			s := sight{app: app, seen: &state.Observed{Now: noon}}
			out := tree(s, false) + "\nin a line: " + oneLine(s) + "\nstatus, exit code " + string(rune('0'+code)) + ": " + text + "\n"
			testkit.Golden(t, "cutover/"+strings.ReplaceAll(name, " ", "-"), out)
		})
	}
}

// What was said and not yet heard is on its way: a pipeline that waits must not be told of the state before.
func TestVerdictUnheard(t *testing.T) {
	for name, c := range map[string]struct {
		app  *v1alpha1.ScalableApp
		word string
		code int
	}{
		"retry":                   {givenUp(), "retry:shop-b:1", ExitProgressing},
		"promote":                 {awaiting(), "promote:shop-b:1:2", ExitProgressing},
		"promote of another step": {awaiting(), "promote:shop-b:1:1", ExitStalled},
		"of another attempt":      {givenUp(), "retry:shop-b:2", ExitStalled},
		"of another revision":     {givenUp(), "retry:shop-c:1", ExitStalled},
		"nonsense":                {givenUp(), "please", ExitStalled},
	} {
		t.Run(name, func(t *testing.T) {
			c.app.Annotations = map[string]string{naming.AnnotationAction: c.word}
			if text, code := verdict(c.app); code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, text)
			}
			c.app.Status.Rollout.HandledAction = c.word
			if text, code := verdict(c.app); code != ExitStalled {
				t.Errorf("heard: exit code %d, want %d: %s", code, ExitStalled, text)
			}
		})
	}
}

func TestCountsDown(t *testing.T) {
	for name, c := range map[string]struct {
		app  *v1alpha1.ScalableApp
		want bool
	}{
		"a pause": {canary(), true}, "a pause that is over": {awaiting(), false}, "a drain": {aborting(), true},
		"a hold": {held(), true}, "nothing": {shop(), false},
	} {
		if got := countsDown(sight{app: c.app, seen: &state.Observed{Now: noon}}); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

// The steps that a file would bring are those of spec.rollout, unless there is nothing to be careful of.
func TestForecastSteps(t *testing.T) {
	record := func(annotations map[string]string) *appsv1.ControllerRevision {
		return &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: "shop-b", Annotations: annotations}}
	}
	rolling := func(gates ...v1alpha1.GateSpec) *v1alpha1.ScalableApp {
		app := shop()
		app.Spec.Rollout.Gates = gates
		return app
	}
	first := shop()
	first.Status.Rollout = v1alpha1.RolloutStatus{}
	green := blueGreen()
	green.Status.Rollout.Candidate = nil
	plain := canary()
	plain.Spec.Rollout = v1alpha1.RolloutSpec{Strategy: v1alpha1.RolloutCanary}
	full := canary()
	full.Spec.Rollout.Canary.Steps = []v1alpha1.CanaryStep{{Weight: 100, Approval: v1alpha1.ApprovalRequired}}
	var b strings.Builder
	for _, c := range []struct {
		name          string
		before, after *v1alpha1.ScalableApp
		was           string
		stored        *appsv1.ControllerRevision
	}{
		{"canary", shop(), canary(), "shop-a", nil},
		{"canary without steps", shop(), plain, "shop-a", nil},
		{"canary whose last step is all", shop(), full, "shop-a", nil},
		{"blue-green", shop(), green, "shop-a", nil},
		{"rolling", shop(), rolling(), "shop-a", nil},
		{"rolling with gates", shop(), rolling(canary().Spec.Rollout.Gates...), "shop-a", nil},
		{"the first", nil, first, "", nil},
		{"proven", shop(), canary(), "shop-a", record(map[string]string{naming.AnnotationProven: "2026"})},
		{"not proven", shop(), canary(), "shop-a", record(nil)},
		{"other steps of the rollout under way", canary(), full, "shop-b", nil},
		{"the same steps of the rollout under way", canary(), canary(), "shop-b", nil},
		{"no rollout", shop(), shop(), "shop-b", nil},
	} {
		f := &forecast{after: &moment{app: c.after, seen: &state.Observed{}, wanted: revision.Revision{Name: "shop-b"}}}
		if c.before != nil {
			f.before = &moment{app: c.before, wanted: revision.Revision{Name: c.was}}
		}
		if c.stored != nil {
			f.after.seen.Revisions = []*appsv1.ControllerRevision{c.stored}
		}
		b.WriteString("# " + c.name + "\n" + f.steps() + "\n")
	}
	back := &forecast{
		before: &moment{app: canary(), wanted: revision.Revision{Name: "shop-b"}},
		after:  &moment{app: canary(), seen: &state.Observed{}, wanted: revision.Revision{Name: "shop-a"}},
	}
	b.WriteString("# back to the stable one\n" + back.steps())
	testkit.Golden(t, "cutover/steps", b.String())
}
