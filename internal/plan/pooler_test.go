package plan

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

const pooled = `
app: {image: "shop:1", port: 8080, replicas: 2, migration: {command: [m]}}
database: {postgres: {version: 17, instances: 2, durability: Preferred, storage: {size: 1Gi}, pooler: {instances: 2, poolSize: 20}}}
networkPolicy: Enabled
`

// failover moves the roles, as Patroni does.
func (s *story) failover(to string, transitions string) {
	leader := s.Children["ConfigMap/shop-db-leader"].(*corev1.ConfigMap)
	leader.Annotations = map[string]string{"leader": to, "transitions": transitions}
	for key, object := range s.Children {
		if pod, ok := object.(*corev1.Pod); ok && pod.Labels[naming.LabelComponent] == naming.ComponentDatabase {
			role := map[bool]string{true: "primary", false: "replica"}[key == "Pod/"+to]
			pod.Labels[naming.LabelRole], pod.Annotations["status"] = role, testkit.MemberStatus(role)
		}
	}
}

func TestPoolerStory(t *testing.T) {
	s := newStory(t, pooled)
	s.play()
	s.say("a failover")
	s.failover("shop-db-1", "2")
	s.play()
	s.say("a pool that does not fit, and another image")
	s.change(func(app *v1alpha1.ScalableApp) {
		app.Spec.Database.Postgres.Pooler.PoolSize, app.Spec.App.Image = 50, "shop:2"
	})
	s.play()
	s.say("no pooler")
	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.Database.Postgres.Pooler = nil })
	s.play()
	testkit.Golden(t, "pooler", s.text.String())
}

func actions(p Plan) string {
	var words []string
	for _, a := range p.Actions {
		words = append(words, a.String())
	}
	return strings.Join(words, "; ")
}

func TestAPoolerIsToldOfAChangeOnceAndUntilItHeard(t *testing.T) {
	s := newStory(t, pooled)
	s.play()
	s.pass()
	if got := actions(s.pass()); got != "" {
		t.Fatalf("at rest: %s", got)
	}
	s.failover("shop-db-1", "2")
	seen := s.Seen()
	first := Build(s.App, seen, Config{})
	for _, pooler := range []string{"shop-db-pooler-ro (2 pods)", "shop-db-pooler-rw (2 pods)"} {
		if !strings.Contains(actions(first), pooler) {
			t.Errorf("after a failover: %s", actions(first))
		}
	}
	if again := Build(s.App, seen, Config{}); actions(again) != actions(first) {
		t.Errorf("nobody has heard it, but next comes: %s", actions(again))
	}
	s.pass()
	if got := actions(s.pass()); got != "" {
		t.Errorf("told again: %s", got)
	}
	// The same primary, in a new term.
	s.failover("shop-db-1", "3")
	if got := actions(s.pass()); !strings.Contains(got, "term 3") {
		t.Errorf("after a second failover: %s", got)
	}
	s.Children["Pod/shop-db-0"].(*corev1.Pod).Status.Conditions = nil
	if got := actions(s.pass()); !strings.Contains(got, "pooler-ro") || strings.Contains(got, "pooler-rw") {
		t.Errorf("a replica that lags is a matter of the readers: %s", got)
	}
	s.Children["ConfigMap/shop-db-leader"].(*corev1.ConfigMap).Annotations["leader"] = ""
	if got := actions(s.pass()); got != "" {
		t.Errorf("there is no primary to go to: %s", got)
	}
}

func TestWhatDoesNotFitChangesNothing(t *testing.T) {
	s := newStory(t, pooled)
	s.play()
	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.Database.Postgres.Pooler.PoolSize = 50 })
	p := s.pass()
	stalled := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionStalled)
	if stalled == nil || stalled.Reason != v1alpha1.ReasonInvalidSpec || !strings.Contains(stalled.Message, "max_connections is 200") {
		t.Errorf("Stalled = %+v", stalled)
	}
	for _, o := range p.Objects {
		if shapes(Identify(o)) {
			t.Errorf("%s is written", describe(o))
		}
	}
	for _, child := range p.Deletions {
		t.Errorf("%s/%s is deleted", child.Kind, child.Name)
	}
}

// Pods of the app that still run have the pooler's address.
func TestAPoolerOutlivesTheRevisionsThatNeedIt(t *testing.T) {
	s := newStory(t, pooled)
	s.play()
	// The pod of the migration stays for its log.
	migrated := testkit.Pod(s.App, naming.ComponentMigration, s.stable()+"-migrate-x")
	migrated.Labels[naming.LabelRevision] = s.stable()
	migrated.Status = corev1.PodStatus{Phase: corev1.PodSucceeded}
	migrated.Spec.Containers = []corev1.Container{{Name: "app"}}
	s.Children["Pod/"+migrated.Name] = migrated
	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.Database.Postgres.Pooler = nil })
	for range 60 {
		before := s.Seen()
		old := slices.ContainsFunc(before.Deployments, func(d *appsv1.Deployment) bool {
			r := before.Revision(d.Name)
			return r != nil && strings.Contains(string(r.Data.Raw), `"pooler":true`) && *d.Spec.Replicas > 0
		})
		p := s.pass()
		for _, child := range p.Deletions {
			if old && child.Component == naming.ComponentPooler {
				t.Fatalf("%s/%s is deleted under pods that have its address", child.Kind, child.Name)
			}
		}
		s.Turn()
	}
	if len(s.Seen().Poolers) > 0 {
		t.Error("the pooler stays for ever")
	}
}
