package plan

import (
	"slices"
	"strings"

	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/status"
)

// poolerActions tell a pooler to leave the connections that it has when the database's roles are no longer
// where they were when it was last told: a pool that stays with a former primary fails writes until somebody
// notices, and one that stays with a replica that lags, or with the primary when a replica is back, reads
// from the wrong one. What the pods were last told stands on the Deployment, so that it is done once, and is
// not forgotten.
func (b *builder) poolerActions(database string) []action.Action {
	if database == "" {
		return nil // nobody to go to
	}
	var actions []action.Action
	for _, pooler := range b.seen.Poolers {
		told := database
		if pooler.Labels[naming.LabelPooler] == naming.PoolerReadOnly {
			told += " replicas " + strings.Join(b.servingReplicas(), ",")
		}
		addresses := b.poolerAddresses(pooler.Labels[naming.LabelPooler])
		if pooler.Annotations[naming.AnnotationPoolerTold] == told || len(addresses) == 0 {
			continue
		}
		actions = append(actions, action.PoolerReconnect{
			Pooler: pooler.Name, UID: pooler.UID, Addresses: addresses, Told: told,
			Credentials: components.PoolerCredentials(b.app),
		})
	}
	return actions
}

// primaryTerm is the primary and the number of the change that made it one, or empty while there is none.
func (b *builder) primaryTerm(primary string) string {
	return components.PrimaryTerm(b.seen.ConfigMap(naming.DatabaseLeader(b.app)), primary)
}

func (b *builder) servingReplicas() []string {
	labels := naming.Selector(b.app, naming.ComponentDatabase)
	labels[naming.LabelRole] = "replica"
	var names []string
	for _, pod := range b.seen.PodsWith(labels) {
		if status.Serving(pod) {
			names = append(names, pod.Name)
		}
	}
	return names
}

// poolerAddresses are the consoles of the pods that serve, and of those that are about to end: they still
// have clients.
func (b *builder) poolerAddresses(kind string) []string {
	var addresses []string
	for _, pod := range b.seen.PodsWith(naming.PoolerSelector(b.app, kind)) {
		if address := components.PoolerAddress(pod); address != "" {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// unfit says whether the spec's database cannot be as it is wanted, or nobody can say yet. Then the database and the
// pooler stay as they are.
func (b *builder) unfit() bool {
	return components.DatabaseFits(b.in) != nil || components.ParametersUnanswered(b.in) != ""
}

// withoutDatabase are the objects but for those that say how the database and its poolers shall be. What keeps a
// database going that there is stays: certificates, the keys of the backups' store, bindings, Services, which follow its
// members whatever the spec wants. Before the first start is over there is nothing to keep going.
func (b *builder) withoutDatabase(objects []components.Object) []components.Object {
	first, pooled := !components.DatabaseInitialized(b.in), len(b.seen.Poolers) > 0
	bindsPooler := b.app.Spec.Database.Postgres.Pooler != nil
	settings := []string{naming.DatabaseConfig(b.app), naming.PatroniRecords(b.app)[0]}
	return slices.DeleteFunc(objects, func(o components.Object) bool {
		id := Identify(o)
		switch {
		case id.Component == naming.ComponentPooler:
			return first || !pooled || id.Kind != "Secret"
		case id.Component != naming.ComponentDatabase || id.Kind == "Service":
			return false
		case id.Kind == "StatefulSet" || id.Kind == "ConfigMap" && slices.Contains(settings, id.Name):
			return true
		case id.Name == naming.DatabaseBinding(b.app):
			return first || bindsPooler != pooled // the app is led to no pooler that is not there
		default:
			return first
		}
	})
}

// boundPooler says whether poolers that the plan does not name are kept: for pods that still have their
// address, and while the passwords were not seen.
func (b *builder) boundPooler(objects []components.Object) bool {
	return !slices.ContainsFunc(objects, func(o components.Object) bool {
		id := Identify(o)
		return id.Kind == "Deployment" && id.Component == naming.ComponentPooler
	})
}
