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

// unfit says whether the spec's database cannot be as it is wanted, or nobody can say yet. Then nothing of the
// database or the pooler is changed: what there is goes on.
func (b *builder) unfit() bool {
	return components.DatabaseFits(b.in) != nil || components.ParametersUnanswered(b.in) != ""
}

// withoutDatabase are the objects but for those of the database and its poolers. The database's Services stay:
// they follow its members, whatever the spec wants.
func withoutDatabase(objects []components.Object) []components.Object {
	return slices.DeleteFunc(objects, func(o components.Object) bool {
		id := Identify(o)
		return id.Component == naming.ComponentDatabase && id.Kind != "Service" || id.Component == naming.ComponentPooler
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
