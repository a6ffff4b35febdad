package components

import (
	"encoding/json"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/backup"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// The keys of the ConfigMap by which the operator tells the backup agent what is wanted.
const (
	keyFullSchedule         = "fullSchedule"
	keyDifferentialSchedule = "differentialSchedule"
	keyRequest              = "request"
)

// Backup is the pod that makes the backups on time, and on a volume keeps them too. Its agent asks for nothing
// of the operator: backups go on while that is away.
func Backup(in Input) []Object {
	if backup.Spec(in.App) == nil {
		return nil
	}
	if in.Observed.StatefulSet(naming.Database(in.App)) == nil && backup.RestoreObstacle(in.App, in.Observed).Reason != "" {
		return nil // there is no database to make backups of
	}
	return append(backupAccount(in), backupRecord(in), backupService(in), backupStatefulSet(in))
}

// backupRecord tells the agent what is wanted; its report goes to an annotation, which is not applied here.
func backupRecord(in Input) Object {
	spec := backup.Spec(in.App)
	data := map[string]string{keyFullSchedule: spec.FullSchedule, keyDifferentialSchedule: spec.DifferentialSchedule}
	if word := in.App.Annotations[naming.AnnotationBackup]; word != "" {
		data[keyRequest] = word
	}
	return Object{Intent: corev1ac.ConfigMap(naming.Backup(in.App), in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentBackup)).
		WithOwnerReferences(owner(in.App)).
		WithData(data)}
}

// backupAccount lets the agent read and annotate its own ConfigMap and no more.
func backupAccount(in Input) []Object {
	name := naming.Backup(in.App)
	return []Object{
		{Intent: corev1ac.ServiceAccount(name, in.App.Namespace).
			WithLabels(labels(in.App, naming.ComponentBackup)).
			WithOwnerReferences(owner(in.App)).
			WithAutomountServiceAccountToken(false)},
		{Intent: rbacv1ac.Role(name, in.App.Namespace).
			WithLabels(labels(in.App, naming.ComponentBackup)).
			WithOwnerReferences(owner(in.App)).
			WithRules(rbacv1ac.PolicyRule().WithAPIGroups("").WithResources("configmaps").
				WithVerbs("list", "watch", "patch").WithResourceNames(name))},
		{Intent: rbacv1ac.RoleBinding(name, in.App.Namespace).
			WithLabels(labels(in.App, naming.ComponentBackup)).
			WithOwnerReferences(owner(in.App)).
			WithRoleRef(rbacv1ac.RoleRef().WithAPIGroup(rbacv1.GroupName).WithKind("Role").WithName(name)).
			WithSubjects(rbacv1ac.Subject().WithKind(rbacv1.ServiceAccountKind).WithName(name).WithNamespace(in.App.Namespace))},
	}
}

func backupService(in Input) Object {
	return Object{Intent: corev1ac.Service(naming.Backup(in.App), in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentBackup)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithClusterIP(corev1.ClusterIPNone).
			WithPublishNotReadyAddresses(true).
			WithSelector(naming.Selector(in.App, naming.ComponentBackup)).
			WithPorts(servicePort("pgbackrest", pgbackrestPort)))}
}

// BackupStorage is the volume of the backups: as large as the database's if the spec does not say.
func BackupStorage(app *v1alpha1.ScalableApp) v1alpha1.StorageSpec {
	if volume := backup.Spec(app).Volume; volume != nil {
		return *volume
	}
	storage := app.Spec.Database.Postgres.Storage
	storage.OnDelete = v1alpha1.StorageRetain // backups do not go with what they are for
	return storage
}

func backupStatefulSet(in Input) Object {
	spec := backup.Spec(in.App)
	pod := corev1ac.PodSpec().
		WithServiceAccountName(naming.Backup(in.App)).
		WithAutomountServiceAccountToken(true).
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(30).
		WithSecurityContext(dataPodSecurity()).
		WithContainers(backupAgent(in)).
		WithVolumes(
			corev1ac.Volume().WithName("pgbackrest").WithSecret(corev1ac.SecretVolumeSource().
				WithSecretName(naming.BackupConfig(in.App)).WithDefaultMode(0o440).
				WithItems(backupFiles(spec)...)),
			secretVolume("pgbackrest-tls", naming.BackupTLS(in.App)),
			corev1ac.Volume().WithName("credentials").WithSecret(corev1ac.SecretVolumeSource().
				WithSecretName(naming.DatabaseCredentials(in.App)).WithDefaultMode(0o440).
				WithItems(corev1ac.KeyToPath().WithKey(keyMonitorPassword).WithPath(keyMonitorPassword))),
			corev1ac.Volume().WithName("tmp").WithEmptyDir(corev1ac.EmptyDirVolumeSource()))
	set := appsv1ac.StatefulSetSpec().
		WithReplicas(1).
		WithServiceName(naming.Backup(in.App)).
		WithUpdateStrategy(appsv1ac.StatefulSetUpdateStrategy().WithType(appsv1.RollingUpdateStatefulSetStrategyType)).
		WithSelector(matchLabels(naming.Selector(in.App, naming.ComponentBackup)))
	if spec.S3 == nil {
		storage := BackupStorage(in.App)
		if size, there := templateSize(in, naming.Backup(in.App)); there {
			storage.Size = size // it cannot be changed; when the claim has grown the StatefulSet is made anew
		}
		pod.WithContainers(pgbackrestServer(in).WithVolumeMounts(corev1ac.VolumeMount().WithName(dataVolume).WithMountPath(repositoryDir)))
		set.WithPersistentVolumeClaimRetentionPolicy(retention(in, naming.Backup(in.App), BackupStorage(in.App))).
			WithVolumeClaimTemplates(dataClaim(storage, labels(in.App, naming.ComponentBackup)))
	}
	return Object{Intent: appsv1ac.StatefulSet(naming.Backup(in.App), in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentBackup)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(set.WithTemplate(corev1ac.PodTemplateSpec().
			WithLabels(labels(in.App, naming.ComponentBackup)).
			WithSpec(pod)))}
}

// backupFiles are the parts of the configuration that the backup pod has.
func backupFiles(spec *v1alpha1.BackupSpec) []*corev1ac.KeyToPathApplyConfiguration {
	files := []*corev1ac.KeyToPathApplyConfiguration{corev1ac.KeyToPath().WithKey(agentConfigKey).WithPath(memberConfigKey)}
	if spec.S3 != nil {
		files = append(files, corev1ac.KeyToPath().WithKey(storeCAKey).WithPath(storeCAKey))
	}
	return files
}

func backupAgent(in Input) *corev1ac.ContainerApplyConfiguration {
	value := func(name, value string) *corev1ac.EnvVarApplyConfiguration {
		return corev1ac.EnvVar().WithName(name).WithValue(value)
	}
	container := corev1ac.Container().
		WithName("agent").
		WithImage(in.Images.Postgres).
		WithCommand("/usr/local/bin/backup-agent").
		WithEnv(
			value("BACKUP_STANZA", naming.Stanza(in.App)),
			value("BACKUP_CONFIGMAP", naming.Backup(in.App)),
			value("BACKUP_ANNOTATION", naming.AnnotationBackupReport),
			value("PGHOST", serviceHost(in.App, naming.DatabaseReadWrite(in.App))),
			value("PGUSER", postgresMonitor),
			value("PGSSLMODE", "prefer")).
		WithResources(resourcesOr(corev1.ResourceRequirements{}, corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi"),
		}, corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")})).
		WithTerminationMessagePolicy(corev1.TerminationMessageFallbackToLogsOnError).
		WithSecurityContext(dataContainerSecurity()).
		// Each round of the agent touches the file.
		WithLivenessProbe(corev1ac.Probe().
			WithExec(corev1ac.ExecAction().WithCommand("sh", "-c", "test -n \"$(find /tmp/alive -newermt '-15 minutes')\"")).
			WithInitialDelaySeconds(60).WithPeriodSeconds(60).WithTimeoutSeconds(10).WithFailureThreshold(3)).
		WithVolumeMounts(pgbackrestMounts()...).
		WithVolumeMounts(readOnly("credentials", credentialsDir), corev1ac.VolumeMount().WithName("tmp").WithMountPath("/tmp"))
	if backup.Spec(in.App).S3 == nil {
		container.WithVolumeMounts(corev1ac.VolumeMount().WithName(dataVolume).WithMountPath(repositoryDir))
	}
	return container
}

// pgbackrestServer is pgBackRest's server, which the other hosts of a backup talk to.
func pgbackrestServer(in Input) *corev1ac.ContainerApplyConfiguration {
	return corev1ac.Container().
		WithName("pgbackrest").
		WithImage(in.Images.Postgres).
		WithCommand("/usr/local/bin/serve-pgbackrest").
		WithPorts(containerPort("pgbackrest", pgbackrestPort)).
		WithResources(resourcesOr(corev1.ResourceRequirements{}, corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi"),
		}, corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")})).
		WithSecurityContext(dataContainerSecurity()).
		WithVolumeMounts(pgbackrestMounts()...).
		WithVolumeMounts(corev1ac.VolumeMount().WithName("tmp").WithMountPath("/tmp"))
}

func pgbackrestMounts() []*corev1ac.VolumeMountApplyConfiguration {
	return []*corev1ac.VolumeMountApplyConfiguration{readOnly("pgbackrest", pgbackrestDir), readOnly("pgbackrest-tls", pgbackrestTLSDir)}
}

func readOnly(name, path string) *corev1ac.VolumeMountApplyConfiguration {
	return corev1ac.VolumeMount().WithName(name).WithMountPath(path).WithReadOnly(true)
}

// memberFile is the part of Patroni's configuration that counts on what the members' pods mount: pods of an
// older operator, which lack it, read patroni.yml alone.
const memberFile = "member.yml"

// memberSettings switch on TLS, and archiving with and without backups: to switch it on later would take
// a restart.
func memberSettings() string {
	text, err := json.Marshal(object{"postgresql": object{"parameters": map[string]string{
		"ssl": "on", "ssl_cert_file": postgresTLSDir + "/" + keyTLSCertificate, "ssl_key_file": postgresTLSDir + "/" + keyTLSKey,
		"ssl_ca_file":  postgresTLSDir + "/" + keyAuthority,
		"archive_mode": "on", "archive_command": `/usr/local/bin/pgbackrest-archive "%p"`,
	}}})
	if err != nil {
		panic("components: the members' settings cannot be written: " + err.Error()) // only strings
	}
	return strings.TrimSpace(string(text)) + "\n"
}
