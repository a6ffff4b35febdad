package observe

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/member"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// judge refuses what it is told to, and counts how often it is asked.
type judge struct {
	asked []string
	said  state.Judgement
	err   error
}

func (j *judge) Check(_ context.Context, address string, _ member.Login, _ map[string]string) (state.Judgement, error) {
	j.asked = append(j.asked, address)
	return j.said, j.err
}

// database is an app with a database of two members; the second is the primary.
func database(t *testing.T, port string) (*v1alpha1.ScalableApp, *state.Observed) {
	t.Helper()
	app := testkit.App(t, "app: {image: i}\ndatabase: {postgres: {instances: 2, storage: {size: 1Gi}}}")
	seen := &state.Observed{Secrets: []*corev1.Secret{{ObjectMeta: metav1.ObjectMeta{Name: "shop-db-credentials"}}}}
	for i, name := range []string{"shop-db-0", "shop-db-1"} {
		pod := testkit.Serve(testkit.Pod(app, naming.ComponentDatabase, name))
		pod.Status.Phase, pod.Status.PodIP = corev1.PodRunning, []string{"10.0.0.1", "10.0.0.2"}[i]
		pod.Labels[naming.LabelRole] = []string{"replica", "primary"}[i]
		pod.Spec.Containers = []corev1.Container{{Name: "postgres", Image: "i", Ports: []corev1.ContainerPort{{Name: port}}}}
		seen.Pods = append(seen.Pods, pod)
	}
	return app, seen
}

func TestPostgreSQLIsAskedOnce(t *testing.T) {
	app, seen := database(t, "agent")
	j := &judge{said: state.Judgement{Refused: []string{"no"}}}
	o := &Observer{Parameters: j}
	for pass := range 3 {
		seen.Parameters = nil
		if err := o.parameters(t.Context(), app, seen); err != nil {
			t.Fatal(err)
		}
		if seen.Parameters == nil || len(seen.Parameters.Refused) != 1 {
			t.Errorf("pass %d: %+v", pass, seen.Parameters)
		}
	}
	if len(j.asked) != 1 || j.asked[0] != "10.0.0.2:8009" {
		t.Errorf("asked %v, want the primary, once", j.asked)
	}
	app.Spec.Database.Postgres.Parameters = map[string]v1alpha1.PostgresParameter{"work_mem": "8MB"}
	if err := o.parameters(t.Context(), app, seen); err != nil || len(j.asked) != 2 {
		t.Errorf("other settings: asked %v, %v", j.asked, err)
	}
}

func TestWhoDoesNotAnswerIsSaid(t *testing.T) {
	app, seen := database(t, "agent")
	j := &judge{err: errors.New("connection refused")}
	o := &Observer{Parameters: j}
	for _, c := range []struct {
		after time.Duration
		asked int
	}{{0, 2}, {4 * time.Second, 2}, {5 * time.Second, 4}} {
		seen.Now, seen.Parameters = testkit.Born.Add(c.after), nil
		if err := o.parameters(t.Context(), app, seen); err != nil {
			t.Fatal(err)
		}
		if len(j.asked) != c.asked || seen.Parameters == nil || seen.Parameters.Unanswered == "" {
			t.Errorf("after %s: asked %v: %+v", c.after, j.asked, seen.Parameters)
		}
	}
}

func TestMembersOfAnOlderOperatorAreNotAsked(t *testing.T) {
	app, seen := database(t, "postgres")
	j := &judge{}
	if err := (&Observer{Parameters: j}).parameters(t.Context(), app, seen); err != nil || len(j.asked) > 0 || seen.Parameters != nil {
		t.Errorf("asked %v, %v: %+v", j.asked, err, seen.Parameters)
	}
}

func TestSettingsInForceAreNotAskedAbout(t *testing.T) {
	app := testkit.App(t, "app: {image: i}")
	j := &judge{}
	if err := (&Observer{Parameters: j}).parameters(t.Context(), app, &state.Observed{}); err != nil || len(j.asked) > 0 {
		t.Errorf("asked %v, %v", j.asked, err)
	}
}
