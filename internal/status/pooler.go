package status

import (
	"fmt"
	"slices"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

func wantsPooler(app *v1alpha1.ScalableApp) bool {
	return app.Spec.Database != nil && app.Spec.Database.Postgres != nil && app.Spec.Database.Postgres.Pooler != nil
}

// pooled adds to a good verdict of the database what becomes of its poolers: where the app writes through
// one, a database whose poolers are away takes no writes.
func pooled(in Input, v verdict) verdict {
	if !v.ok || !wantsPooler(in.App) {
		return v
	}
	for _, kind := range []string{naming.PoolerReadWrite, naming.PoolerReadOnly} {
		if kind == naming.PoolerReadOnly && in.App.Spec.Database.Postgres.Instances < 2 {
			continue // the other one has its part, too
		}
		if missing := noPooler(in, kind); missing != "" {
			reason := v1alpha1.ReasonUnavailable
			if kind == naming.PoolerReadOnly {
				reason = v1alpha1.ReasonDegraded
			}
			return bad(v.kind, reason, "%s, but %s%s", v.message, missing, runbook("pooler-unavailable"))
		}
	}
	return v
}

// noPooler says in words that no pod of a pooler serves, and why; empty means that one does.
func noPooler(in Input, kind string) string {
	pods := in.Observed.PodsWith(naming.PoolerSelector(in.App, kind))
	if slices.ContainsFunc(pods, Serving) {
		return ""
	}
	text := fmt.Sprintf("no pod of its pooler %s serves", naming.Pooler(in.App, kind))
	if trouble := PodTrouble(pods); trouble.Message != "" {
		text += ": " + trouble.Message
	}
	return text
}
