package controllers

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/apply"
)

// A pass may fail in several ways at once. What a person has to mend is found among them, wherever it
// stands and however it is wrapped; what passes by itself is nobody's business.
func TestExplain(t *testing.T) {
	resource := schema.GroupResource{Resource: "services"}
	taken := fmt.Errorf("apply: %w", &apply.ConflictError{Kind: "Service", Name: "shop", Owner: "nobody"})
	conflict := fmt.Errorf("apply: %w", apierrors.NewConflict(resource, "shop", errors.New("newer")))
	forbidden := fmt.Errorf("apply: %w", apierrors.NewForbidden(resource, "shop", errors.New("no permission")))
	quota := fmt.Errorf("apply: %w", apierrors.NewForbidden(resource, "shop", errors.New("exceeded quota: q")))
	invalid := fmt.Errorf("apply: %w", apierrors.NewBadRequest("no such field"))
	away := fmt.Errorf("apply: %w", apierrors.NewServiceUnavailable("later"))
	for name, c := range map[string]struct {
		err    error
		reason string
	}{
		"taken":                              {taken, v1alpha1.ReasonNameConflict},
		"forbidden":                          {forbidden, v1alpha1.ReasonForbidden},
		"quota":                              {quota, v1alpha1.ReasonQuotaExceeded},
		"refused":                            {invalid, v1alpha1.ReasonRefused},
		"a newer object":                     {conflict, ""},
		"an API server that is away":         {away, ""},
		"a newer object and a taken name":    {errors.Join(conflict, taken), v1alpha1.ReasonNameConflict},
		"a taken name and a newer object":    {errors.Join(taken, conflict), v1alpha1.ReasonNameConflict},
		"joined and wrapped":                 {fmt.Errorf("observe: %w", errors.Join(away, forbidden)), v1alpha1.ReasonForbidden},
		"several that pass by themselves":    {errors.Join(away, conflict), ""},
		"the first of several is what shows": {errors.Join(invalid, taken), v1alpha1.ReasonRefused},
	} {
		t.Run(name, func(t *testing.T) {
			got, known := explain(c.err)
			if got.Reason != c.reason || known != (c.reason != "") || known == (got.Message == "") {
				t.Errorf("%q (%t): %s, want %q", got.Reason, known, got.Message, c.reason)
			}
		})
	}
}

// Only a conflict is kept out of the log, and the pass is made again soon.
func TestQuiet(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "services"}, "shop", errors.New("newer"))
	if result, err := quiet(fmt.Errorf("store status: %w", conflict)); err != nil || result.RequeueAfter != retryConflict {
		t.Errorf("a conflict ends with %v, and again after %s", err, result.RequeueAfter)
	}
	other := errors.New("boom")
	if _, err := quiet(other); !errors.Is(err, other) {
		t.Errorf("another error ends with %v", err)
	}
}
