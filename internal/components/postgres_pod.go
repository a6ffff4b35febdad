package components

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// postgresGraceSeconds bounds a shutdown. Patroni hands over and ends by itself, in seconds as a rule;
// cut short, the hand-over is a failover.
const postgresGraceSeconds = 120

const (
	credentialsDir = "/etc/postgres-credentials"
	patroniDir     = "/etc/patroni"
)

func databaseStatefulSet(in Input) Object {
	postgres := in.App.Spec.Database.Postgres
	storage, instances := postgres.Storage, postgres.Instances
	if d := in.Database; d != nil {
		instances = d.Keep
		if set := in.Observed.StatefulSet(naming.Database(in.App)); set != nil && d.KeepVolumeSize {
			for _, claim := range set.Spec.VolumeClaimTemplates {
				storage.Size = claim.Spec.Resources.Requests[corev1.ResourceStorage]
			}
		}
	}
	return Object{Intent: appsv1ac.StatefulSet(naming.Database(in.App), in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentDatabase)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(appsv1ac.StatefulSetSpec().
			WithReplicas(instances).
			WithServiceName(naming.DatabasePods(in.App)).
			// Members wait for each other, not for the lower ordinal.
			WithPodManagementPolicy(appsv1.ParallelPodManagement).
			// The operator orders restarts: the primary last and after a switchover (internal/database).
			WithUpdateStrategy(appsv1ac.StatefulSetUpdateStrategy().WithType(appsv1.OnDeleteStatefulSetStrategyType)).
			WithPersistentVolumeClaimRetentionPolicy(retention(in, naming.Database(in.App), postgres.Storage)).
			WithSelector(matchLabels(databaseSelector(in))).
			WithTemplate(databaseTemplate(in)).
			WithVolumeClaimTemplates(dataClaim(storage, labels(in.App, naming.ComponentDatabase))))}
}

func databaseTemplate(in Input) *corev1ac.PodTemplateSpecApplyConfiguration {
	// Patroni looks for pods with its labels and its scope; the role it sets itself.
	podLabels := labels(in.App, naming.ComponentDatabase)
	podLabels[naming.LabelDatabase] = naming.Database(in.App)
	return corev1ac.PodTemplateSpec().
		WithLabels(podLabels).
		WithAnnotations(map[string]string{
			annotationConfig: databaseShape(in), naming.AnnotationResources: AskedResources(DatabaseResources(in.App)),
		}).
		WithSpec(corev1ac.PodSpec().
			WithServiceAccountName(naming.Database(in.App)).
			WithAutomountServiceAccountToken(true).
			WithEnableServiceLinks(false).
			WithTerminationGracePeriodSeconds(postgresGraceSeconds).
			WithSecurityContext(dataPodSecurity()).
			WithTopologySpreadConstraints(corev1ac.TopologySpreadConstraint().
				WithMaxSkew(1).
				WithTopologyKey(corev1.LabelHostname).
				WithWhenUnsatisfiable(corev1.ScheduleAnyway).
				WithLabelSelector(matchLabels(databaseSelector(in)))).
			WithInitContainers(databaseMetrics(in)).
			WithContainers(postgresContainer(in), memberServer(in)).
			WithVolumes(postgresVolumes(in)...))
}

// DatabaseContainer is the name of the container that runs Patroni and PostgreSQL.
const DatabaseContainer = "postgres"

// databaseTemplateVersion is raised when a change of the template is worth a restart of every database. Other
// changes of a later operator are taken up by pods as they come: an upgrade of the operator restarts nothing.
const databaseTemplateVersion = 3 // Patroni's passwords in a file, the exporter of metrics and the agent beside PostgreSQL

// databaseShape is what a running pod is held against: the image and the version of the template. Settings
// are Patroni's to change, and resources can change in a running pod.
func databaseShape(in Input) string {
	return checksum(fmt.Sprintf("template %d\nimage %s", databaseTemplateVersion, in.Images.Postgres))
}

// DatabaseOutdated says why a pod of the database has to be made anew, "" if it need not.
func DatabaseOutdated(in Input, pod *corev1.Pod) string {
	if pod.Annotations[annotationConfig] == databaseShape(in) {
		return ""
	}
	for _, c := range pod.Spec.Containers {
		if c.Name == DatabaseContainer && c.Image != in.Images.Postgres {
			return fmt.Sprintf("the image is %s now, not %s", in.Images.Postgres, c.Image)
		}
	}
	return "the template of its pod is another one now"
}

func postgresContainer(in Input) *corev1ac.ContainerApplyConfiguration {
	resources := DatabaseResources(in.App)
	mount := func(name, path string) *corev1ac.VolumeMountApplyConfiguration {
		return corev1ac.VolumeMount().WithName(name).WithMountPath(path)
	}
	return corev1ac.Container().
		WithName(DatabaseContainer).
		WithImage(in.Images.Postgres).
		WithArgs(patroniDir). // all its files; pods of an older operator read patroni.yml alone
		WithPorts(containerPort("postgres", postgresPort), containerPort("patroni", patroniPort)).
		WithEnv(postgresEnv(in)...).
		WithResources(resourcesOr(resources, nil, nil)).
		WithTerminationMessagePolicy(corev1.TerminationMessageFallbackToLogsOnError).
		WithSecurityContext(dataContainerSecurity()).
		// Long, for a crash recovery or the copy of a large database. /liveness fails when Patroni's loop
		// stands still; neither probe asks SQL.
		WithStartupProbe(patroniProbe("/liveness", 2, 900)).
		WithLivenessProbe(patroniProbe("/liveness", 5, 4)).
		// Not /readiness: in Patroni 4.0 it takes no heed of the lag.
		WithReadinessProbe(patroniProbe("/read-only?lag=16MB", 3, 3)).
		WithVolumeMounts(
			mount(dataVolume, postgresDataDir),
			mount("config", patroniDir).WithReadOnly(true),
			mount("credentials", credentialsDir).WithReadOnly(true),
			mount("run", postgresRunDir),
			mount("tmp", "/tmp"),
			mount("shm", "/dev/shm")).
		WithVolumeMounts(pgbackrestMounts()...).
		WithVolumeMounts(readOnly(tlsVolume, postgresTLSDir))
}

// memberServer lets the backup pod read a member's files, has PostgreSQL take up a renewed certificate, and
// runs the agent: it answers the operator what only the image's PostgreSQL knows, and sees whether the volume lives.
// It is there with and without backups, so that switching them on makes no pod anew.
func memberServer(in Input) *corev1ac.ContainerApplyConfiguration {
	return pgbackrestServer(in).
		WithArgs("--postgres").
		WithPorts(containerPort(agentPortName, AgentPort)).
		WithResources(resourcesOr(corev1.ResourceRequirements{}, corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("56Mi"),
		}, corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")})).
		WithVolumeMounts(
			readOnly("agent", "/etc/postgres-agent"),
			corev1ac.VolumeMount().WithName(dataVolume).WithMountPath(postgresDataDir), // the agent writes there, to see that it can
			corev1ac.VolumeMount().WithName("run").WithMountPath(postgresRunDir),
			readOnly(tlsVolume, postgresTLSDir))
}

func patroniProbe(path string, period, failures int32) *corev1ac.ProbeApplyConfiguration {
	return corev1ac.Probe().
		WithHTTPGet(corev1ac.HTTPGetAction().WithPath(path).WithPort(intstr.FromString("patroni")).WithScheme(corev1.URISchemeHTTP)).
		WithPeriodSeconds(period).WithTimeoutSeconds(5).WithFailureThreshold(failures)
}

// postgresEnv is Patroni's environment and that of the image's sync-roles. All passwords that are ever exchanged
// come from the mounted Secret, so that they can change without a restart.
func postgresEnv(in Input) []*corev1ac.EnvVarApplyConfiguration {
	value := func(name, value string) *corev1ac.EnvVarApplyConfiguration {
		return corev1ac.EnvVar().WithName(name).WithValue(value)
	}
	field := func(name, path string) *corev1ac.EnvVarApplyConfiguration {
		return corev1ac.EnvVar().WithName(name).WithValueFrom(corev1ac.EnvVarSource().
			WithFieldRef(corev1ac.ObjectFieldSelector().WithAPIVersion("v1").WithFieldPath(path)))
	}
	secret := naming.DatabaseCredentials(in.App)
	return []*corev1ac.EnvVarApplyConfiguration{
		field("PATRONI_NAME", "metadata.name"),
		field("PATRONI_KUBERNETES_POD_IP", "status.podIP"), // before those that refer to it
		value("PATRONI_POSTGRESQL_CONNECT_ADDRESS", fmt.Sprintf("$(PATRONI_KUBERNETES_POD_IP):%d", postgresPort)),
		value("PATRONI_RESTAPI_CONNECT_ADDRESS", fmt.Sprintf("$(PATRONI_KUBERNETES_POD_IP):%d", patroniPort)),
		value("PATRONI_RESTAPI_USERNAME", patroniUser),
		secretEnv("PATRONI_RESTAPI_PASSWORD", secret, keyRestAPIPassword),
		value("BACKUP_STANZA", naming.Stanza(in.App)),
		value("SUPERUSER_NAME", postgresSuperuser),
		value("REPLICATION_NAME", postgresReplication),
		value("REPLICATION_B_NAME", postgresReplication+secondSuffix),
		value("REWIND_NAME", postgresRewind),
		value("REWIND_B_NAME", postgresRewind+secondSuffix),
		value("APP_DATABASE", postgresDatabase),
		value("APP_OWNER", postgresOwner),
		value("APP_USER", postgresUser),
		value("APP_B_USER", postgresUser+secondSuffix),
		value("APP_RO_USER", postgresReader),
		value("APP_RO_B_USER", postgresReader+secondSuffix),
		value("MONITOR_USER", postgresMonitor),
	}
}

func postgresVolumes(in Input) []*corev1ac.VolumeApplyConfiguration {
	volume := corev1ac.Volume
	return []*corev1ac.VolumeApplyConfiguration{
		volume().WithName("config").WithProjected(corev1ac.ProjectedVolumeSource().WithDefaultMode(0o440).WithSources(
			corev1ac.VolumeProjection().WithConfigMap(corev1ac.ConfigMapProjection().WithName(naming.DatabaseConfig(in.App))),
			corev1ac.VolumeProjection().WithSecret(corev1ac.SecretProjection().WithName(naming.DatabaseCredentials(in.App)).
				WithItems(corev1ac.KeyToPath().WithKey(keyAuthentication).WithPath(keyAuthentication))))),
		volume().WithName("credentials").WithSecret(corev1ac.SecretVolumeSource().WithSecretName(naming.DatabaseCredentials(in.App))),
		secretVolume("pgbackrest", naming.BackupConfig(in.App)),
		secretVolume("pgbackrest-tls", naming.BackupTLS(in.App)),
		secretVolume(tlsVolume, naming.DatabaseTLS(in.App)),
		secretKeyVolume(metricsVolume, naming.DatabaseCredentials(in.App), keyMonitorPassword),
		secretKeyVolume("agent", naming.DatabaseCredentials(in.App), keyRestAPIPassword),
		volume().WithName("run").WithEmptyDir(corev1ac.EmptyDirVolumeSource()),
		volume().WithName("tmp").WithEmptyDir(corev1ac.EmptyDirVolumeSource()),
		// Without a /dev/shm that it can write Patroni looks healthy and never fails over.
		volume().WithName("shm").WithEmptyDir(corev1ac.EmptyDirVolumeSource().WithMedium(corev1.StorageMediumMemory)),
	}
}
