package components

import (
	"fmt"
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

const (
	poolerDir    = "/etc/pgbouncer"
	poolerRunDir = "/run/pgbouncer"

	// poolerRole asks the database who may log in; images/postgres/sync-roles makes it.
	poolerRole = "pooler"
	// poolerAdmin is the user of PgBouncer's console.
	poolerAdmin = "pgbouncer"
	// poolerStats may look at the console and do nothing there.
	poolerStats = "stats"

	// poolerDrainSeconds is how long clients have to leave a pooler that ends, and poolerGraceSeconds
	// covers that and the transactions that are under way then.
	poolerDrainSeconds = 40
	poolerGraceSeconds = 70
)

// Pooler is PgBouncer between the app and the database: one set of pods before the primary, and one before
// the replicas, if there are any. Nothing is kept before the passwords are there.
func Pooler(in Input) []Object {
	users := poolerUsers(in)
	if !wantsPooler(in.App) || users == "" {
		return nil
	}
	// The certificate is in the Secret that their pods mount as a whole: pods of an older operator have it, too.
	data := map[string][]byte{poolerUsersFile: []byte(users)}
	maps.Copy(data, poolerPair(in))
	objects := []Object{{Intent: corev1ac.Secret(naming.PoolerUsers(in.App), in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentPooler)).
		WithOwnerReferences(owner(in.App)).
		WithType(corev1.SecretTypeOpaque).
		WithData(data)}}
	// Without replicas the address for reads leads to the primary's pooler. It stays: pods of the app have it.
	objects = append(objects,
		poolerService(in, naming.PoolerReadWrite, naming.PoolerReadWrite),
		poolerService(in, naming.PoolerReadOnly, poolerKinds(in.App)[len(poolerKinds(in.App))-1]))
	for _, kind := range poolerKinds(in.App) {
		objects = append(objects, poolerConfig(in, kind), poolerBudget(in, kind), poolerDeployment(in, kind))
	}
	return objects
}

// poolerKinds are the sets of pooler pods.
func poolerKinds(app *v1alpha1.ScalableApp) []string {
	if app.Spec.Database.Postgres.Instances > 1 {
		return []string{naming.PoolerReadWrite, naming.PoolerReadOnly}
	}
	return []string{naming.PoolerReadWrite}
}

func poolerLabels(in Input, kind string) map[string]string {
	labels := labels(in.App, naming.ComponentPooler)
	labels[naming.LabelPooler] = kind
	return labels
}

func poolerService(in Input, kind, leadsTo string) Object {
	return Object{Intent: corev1ac.Service(naming.Pooler(in.App, kind), in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentPooler)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithSelector(naming.PoolerSelector(in.App, leadsTo)).
			WithPorts(servicePort("postgres", postgresPort)))}
}

func poolerBudget(in Input, kind string) Object {
	return Object{Intent: policyv1ac.PodDisruptionBudget(naming.Pooler(in.App, kind), in.App.Namespace).
		WithLabels(poolerLabels(in, kind)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithUnhealthyPodEvictionPolicy("AlwaysAllow").
			WithSelector(matchLabels(naming.PoolerSelector(in.App, kind))))}
}

func poolerDeployment(in Input, kind string) Object {
	return Object{Intent: appsv1ac.Deployment(naming.Pooler(in.App, kind), in.App.Namespace).
		WithLabels(poolerLabels(in, kind)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(appsv1ac.DeploymentSpec().
			WithReplicas(poolerInstances(in.App.Spec.Database.Postgres.Pooler)).
			WithRevisionHistoryLimit(0).
			WithProgressDeadlineSeconds(maxInt32). // a pooler waits for its database as long as it takes
			WithSelector(matchLabels(naming.PoolerSelector(in.App, kind))).
			WithStrategy(appsv1ac.DeploymentStrategy().WithType("RollingUpdate").WithRollingUpdate(
				appsv1ac.RollingUpdateDeployment().WithMaxSurge(intstr.FromInt32(1)).WithMaxUnavailable(intstr.FromInt32(0)))).
			WithTemplate(poolerTemplate(in, kind)))}
}

func poolerTemplate(in Input, kind string) *corev1ac.PodTemplateSpecApplyConfiguration {
	// No checksum of the configuration: the image takes up a change by itself, and cuts nobody off.
	annotations := map[string]string{}
	if len(poolerPair(in)) > 0 {
		annotations[naming.AnnotationTLS] = "started-with"
	}
	return corev1ac.PodTemplateSpec().
		WithAnnotations(annotations).
		WithLabels(poolerLabels(in, kind)).
		WithSpec(corev1ac.PodSpec().
			WithAutomountServiceAccountToken(false).
			WithEnableServiceLinks(false).
			WithTerminationGracePeriodSeconds(poolerGraceSeconds).
			WithSecurityContext(dataPodSecurity()).
			WithTopologySpreadConstraints(corev1ac.TopologySpreadConstraint().
				WithMaxSkew(1).
				WithTopologyKey(corev1.LabelHostname).
				WithWhenUnsatisfiable(corev1.ScheduleAnyway).
				WithLabelSelector(matchLabels(naming.PoolerSelector(in.App, kind)))).
			WithInitContainers(poolerMetrics(in)).
			WithContainers(poolerContainer(in, kind)).
			WithVolumes(poolerVolumes(in, kind)...))
}

func poolerContainer(in Input, kind string) *corev1ac.ContainerApplyConfiguration {
	env := func(name, value string) *corev1ac.EnvVarApplyConfiguration {
		return corev1ac.EnvVar().WithName(name).WithValue(value)
	}
	check := func(what string, period, failures int32) *corev1ac.ProbeApplyConfiguration {
		return corev1ac.Probe().
			WithExec(corev1ac.ExecAction().WithCommand("pooler-check", what)).
			WithPeriodSeconds(period).WithTimeoutSeconds(5).WithFailureThreshold(failures)
	}
	user := postgresUser
	if kind == naming.PoolerReadOnly {
		user = postgresReader
	}
	return corev1ac.Container().
		WithName("pgbouncer").
		WithImage(in.Images.PgBouncer).
		WithPorts(containerPort("postgres", postgresPort)).
		WithEnv(env("DRAIN_SECONDS", strconv.Itoa(poolerDrainSeconds)), env("CHECK_USER", user)).
		WithResources(poolerResources(in.App.Spec.Database.Postgres.Pooler)).
		WithTerminationMessagePolicy(corev1.TerminationMessageFallbackToLogsOnError).
		WithSecurityContext(dataContainerSecurity()).
		// It serves once the database has let it in and has told it of the app's user. From then on it is
		// ready as long as it answers itself: in a failover its clients shall wait, not be refused.
		WithStartupProbe(check("start", 2, 900)).
		WithReadinessProbe(corev1ac.Probe().
			WithTCPSocket(corev1ac.TCPSocketAction().WithPort(intstr.FromString("postgres"))).
			WithPeriodSeconds(2).WithTimeoutSeconds(2).WithFailureThreshold(2)).
		WithLivenessProbe(check("live", 5, 6)).
		WithVolumeMounts(
			corev1ac.VolumeMount().WithName("config").WithMountPath(poolerDir).WithReadOnly(true),
			corev1ac.VolumeMount().WithName("run").WithMountPath(poolerRunDir))
}

// poolerVolumes has the configuration and the users in one volume, so that a change of both is one change.
func poolerVolumes(in Input, kind string) []*corev1ac.VolumeApplyConfiguration {
	sources := corev1ac.ProjectedVolumeSource().WithSources(
		corev1ac.VolumeProjection().WithConfigMap(corev1ac.ConfigMapProjection().WithName(naming.Pooler(in.App, kind))),
		corev1ac.VolumeProjection().WithSecret(corev1ac.SecretProjection().WithName(naming.PoolerUsers(in.App))))
	return []*corev1ac.VolumeApplyConfiguration{
		corev1ac.Volume().WithName("config").WithProjected(sources),
		corev1ac.Volume().WithName("run").WithEmptyDir(corev1ac.EmptyDirVolumeSource()),
		secretKeyVolume(metricsVolume, naming.DatabaseCredentials(in.App), keyPoolerStatsPassword),
	}
}

// poolerResources grow with the clients: each has a buffer or two of 4 KiB and what is kept of its statements.
func poolerResources(pooler *v1alpha1.PoolerSpec) *corev1ac.ResourceRequirementsApplyConfiguration {
	limit := resource.NewQuantity(128*mebi+int64(poolerClients(pooler))*32<<10, resource.BinarySI)
	return corev1ac.ResourceRequirements().
		WithRequests(corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")}).
		WithLimits(corev1.ResourceList{corev1.ResourceMemory: *limit})
}

// The defaults of the schema, for a spec that has not been through it.
func poolerInstances(pooler *v1alpha1.PoolerSpec) int32 { return orElse(pooler.Instances, 2) }
func poolSize(pooler *v1alpha1.PoolerSpec) int32        { return orElse(pooler.PoolSize, 20) }
func poolerClients(pooler *v1alpha1.PoolerSpec) int32 {
	return orElse(pooler.MaxClientConnections, 1000)
}

func orElse(value, otherwise int32) int32 {
	if value == 0 {
		return otherwise
	}
	return value
}

// The reserved connections: what the poolers must leave of max_connections.
const (
	superuserReserved = 3
	// othersReserved are for Patroni, the monitor, sync-roles, migrations, and people.
	othersReserved = 10
	// lookupConnections of each pooler pod are for asking who may log in.
	lookupConnections = 1
)

// PoolerFits says why the poolers' connections do not fit into the database's, or nil.
//
// All of them count against one server. Those for reads, too: with no replica in step they lead to the
// primary, and a replica that becomes the primary has them. While a new version of the poolers is rolled out
// there are twice as many pods: the old ones have time to drain when the new ones serve already.
func PoolerFits(app *v1alpha1.ScalableApp) error {
	if !wantsPooler(app) {
		return nil
	}
	postgres := app.Spec.Database.Postgres
	parameters := userParameters(postgres)
	most, err := strconv.Atoi(orDefault(parameters["max_connections"], defaultMaxConnections))
	if err != nil {
		return fmt.Errorf("database.postgres.parameters: max_connections %q is no number", parameters["max_connections"])
	}
	reserved := othersReserved
	for name, otherwise := range map[string]int{"superuser_reserved_connections": superuserReserved, "reserved_connections": 0} {
		n, err := strconv.Atoi(orDefault(parameters[name], strconv.Itoa(otherwise)))
		if err != nil {
			return fmt.Errorf("database.postgres.parameters: %s %q is no number", name, parameters[name])
		}
		reserved += n
	}
	kinds, pods, size := len(poolerKinds(app)), int(poolerInstances(postgres.Pooler)), int(poolSize(postgres.Pooler))
	total := kinds*2*pods*(size+lookupConnections) + reserved
	if total <= most {
		return nil
	}
	way := fmt.Sprintf("raise max_connections in database.postgres.parameters to at least %d", total)
	if fits := (most-reserved)/(kinds*2*pods) - lookupConnections; fits > 0 {
		way += fmt.Sprintf(", or lower pooler.poolSize to %d or less", fits)
	} else {
		way += ", or lower pooler.instances"
	}
	return fmt.Errorf("database.postgres.pooler may open more connections than the database takes: "+
		"%d (read-write, read-only) x %d pods (twice %d, while a new version is rolled out) x %d (poolSize %d, and %d to look up users) "+
		"+ %d reserved = %d, and max_connections is %d; %s; see docs/runbooks/pooler-does-not-fit.md",
		kinds, 2*pods, pods, size+lookupConnections, size, lookupConnections, reserved, total, most, way)
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
