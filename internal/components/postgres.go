package components

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/scalableapp/scalableapp-operator/internal/backup"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

const (
	postgresPort = 5432
	patroniPort  = 8008

	postgresDatabase    = "app"
	postgresOwner       = "app_owner"
	postgresUser        = "app"
	postgresReader      = "app_ro"
	postgresMonitor     = "monitor"
	postgresSuperuser   = "postgres"
	postgresReplication = "standby"
	postgresRewind      = "rewind"
	patroniUser         = "patroni"

	postgresDataDir = "/var/lib/postgresql/data"
	pgData          = postgresDataDir + "/pgdata"
	postgresRunDir  = "/run/postgresql"

	rolePrimary = "primary"
	roleReplica = "replica"

	// maxInstances is the most that the API allows.
	maxInstances = 9
)

// Postgres is the database: a StatefulSet of PostgreSQL servers under Patroni, which keeps its state in
// ConfigMaps, decides who is primary and labels the pods by it; the Services follow the label.
func Postgres(in Input) []Object {
	if !wantsPostgres(in.App) {
		return nil
	}
	objects := []Object{
		serviceAccount(in), role(in), roleBinding(in),
		databaseConfig(in), backupConfig(in),
		databasePods(in), databaseReadWrite(in), databaseReadOnly(in),
	}
	if in.App.Spec.Database.Postgres.Instances > 1 {
		objects = append(objects, databaseBudget(in))
	}
	objects = append(objects, patroniRecords(in)...)
	if in.Observed.StatefulSet(naming.Database(in.App)) == nil && backup.RestoreObstacle(in.App, in.Observed).Reason != "" {
		return objects // a database that was asked for with another's data must not start without
	}
	// Last, so that all is there that a pod needs. It is wanted whatever was seen: a StatefulSet that is
	// left out of a pass is deleted, and its volumes may go with it.
	return append(objects, databaseStatefulSet(in))
}

func serviceAccount(in Input) Object {
	return Object{Intent: corev1ac.ServiceAccount(naming.Database(in.App), in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentDatabase)).
		WithOwnerReferences(owner(in.App)).
		WithAutomountServiceAccountToken(false)} // the pods of the database ask for it themselves
}

// role is what Patroni needs and no more: a superuser of the database can read the pod's
// token, so writes are bound to names. list, watch and create cannot be.
func role(in Input) Object {
	rule := func(resource string, verbs ...string) *rbacv1ac.PolicyRuleApplyConfiguration {
		return rbacv1ac.PolicyRule().WithAPIGroups("").WithResources(resource).WithVerbs(verbs...)
	}
	// All pods that the API allows, so that a member that is scaled away can still hand over.
	var pods []string
	for i := range maxInstances {
		pods = append(pods, fmt.Sprintf("%s-%d", naming.Database(in.App), i))
	}
	return Object{Intent: rbacv1ac.Role(naming.Database(in.App), in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentDatabase)).
		WithOwnerReferences(owner(in.App)).
		WithRules(
			rule("configmaps", "create", "get", "list", "watch"),
			rule("configmaps", "patch", "update").WithResourceNames(naming.PatroniRecords(in.App)...),
			rule("pods", "get", "list", "watch"),
			rule("pods", "patch").WithResourceNames(pods...))}
}

func roleBinding(in Input) Object {
	name := naming.Database(in.App)
	return Object{Intent: rbacv1ac.RoleBinding(name, in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentDatabase)).
		WithOwnerReferences(owner(in.App)).
		WithRoleRef(rbacv1ac.RoleRef().WithAPIGroup(rbacv1.GroupName).WithKind("Role").WithName(name)).
		WithSubjects(rbacv1ac.Subject().WithKind(rbacv1.ServiceAccountKind).WithName(name).WithNamespace(in.App.Namespace))}
}

// databasePods is the headless Service of the members: they must find each other before they are ready.
func databasePods(in Input) Object {
	return Object{Intent: corev1ac.Service(naming.DatabasePods(in.App), in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentDatabase)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithClusterIP(corev1.ClusterIPNone).
			WithPublishNotReadyAddresses(true).
			WithSelector(databaseSelector(in)).
			WithPorts(servicePort("postgres", postgresPort), servicePort("patroni", patroniPort)))}
}

func databaseReadWrite(in Input) Object {
	return databaseService(in, naming.DatabaseReadWrite(in.App), rolePrimary)
}

// databaseReadOnly leads to the replicas. With none that is in step the primary has to serve the reads too.
func databaseReadOnly(in Input) Object {
	replicas := databaseSelector(in)
	replicas[naming.LabelRole] = roleReplica
	if slices.ContainsFunc(in.Observed.PodsWith(replicas), ready) {
		return databaseService(in, naming.DatabaseReadOnly(in.App), roleReplica)
	}
	return databaseService(in, naming.DatabaseReadOnly(in.App), rolePrimary)
}

func ready(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func databaseService(in Input, name, role string) Object {
	return Object{Intent: corev1ac.Service(name, in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentDatabase)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithSelector(map[string]string{naming.LabelDatabase: naming.Database(in.App), naming.LabelRole: role}).
			WithPorts(servicePort("postgres", postgresPort)))}
}

// databaseBudget lets one member go at a time. One that is not ready protects nothing.
func databaseBudget(in Input) Object {
	return Object{Intent: policyv1ac.PodDisruptionBudget(naming.Database(in.App), in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentDatabase)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithUnhealthyPodEvictionPolicy("AlwaysAllow").
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(databaseSelector(in))))}
}

func databaseSelector(in Input) map[string]string {
	return naming.Selector(in.App, naming.ComponentDatabase)
}
