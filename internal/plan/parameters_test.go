package plan

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

const tuned = `
app: {image: "shop:1", port: 8080, replicas: 2}
database: {postgres: {version: 17, instances: 2, durability: Preferred, storage: {size: 1Gi}}}
`

// shapes says whether an object says how the database or its poolers shall be, and not only keeps them going.
func shapes(id Identity) bool {
	switch id.Component {
	case naming.ComponentDatabase:
		return id.Kind == "StatefulSet" || id.Name == "shop-db-config" || id.Name == "shop-db-patroni"
	case naming.ComponentPooler:
		return id.Kind != "Secret"
	default:
		return false
	}
}

// touched are the objects that shape the database and that a plan writes, what it deletes, and what it does to the database.
func touched(p Plan) []string {
	var out []string
	for _, o := range p.Objects {
		if shapes(Identify(o)) {
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
	p := s.judged(&refusedParameters)
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

// refusedParameters is PostgreSQL's word on settings that it cannot have.
var refusedParameters = state.ParameterCheck{Judgement: state.Judgement{Refused: []string{`invalid value for parameter "work_mem": "16QB"`}}}

// A disk that is full has its volumes grow, whatever else the spec wants; but the StatefulSet, which nobody would make anew,
// stays as it is.
func TestARefusedSpecKeepsTheStatefulSet(t *testing.T) {
	s := newStory(t, tuned)
	s.play()
	s.change(func(app *v1alpha1.ScalableApp) {
		app.Spec.Database.Postgres.Parameters = map[string]v1alpha1.PostgresParameter{"work_mem": "16QB"}
		app.Spec.Database.Postgres.Storage.Size = resource.MustParse("2Gi")
	})
	plan := func(check *state.ParameterCheck, size string) Plan {
		seen := s.Seen()
		seen.Parameters = check
		for _, name := range []string{"data-shop-db-0", "data-shop-db-1"} {
			claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name}}
			claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}
			claim.Status.Capacity = claim.Spec.Resources.Requests
			seen.Volumes = append(seen.Volumes, claim)
		}
		return Build(s.App, seen, s.config)
	}
	if got := touched(plan(&refusedParameters, "1Gi")); !slices.Equal(got, []string{"grow data-shop-db-0 to 2Gi"}) {
		t.Errorf("a volume that is to grow: %v", got)
	}
	if got := touched(plan(&refusedParameters, "2Gi")); len(got) > 0 {
		t.Errorf("all volumes have grown: %v", got)
	}
	s.App.Spec.Database.Postgres.Parameters = nil
	if got := touched(plan(nil, "2Gi")); !slices.Contains(got, "delete StatefulSet shop-db and leave its pods") {
		t.Errorf("the spec is corrected: %v", got)
	}
}

// While a refusal stands, what keeps the database going is kept: certificates, the keys of the backups' store, bindings.
// None of it leads the app to a pooler that is not there.
func TestARefusedSpecKeepsTheDatabaseGoing(t *testing.T) {
	s := newStory(t, pooled)
	s.play()
	written := func(p Plan) (names []string) {
		for _, o := range p.Objects {
			if id := Identify(o); id.Kind == "Secret" || id.Kind == "NetworkPolicy" {
				names = append(names, id.Name)
			}
		}
		return names
	}
	refuse := func(app *v1alpha1.ScalableApp) {
		app.Spec.Database.Postgres.Parameters = map[string]v1alpha1.PostgresParameter{"work_mem": "16QB"}
	}
	s.change(refuse)
	s.config.Images.PgBouncer = "next"
	p := s.judged(&refusedParameters)
	for _, name := range []string{"shop-db-tls", "shop-db-backup-tls", "shop-db-pgbackrest", "shop-db-app", "shop-db-pooler"} {
		if !slices.Contains(written(p), name) {
			t.Errorf("the Secret %s is no longer kept: %v", name, written(p))
		}
	}
	for _, what := range touched(p) {
		t.Error(what)
	}
	s = newStory(t, tuned)
	s.play()
	s.change(refuse)
	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.Database.Postgres.Pooler = &v1alpha1.PoolerSpec{} })
	p = s.judged(&refusedParameters)
	got := written(p)
	if slices.Contains(got, "shop-db-app") || slices.Contains(got, "shop-db-pooler") || !slices.Contains(got, "shop-db-tls") {
		t.Errorf("with a pooler that is not there: %v", got)
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
