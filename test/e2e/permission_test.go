package e2e

import (
	"context"
	"errors"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// errNotYet is for conditions of which there is no more to say.
var errNotYet = errors.New("not yet")

// An operator that lacks a permission says which, and goes on when it has it.
func TestMissingPermission(t *testing.T) {
	w := newWorld(t)
	const lost = "poddisruptionbudgets"
	editRole(t, func(role *rbacv1.ClusterRole) { withoutCreate(role, lost) })
	t.Cleanup(func() { editRole(t, func(role *rbacv1.ClusterRole) { withCreate(role, lost) }) })

	w.create(w.bare("shop", 1))
	stalled := w.waitStalled("shop", v1alpha1.ReasonForbidden, lost, operatorUser)
	t.Log(readyMessage(stalled))
	editRole(t, func(role *rbacv1.ClusterRole) { withCreate(role, lost) })
	w.waitReady("shop")
}

// editRole edits the operator's ClusterRole; it is also used after the test's context has ended.
func editRole(t *testing.T, edit func(*rbacv1.ClusterRole)) {
	t.Helper()
	for range 10 {
		role := &rbacv1.ClusterRole{}
		if err := api.Get(context.Background(), client.ObjectKey{Name: operatorName}, role); err != nil {
			t.Fatalf("the operator's role: %v", err)
		}
		edit(role)
		err := api.Update(context.Background(), role)
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			t.Fatalf("the operator's role: %v", err)
		}
	}
	t.Fatal("the operator's role changes faster than it can be edited")
}

func withoutCreate(role *rbacv1.ClusterRole, resource string) {
	for i := range role.Rules {
		if slices.Contains(role.Rules[i].Resources, resource) {
			role.Rules[i].Verbs = slices.DeleteFunc(role.Rules[i].Verbs, func(verb string) bool { return verb == "create" || verb == "patch" })
		}
	}
}

func withCreate(role *rbacv1.ClusterRole, resource string) {
	for i := range role.Rules {
		for _, verb := range []string{"create", "patch"} {
			if slices.Contains(role.Rules[i].Resources, resource) && !slices.Contains(role.Rules[i].Verbs, verb) {
				role.Rules[i].Verbs = append(role.Rules[i].Verbs, verb)
			}
		}
	}
}

// deleteAtEnd deletes what belongs to no namespace.
func deleteAtEnd(t *testing.T, object client.Object) {
	t.Helper()
	if err := api.Delete(context.Background(), object); client.IgnoreNotFound(err) != nil {
		t.Errorf("remove %s: %v", object.GetName(), err)
	}
}
