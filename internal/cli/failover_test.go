package cli

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

func TestCanFailOver(t *testing.T) {
	for name, c := range map[string]struct {
		edit   func(*v1alpha1.ScalableApp)
		to     string
		accept bool
		want   string
	}{
		"agreed":               {to: "shop-db-1", accept: true},
		"without consent":      {to: "shop-db-1", want: "only shop-db-0 holds every acknowledged commit; if that is agreed add --accept-data-loss"},
		"to nobody":            {accept: true, want: "--to=INSTANCE"},
		"somebody leads":       {to: "shop-db-1", accept: true, want: "kubectl scalableapp switchover shop", edit: func(app *v1alpha1.ScalableApp) { app.Status.Database.Primary = "shop-db-0" }},
		"there is no database": {to: "shop-db-1", accept: true, want: "has no database that the operator runs", edit: func(app *v1alpha1.ScalableApp) { app.Spec.Database = nil }},
	} {
		app := &v1alpha1.ScalableApp{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
		app.Spec.Database = &v1alpha1.DatabaseSpec{Postgres: &v1alpha1.PostgresSpec{Instances: 2}}
		app.Status.Database = &v1alpha1.DatabaseStatus{}
		app.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionDatabaseReady, Status: metav1.ConditionFalse,
			Message: "only shop-db-0 holds every acknowledged commit"}}
		if c.edit != nil {
			c.edit(app)
		}
		switch err := canFailOver(app, c.to, c.accept); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
