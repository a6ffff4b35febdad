package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/gate"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rollout"
	"github.com/scalableapp/scalableapp-operator/internal/state"
	"github.com/scalableapp/scalableapp-operator/internal/status"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// story plays plans against a world in memory and writes down each plan that is another than the one
// before.
type story struct {
	*testing.T
	*testkit.World
	text strings.Builder
	last string
	// answer is what the gates say that are no Jobs, while the candidate has that share of the traffic.
	answer func(gate string, weight int32) state.Sample
	// redis are the Redis servers, if there are any that answer.
	redis redisServers
	// config is the operator's.
	config Config
}

func newStory(t *testing.T, spec string) *story {
	images := components.Images{Postgres: "postgres", PgBouncer: "pgbouncer", Redis: "redis"}
	return &story{T: t, World: testkit.NewWorld(t, testkit.App(t, spec)), config: Config{Images: images, OperatorNamespace: "system"}}
}

func (s *story) say(words string) { fmt.Fprintf(&s.text, "\n######## %s\n", words) }

// change changes the spec, as a user does.
func (s *story) change(how func(*v1alpha1.ScalableApp)) {
	how(s.App)
	s.App.Generation++
}

func (s *story) image(name string) {
	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.App.Image = name })
}

// pass is one pass. What must hold of every plan is checked here.
func (s *story) pass() Plan {
	s.Helper()
	seen := s.Seen()
	seen.Gates = s.samples(seen)
	seen.Redis = s.redis.say(seen)
	p := Build(s.App, seen, s.config)
	s.harmless(p, s.Seen())
	s.write(p)
	s.App.Status = p.Status
	for _, object := range p.Objects {
		s.Apply(object.Intent, object.Mode == components.Created)
	}
	for _, child := range p.Deletions {
		s.Delete(child.Kind, child.Name)
	}
	for _, a := range p.Actions {
		if a, ok := a.(action.LoadRedisUsers); ok {
			s.redis.load(s.Seen(), slices.Sorted(maps.Keys(a.Members))...)
		}
		if a, ok := a.(action.TellCredentials); ok {
			pod := s.Children["Pod/"+a.Pod]
			pod.SetAnnotations(merged(pod.GetAnnotations(), naming.AnnotationCredentials, strconv.FormatInt(a.Generation, 10)))
		}
		if a, ok := a.(action.PoolerReconnect); ok {
			metav1.SetMetaDataAnnotation(&s.Children["Deployment/"+a.Pooler].(*appsv1.Deployment).ObjectMeta, naming.AnnotationPoolerTold, a.Told)
		}
	}
	return p
}

// samples are the samples of the gates that are due, as the operator's edge takes them.
func (s *story) samples(seen *state.Observed) map[string]state.Sample {
	r := s.App.Status.Rollout
	samples := map[string]state.Sample{}
	for _, spec := range rollout.Asked(s.App.Spec.Rollout.Gates, r) {
		before := v1alpha1.GateStatus{}
		for _, g := range r.Gates {
			if g.Name == spec.Name {
				before = g
			}
		}
		due, _ := gate.Due(&spec, before, r.StepStartedTime.Time, s.Now)
		job := seen.Job(naming.Gate(r.Candidate.Revision, spec.Name))
		switch {
		case due && spec.Job != nil && job != nil:
			samples[spec.Name] = status.GateJob(job, nil)
		case due && spec.Job == nil:
			samples[spec.Name] = s.answer(spec.Name, *r.Weight)
		}
	}
	return samples
}

// until goes on until the rollout is at an end: nothing of it waits for its time.
func (s *story) until(stage string) {
	s.Helper()
	for range 120 {
		s.pass()
		s.Turn()
		r := s.App.Status.Rollout
		rests := r.Previous == nil && (r.Candidate == nil || r.Candidate.Replicas == 0)
		if r.Stage == stage && rests && s.pass().Wake == 0 {
			return
		}
	}
	s.Fatalf("it never is %s:\n%s", stage, s.text.String())
}

// write writes down a plan, unless it is the one before. Of the objects it tells those that the plan
// before did not have, or not with as many pods.
func (s *story) write(p Plan) {
	text, wake, _ := strings.Cut(p.String(), "wake in ")
	if text == s.last {
		return
	}
	fmt.Fprintf(&s.text, "\n== pass at %s\n", s.Now.Sub(testkit.Born.Time))
	same := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "object ") && strings.Contains(s.last, line) {
			same++
			continue
		}
		s.text.WriteString(line)
	}
	if same > 0 {
		fmt.Fprintf(&s.text, "and %d objects as before\n", same)
	}
	if wake != "" {
		s.text.WriteString("wake in " + wake)
	}
	s.last = text
}

// harmless: nothing that runs, or that a pod which runs refers to, is deleted.
func (s *story) harmless(p Plan, seen *state.Observed) {
	s.Helper()
	runs, going := map[string]bool{}, map[string]bool{}
	for _, child := range p.Deletions {
		going[child.Kind+"/"+child.Name] = true
	}
	for _, pod := range seen.Pods {
		if going[pod.Annotations["made-by"]] && pod.Labels[naming.LabelRevision] == "" {
			continue // it goes together with its component
		}
		if name := pod.Labels[naming.LabelRevision]; name != "" {
			runs["Deployment/"+name], runs["Service/"+name], runs["ControllerRevision/"+name] = true, true, true
		}
		for _, volume := range pod.Spec.Volumes {
			if volume.Secret != nil {
				runs["Secret/"+volume.Secret.SecretName] = true
			}
		}
		for _, from := range pod.Spec.Containers[0].EnvFrom {
			if from.ConfigMapRef != nil {
				runs["ConfigMap/"+from.ConfigMapRef.Name] = true
			}
		}
	}
	for _, child := range p.Deletions {
		if runs[child.Kind+"/"+child.Name] {
			s.Errorf("%s/%s is deleted under a pod that runs", child.Kind, child.Name)
		}
		if child.UID == "" || child.ResourceVersion == "" {
			s.Errorf("%s/%s would be deleted whatever it is by then", child.Kind, child.Name)
		}
	}
}

// play goes on until nothing changes.
func (s *story) play() {
	s.Helper()
	for range 60 {
		before := s.picture()
		s.pass()
		s.Turn()
		if before == s.picture() {
			return
		}
	}
	s.Fatalf("no rest:\n%s", s.text.String())
}

func (s *story) picture() string {
	text := ""
	for _, child := range s.Seen().Children {
		text += child.Kind + child.Name
	}
	for _, pod := range s.Seen().Pods {
		text += fmt.Sprint(pod.Name, pod.Status.Conditions)
	}
	for _, d := range slices.Concat(s.Seen().Deployments, s.Seen().Poolers) {
		text += fmt.Sprint(*d.Spec.Replicas, d.Status.Replicas, d.Generation == d.Status.ObservedGeneration)
	}
	for _, j := range s.Seen().Jobs {
		text += fmt.Sprint(j.Status)
	}
	return text + s.App.Status.Rollout.Stage
}

func (s *story) stable() string {
	s.Helper()
	if s.App.Status.Rollout.Stable == nil {
		s.Fatal("there is no stable revision")
	}
	return s.App.Status.Rollout.Stable.Revision
}

func (s *story) undo(from, to string) {
	s.change(func(app *v1alpha1.ScalableApp) {
		metav1.SetMetaDataAnnotation(&app.ObjectMeta, naming.AnnotationUndo, from+":"+to)
	})
}

func equalJSON(t *testing.T, a, b any) bool {
	t.Helper()
	x, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(x) == string(y)
}
