package integration

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

func stalledFor(s *stack) string {
	s.Helper()
	if c := meta.FindStatusCondition(s.app().Status.Conditions, v1alpha1.ConditionStalled); c != nil {
		return c.Reason + ": " + c.Message
	}
	return ""
}

// A permission that the operator lacks is said in the status, even of an app that it has never seen in
// full, and no more when it has it.
func TestForbiddenRead(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	denied := true
	s.reconciler.Observer.Live = interceptor.NewClient(s.api.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, secret := o.(*corev1.Secret); secret && denied {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, key.Name, errors.New("no permission"))
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
	s.create(&corev1.Secret{ObjectMeta: s.meta("theirs"), StringData: map[string]string{"uri": "postgres://u:p@h/d"}})
	s.deploy("app: {image: i}\ndatabase: {external: {secretName: theirs}}")
	if _, err := s.pass(); !apierrors.IsForbidden(err) {
		t.Fatalf("the pass ended with %v", err)
	}
	if got := stalledFor(s); !strings.HasPrefix(got, "Forbidden: ") || !strings.Contains(got, "theirs") {
		t.Errorf("stalled for %q", got)
	}
	if app := s.app(); app.Status.ObservedGeneration != app.Generation {
		t.Errorf("the status speaks of generation %d, the app is of %d", app.Status.ObservedGeneration, app.Generation)
	}
	denied = false
	s.settle()
	s.ready()
	if got := stalledFor(s); got != "" {
		t.Errorf("still stalled for %q", got)
	}
}

// A child that the API server refuses is said in the status, whatever else goes wrong in the same pass.
func TestRefusedChild(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.deploy(`{app: {image: i, podTemplate: {spec: {containers: [{name: app, imagePullPolicy: Sometimes}]}}}}`)
	var err error
	for range 5 {
		_, err = s.pass()
		s.turn()
	}
	if err == nil || !strings.HasPrefix(stalledFor(s), "Refused: ") || !strings.Contains(stalledFor(s), "imagePullPolicy") {
		t.Errorf("stalled for %q after %v", stalledFor(s), err)
	}
	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.App.PodTemplate = nil })
	s.settle()
	s.ready()
}

// A podTemplate that cannot be one is the user's mistake: what runs goes on, and is still scaled.
func TestInvalidTemplateLeavesWhatRuns(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.deploy(alone)
	s.settle()
	revision := revisionOf(s)
	writes := len(s.writes)
	s.change(func(app *v1alpha1.ScalableApp) {
		app.Spec.App.PodTemplate = rawJSON(`{"spec":{"containres":[]}}`)
		app.Spec.App.Replicas = new(int32(5))
	})
	s.settle()
	if got := stalledFor(s); !strings.HasPrefix(got, "InvalidSpec: ") || !strings.Contains(got, "containres") {
		t.Errorf("stalled for %q", got)
	}
	if i := slices.IndexFunc(s.writes[writes:], func(w string) bool { return strings.HasPrefix(w, "delete") }); i >= 0 {
		t.Errorf("it deletes: %v", s.writes[writes:])
	}
	if got := s.app().Status.App.ReadyReplicas; revisionOf(s) != revision || got != 5 {
		t.Errorf("%d pods of %s serve, want 5 of %s", got, revisionOf(s), revision)
	}
}

// Somebody else's write to the app between the operator's reading and its writing is no error.
func TestConflictIsTriedAgainSoon(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.deploy(alone)
	s.change(func(app *v1alpha1.ScalableApp) { app.Labels = map[string]string{"a": "b"} })
	s.seen.freeze(1) // the operator still sees the app as it was created
	result, err := s.pass()
	if err != nil || result.RequeueAfter == 0 {
		t.Errorf("the pass ended with %v and is made again after %s", err, result.RequeueAfter)
	}
	wantWrites(t, s.writes)
}
