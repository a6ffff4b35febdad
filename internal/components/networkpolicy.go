package components

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/backup"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// NetworkPolicies close the data tier to everything but this app and the operator, and its metrics to nobody, as
// those of the app. They say nothing of egress: the operator cannot know what the app has to reach. The
// app itself is open to everybody on its ports, and so to the operator, which reads its metrics and asks its gates.
// The kubelet's probes come from the pod's own node, which policies do not concern.
func NetworkPolicies(in Input) []Object {
	if in.App.Spec.NetworkPolicy == v1alpha1.NetworkPolicyDisabled {
		return restorePolicy(in)
	}
	app := componentPeer(in.App, naming.ComponentApp)
	clients := []*peer{app, componentPeer(in.App, naming.ComponentMigration)}
	if slices.ContainsFunc(in.App.Spec.Rollout.Gates, bindsGate) {
		clients = append(clients, componentPeer(in.App, naming.ComponentGate))
	}

	objects := []Object{networkPolicy(in, naming.ComponentApp, naming.Service(in.App),
		networkingv1ac.NetworkPolicyIngressRule().WithPorts(appPorts()...))}
	if wantsPostgres(in.App) {
		members := componentPeer(in.App, naming.ComponentDatabase)
		backups := componentPeer(in.App, naming.ComponentBackup)
		database := slices.Concat(clients, []*peer{members, backups})
		// Whether or not the spec asks for poolers: those of a revision that still runs may be there.
		database = append(database, componentPeer(in.App, naming.ComponentPooler))
		objects = append(objects, networkPolicy(in, naming.ComponentDatabase, naming.Database(in.App),
			ingress(database, postgresPort),
			// Patroni's API can switch over and restart, the agent runs PostgreSQL's programs: for members and the
			// operator alone.
			ingress(slices.Concat([]*peer{members}, operatorPeers(in)), patroniPort),
			ingress(slices.Concat([]*peer{members}, operatorPeers(in)), AgentPort),
			ingress([]*peer{backups}, pgbackrestPort),
			ingress(nil, postgresMetricsPort)))
		if backup.Spec(in.App) != nil { // the members archive to the repository on a volume
			objects = append(objects, networkPolicy(in, naming.ComponentBackup, naming.Backup(in.App), ingress([]*peer{members}, pgbackrestPort)))
		}
		objects = append(objects, restorePolicy(in)...)
	}
	if wantsPooler(in.App) {
		objects = append(objects, networkPolicy(in, naming.ComponentPooler, naming.PoolerUsers(in.App),
			ingress(slices.Concat(clients, operatorPeers(in)), postgresPort),
			ingress(nil, poolerMetricsPort)))
	}
	for _, r := range redises(in.App) {
		if r.members == 1 {
			objects = append(objects, networkPolicy(in, r.component, r.name,
				ingress(slices.Concat(clients, operatorPeers(in)), redisPort), ingress(nil, redisExporterPort)))
			continue
		}
		group := []*peer{componentPeer(in.App, r.component), componentPeer(in.App, r.sentinel)}
		objects = append(objects,
			networkPolicy(in, r.component, r.name,
				ingress(slices.Concat(clients, group, operatorPeers(in)), redisPort), ingress(nil, redisExporterPort)),
			// Sentinels can fail over: for members, each other and the operator alone.
			networkPolicy(in, r.sentinel, naming.RedisSentinel(r.name), ingress(slices.Concat(group, operatorPeers(in)), sentinelPort)))
	}
	return objects
}

// restorePolicy lets the members into another app's repository while the database is restored from it, by a policy of
// its own: the other app is not touched. Whether that one has policies decides: where it has none, this would be the
// only one, and shut its own members out.
func restorePolicy(in Input) []Object {
	source := in.Observed.Source
	if source == nil || source.App == nil || source.App.Spec.NetworkPolicy == v1alpha1.NetworkPolicyDisabled {
		return nil
	}
	return []Object{{Intent: networkingv1ac.NetworkPolicy(naming.Restore(in.App), in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentBackup)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(networkingv1ac.NetworkPolicySpec().
			WithPodSelector(matchLabels(naming.Selector(source.App, naming.ComponentBackup))).
			WithPolicyTypes(networkingv1.PolicyTypeIngress).
			WithIngress(ingress([]*peer{componentPeer(in.App, naming.ComponentDatabase)}, pgbackrestPort)))}}
}

type peer = networkingv1ac.NetworkPolicyPeerApplyConfiguration

func networkPolicy(in Input, component, name string, rules ...*networkingv1ac.NetworkPolicyIngressRuleApplyConfiguration) Object {
	return Object{Intent: networkingv1ac.NetworkPolicy(name, in.App.Namespace).
		WithLabels(labels(in.App, component)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(networkingv1ac.NetworkPolicySpec().
			WithPodSelector(matchLabels(naming.Selector(in.App, component))).
			WithPolicyTypes(networkingv1.PolicyTypeIngress).
			WithIngress(rules...))}
}

func ingress(from []*peer, port int32) *networkingv1ac.NetworkPolicyIngressRuleApplyConfiguration {
	return networkingv1ac.NetworkPolicyIngressRule().WithFrom(from...).WithPorts(policyPort(intstr.FromInt32(port)))
}

// appPorts are the ports of the app's pods by their names: while a revision with another port takes
// over, each pod is let be reached on its own.
func appPorts() []*networkingv1ac.NetworkPolicyPortApplyConfiguration {
	return []*networkingv1ac.NetworkPolicyPortApplyConfiguration{
		policyPort(intstr.FromString("http")), policyPort(intstr.FromString("metrics")),
	}
}

func policyPort(port intstr.IntOrString) *networkingv1ac.NetworkPolicyPortApplyConfiguration {
	return networkingv1ac.NetworkPolicyPort().WithProtocol(corev1.ProtocolTCP).WithPort(port)
}

func componentPeer(app *v1alpha1.ScalableApp, component string) *peer {
	return networkingv1ac.NetworkPolicyPeer().WithPodSelector(matchLabels(naming.Selector(app, component)))
}

func operatorPeers(in Input) []*peer {
	if in.OperatorNamespace == "" {
		return nil
	}
	return []*peer{networkingv1ac.NetworkPolicyPeer().WithNamespaceSelector(
		metav1ac.LabelSelector().WithMatchLabels(map[string]string{corev1.LabelMetadataName: in.OperatorNamespace}))}
}
