package plan

import (
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/state"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// The plans of an app's life, pass by pass. They are the operator's log lines: read them as a user would.
func TestStories(t *testing.T) {
	for name, c := range map[string]struct {
		spec string
		play func(*story)
	}{
		"new_app_with_everything": {testkit.Whole, func(s *story) { s.play() }},
		"migration_and_config": {
			`app: {image: a, port: 8080, replicas: 2, migration: {command: [m]}, envFrom: [{configMapRef: {name: settings}}]}`,
			func(s *story) {
				s.say("the ConfigMap does not exist")
				s.play()
				s.say("somebody creates it")
				s.Config["settings"] = &state.Config{Data: map[string]string{"A": "1"}}
				s.play()
				s.say("somebody changes it")
				s.Config["settings"] = &state.Config{Data: map[string]string{"A": "2"}}
				s.play()
			}},
		"paused": {testkit.Small, func(s *story) {
			s.play()
			s.say("paused, and then a new image")
			s.change(func(app *v1alpha1.ScalableApp) { app.Spec.Paused = new(true); app.Spec.App.Image = "b" })
			s.play()
			s.say("no longer paused")
			s.change(func(app *v1alpha1.ScalableApp) { app.Spec.Paused = nil })
			s.play()
		}},
		"podTemplate_that_is_none": {testkit.Small, func(s *story) {
			s.play()
			s.say("a podTemplate with a slip of the pen, and 4 replicas")
			s.change(func(app *v1alpha1.ScalableApp) {
				app.Spec.App.PodTemplate = &apiextensionsv1.JSON{Raw: []byte(`{"spec":{"containres":[]}}`)}
				app.Spec.App.Replicas = new(int32(4))
			})
			s.play()
		}},
		"undo": {testkit.Small, func(s *story) {
			s.play()
			first := s.stable()
			s.image("b")
			s.play()
			s.say("undone")
			s.undo(s.stable(), first)
			s.play()
			s.say("undone to what nobody knows")
			s.undo(currentName(s), "shop-nobody")
			s.play()
			s.say("a new version ends the undo")
			s.image("c")
			s.play()
		}},
		"component_removed": {testkit.Whole, func(s *story) {
			s.play()
			s.say("without the cache")
			s.change(func(app *v1alpha1.ScalableApp) { app.Spec.Cache = nil })
			s.play()
		}},
		"blue_green_behind_a_gateway": {`
app: {image: "shop:1", port: 8080, replicas: 2}
networkPolicy: Disabled
rollout: {strategy: BlueGreen, gates: [{name: smoke, job: {command: [/smoke]}}, {name: web, http: {path: /selftest}, samples: 1}]}
traffic: {gateway: {parentRefs: [{name: edge}]}}`, func(s *story) {
			s.Gateways = state.Gateways{Known: true}
			s.until(v1alpha1.StageStable)
			s.say("shop:2, which passes its gates")
			s.answer = func(string, int32) state.Sample { return state.Sample{Outcome: state.OutcomeGood, Value: "200"} }
			s.image("shop:2")
			s.until(v1alpha1.StageStable)
			s.say("shop:3, whose self-test fails")
			s.answer = func(string, int32) state.Sample {
				return state.Sample{Outcome: state.OutcomeBad, Value: "500", Limit: "2xx", Reason: "GET /selftest: 500 Internal Server Error"}
			}
			s.image("shop:3")
			s.until(v1alpha1.StageFailed)
		}},
		"canary_behind_a_gateway": {`
app: {image: "shop:1", port: 8080, replicas: 4}
networkPolicy: Disabled
rollout:
  strategy: Canary
  canary: {steps: [{weight: 20}, {weight: 60}]}
  gates: [{name: errors, metric: {indicator: ErrorRatio, max: "0.01"}, samples: 2}]
traffic: {gateway: {parentRefs: [{name: edge}]}}`, func(s *story) {
			s.Gateways = state.Gateways{Known: true}
			s.until(v1alpha1.StageStable)
			s.say("shop:2, which has errors as soon as it has 60% of the traffic")
			s.answer = func(_ string, weight int32) state.Sample {
				if weight < 60 {
					return state.Sample{Outcome: state.OutcomeGood, Value: "0.000", Limit: "0.01"}
				}
				return state.Sample{Outcome: state.OutcomeBad, Value: "0.310", Limit: "0.01"}
			}
			s.image("shop:2")
			s.until(v1alpha1.StageFailed)
			s.say("shop:3, which has none")
			s.answer = func(string, int32) state.Sample {
				return state.Sample{Outcome: state.OutcomeGood, Value: "0.000", Limit: "0.01"}
			}
			s.image("shop:3")
			s.until(v1alpha1.StageStable)
		}},
		"autoscaling": {testkit.Small, func(s *story) {
			s.play()
			s.say("between 4 and 6")
			s.change(func(app *v1alpha1.ScalableApp) {
				app.Spec.Autoscaling = &v1alpha1.AutoscalingSpec{MinReplicas: 4, MaxReplicas: 6, CPUUtilizationPercent: new(int32(70))}
			})
			s.play()
			s.say("9 are too many")
			s.change(func(app *v1alpha1.ScalableApp) { app.Spec.App.Replicas = new(int32(9)) })
			s.play()
			s.say("none at all")
			s.change(func(app *v1alpha1.ScalableApp) { app.Spec.App.Replicas = new(int32(0)) })
			s.play()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t, c.spec)
			c.play(s)
			testkit.Golden(t, name, s.text.String())
		})
	}
}

// currentName is the revision that the spec asks for.
func currentName(s *story) string {
	s.Helper()
	r, err := revision.Of(s.App, s.Config)
	if err != nil {
		s.Fatal(err)
	}
	return r.Name
}

// The history keeps as many as are asked for, the newest; what runs is no history.
func TestHistoryLimit(t *testing.T) {
	s := newStory(t, testkit.Small+"\nrollout: {revisionHistoryLimit: 2}")
	s.play()
	var names []string
	for _, image := range []string{"b", "c", "d", "e"} {
		names = append(names, s.stable())
		s.image(image)
		s.play()
	}
	var got []string
	for _, r := range s.Seen().Revisions {
		got = append(got, r.Name)
	}
	want := append(names[2:], s.stable())
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%v are kept, want %v", got, want)
	}

	s.image("broken") // never done: the history must not shrink below what the limit keeps
	for range 100 {
		s.pass()
		s.Turn()
	}
	if s.App.Status.Rollout.Stage != v1alpha1.StageFailed || len(s.Seen().Revisions) != 4 {
		t.Errorf("stage %s, %d revisions", s.App.Status.Rollout.Stage, len(s.Seen().Revisions))
	}
}

// A plan is a function of what was seen: the same twice, and what was seen is not touched.
func TestBuildIsPure(t *testing.T) {
	s := newStory(t, testkit.Whole)
	s.play()
	s.image("b")
	seen, app := s.Seen(), s.App.DeepCopy()
	first := Build(s.App, seen, Config{})
	second := Build(s.App, seen, Config{})
	if first.String() != second.String() || !strings.Contains(first.String(), "RolloutStarted") {
		t.Errorf("two plans:\n%s\n%s", first, second)
	}
	if !equalJSON(t, app, s.App) || !equalJSON(t, seen, s.Seen()) {
		t.Error("what was seen has been changed")
	}
}

func TestBounds(t *testing.T) {
	at := func(text string) *intstr.IntOrString { return new(intstr.Parse(text)) }
	for _, c := range []struct {
		surge, unavailable         *intstr.IntOrString
		desired                    int32
		wantSurge, wantUnavailable int32
	}{
		{nil, nil, 3, 1, 0},
		{nil, nil, 1, 1, 0},
		{nil, nil, 10, 3, 0},
		{nil, nil, 0, 0, 1},
		{at("0"), at("25%"), 2, 0, 1}, // 25% of 2 rounds down to 0, and something must give
		{at("0"), at("25%"), 8, 0, 2},
		{at("100%"), at("0"), 4, 4, 0},
		{at("300%"), at("0"), 4, 4, 0},
		{at("7"), at("9"), 4, 4, 4},
		{at("1%"), at("99%"), 10, 1, 9},
	} {
		surge, unavailable := bounds(v1alpha1.RollingSpec{MaxSurge: c.surge, MaxUnavailable: c.unavailable}, c.desired)
		if surge != c.wantSurge || unavailable != c.wantUnavailable {
			t.Errorf("maxSurge %v and maxUnavailable %v of %d are %d and %d, want %d and %d",
				c.surge, c.unavailable, c.desired, surge, unavailable, c.wantSurge, c.wantUnavailable)
		}
	}
}

// A migration that was given up while it ran has to end before the next one begins: its pod has a grace
// period in which it still writes.
func TestMigrationsNeverRunAtOnce(t *testing.T) {
	const spec = `app: {image: "registry.example/shop:1.0.0", port: 8080, replicas: 1, migration: {command: [migrate]}}`
	job := func(p Plan) string {
		for _, object := range p.Objects {
			if id := Identify(object); id.Kind == "Job" {
				return id.Name
			}
		}
		return ""
	}
	s := newStory(t, spec)
	first := job(s.pass())
	if first == "" {
		t.Fatal("the first revision gets no migration")
	}
	s.image("registry.example/shop:1.0.1") // before the first migration has ended
	p := s.pass()
	if got := job(p); got != "" {
		t.Errorf("the Job %s is made while that of %s runs", got, first)
	}
	if p.Status.Rollout.Stage != v1alpha1.StageWaiting || !strings.Contains(p.Status.Rollout.Message, "waits for the migration") {
		t.Errorf("stage %s: %s", p.Status.Rollout.Stage, p.Status.Rollout.Message)
	}
	if len(p.Deletions) != 1 || p.Deletions[0].Name != first {
		t.Errorf("deletions are %v, want the Job %s", p.Deletions, first)
	}
	for range 20 {
		s.Turn()
		if p = s.pass(); job(p) != "" && job(p) != first {
			return
		}
	}
	t.Errorf("the second migration never begins: %s", p)
}

// A Deployment that has just been shrunk, and grows again because somebody changed their mind, still seems to
// have all its pods while its controller deletes one. Nobody gives up pods on the strength of those.
func TestNobodyShrinksBesideADeploymentInFlux(t *testing.T) {
	s := newStory(t, testkit.Small)
	s.until(v1alpha1.StageStable)
	stable := s.App.Status.Rollout.Stable.Revision
	s.image("registry.example/shop:2.0.0")
	for s.pass(); s.App.Status.Rollout.Candidate == nil || s.App.Status.Rollout.Candidate.AvailableReplicas == 0; s.pass() {
		s.Turn()
	}
	candidate := s.App.Status.Rollout.Candidate.Revision
	if n := replicasOf(t, s, stable); n != 2 {
		t.Fatalf("the stable revision has %d pods once the candidate has one, want 2", n)
	}
	s.image("registry.example/shop:1.0.0")
	s.pass()
	s.pass()
	if n := replicasOf(t, s, stable); n != 3 {
		t.Errorf("after the revert the stable revision has %d pods, want 3", n)
	}
	if n := replicasOf(t, s, candidate); n == 0 {
		t.Errorf("the candidate gave up its pods although the stable revision's Deployment has not been looked at by its controller")
	}
	s.until(v1alpha1.StageStable)
}

func replicasOf(t *testing.T, s *story, deployment string) int32 {
	t.Helper()
	d := s.Seen().Deployment(deployment)
	if d == nil {
		t.Fatalf("there is no Deployment %s", deployment)
	}
	return *d.Spec.Replicas
}
