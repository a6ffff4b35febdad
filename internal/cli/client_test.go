package cli

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Every error that a person meets on a strange cluster names the way out.
func TestExplain(t *testing.T) {
	odd := errors.New("odd")
	apps := schema.GroupResource{Group: "apps.scalableapp.dev", Resource: "scalableapps"}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"no CRD, by discovery": {fmt.Errorf("list: %w", &meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "ScalableApp"}}), "CRD is not installed"},
		"no CRD, by request":   {apierrors.NewGenericServerResponse(404, "get", apps, "shop", "404 page not found", 0, true), "CRD is not installed"},
		"no such app":          {apierrors.NewNotFound(apps, "shop"), `"shop" not found`},
		"no rights":            {apierrors.NewForbidden(apps, "shop", errors.New("no")), "auth can-i --list"},
		"not logged in":        {apierrors.NewUnauthorized("who?"), "log in again"},
		"no cluster":           {&url.Error{Op: "Get", URL: "https://host", Err: &net.OpError{Op: "dial", Err: odd}}, "Is the cluster up"},
		"anything else":        {odd, "odd"},
	} {
		if got := explain(c.err); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q holds no %q", name, got, c.want)
		}
	}
}
