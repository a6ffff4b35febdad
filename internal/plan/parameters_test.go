package plan

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"

	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

const tuned = `
app: {image: "shop:1", port: 8080, replicas: 2}
database: {postgres: {version: 17, instances: 2, durability: Preferred, storage: {size: 1Gi}}}
`

// touched are the objects of the database that a plan writes or deletes, and what it does to the database.
func touched(p Plan) []string {
	var out []string
	for _, o := range p.Objects {
		if id := Identify(o); id.Component == naming.ComponentDatabase && id.Kind != "Service" {
			out = append(out, describe(o))
		}
	}
	for _, d := range p.Deletions {
		out = append(out, "delete "+d.Kind+"/"+d.Name)
	}
	for _, a := range p.Actions {
		out = append(out, a.String())
	}
	return out
}

// judged is a plan for settings that PostgreSQL was asked about.
func (s *story) judged(check *state.ParameterCheck) Plan {
	seen := s.Seen()
	seen.Parameters = check
	return Build(s.App, seen, s.config)
}

func condition(p Plan, kind string) string {
	c := meta.FindStatusCondition(p.Status.Conditions, kind)
	if c == nil {
		return ""
	}
	return string(c.Status) + " " + c.Reason + ": " + c.Message
}

func TestARefusedParameterChangesNothing(t *testing.T) {
	s := newStory(t, tuned)
	s.play()
	s.change(func(app *v1alpha1.ScalableApp) {
		app.Spec.Database.Postgres.Parameters = map[string]v1alpha1.PostgresParameter{"work_mem": "16QB"}
		app.Spec.App.Image = "shop:2"
	})
	p := s.judged(&state.ParameterCheck{Judgement: state.Judgement{Refused: []string{`invalid value for parameter "work_mem": "16QB"`}}})
	if said := condition(p, v1alpha1.ConditionStalled); !strings.HasPrefix(said, "True InvalidSpec: ") ||
		!strings.Contains(said, `PostgreSQL refuses them: invalid value for parameter "work_mem"`) || !strings.Contains(said, "correct them") {
		t.Errorf("Stalled: %s", said)
	}
	if said := condition(p, v1alpha1.ConditionDatabaseReady); !strings.HasPrefix(said, "True") {
		t.Errorf("DatabaseReady: %s", said)
	}
	for _, what := range touched(p) {
		t.Error(what)
	}
}

func TestParametersWaitForPostgreSQLsWord(t *testing.T) {
	s := newStory(t, tuned)
	s.play()
	s.change(func(app *v1alpha1.ScalableApp) {
		app.Spec.Database.Postgres.Parameters = map[string]v1alpha1.PostgresParameter{"work_mem": "16MB"}
	})
	p := s.judged(&state.ParameterCheck{Unanswered: "shop-db-0 does not answer"})
	for _, what := range touched(p) {
		t.Error(what)
	}
	said := condition(p, v1alpha1.ConditionDatabaseReady)
	if !strings.Contains(said, "False Progressing") || !strings.Contains(said, "shop-db-0 does not answer") {
		t.Errorf("DatabaseReady: %s", said)
	}
	if p.Wake == 0 || p.Wake > lookAgain {
		t.Errorf("wake in %s", p.Wake)
	}
	// With nobody to take the writes, the new settings may be what mends it.
	for _, name := range []string{"shop-db-0", "shop-db-1"} {
		s.Children["Pod/"+name].(*corev1.Pod).Status.Conditions = nil
	}
	if len(touched(s.judged(&state.ParameterCheck{Unanswered: "shop-db-0 does not answer"}))) == 0 {
		t.Error("a database that is down is not mended")
	}
}

func TestMemoryTooSmallForTheSettings(t *testing.T) {
	s := newStory(t, tuned)
	s.play()
	s.change(func(app *v1alpha1.ScalableApp) {
		app.Spec.Database.Postgres.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")}
		app.Spec.Database.Postgres.Parameters = map[string]v1alpha1.PostgresParameter{"shared_buffers": "256MB"}
	})
	p := s.judged(nil)
	if said := condition(p, v1alpha1.ConditionStalled); !strings.Contains(said, "256MB (shared_buffers) + 64MB") || !strings.Contains(said, "= 320MB, and the limit is 256MB") {
		t.Errorf("Stalled: %s", said)
	}
	for _, what := range touched(p) {
		t.Error(what)
	}
	// A member that is away for another reason comes back as it was.
	s.pod("shop-db-1").Status.Conditions = nil
	for _, what := range touched(s.judged(nil)) {
		t.Errorf("with shop-db-1 away: %s", what)
	}
}
