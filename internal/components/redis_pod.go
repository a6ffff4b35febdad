package components

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// redisGraceSeconds bounds a shutdown; writing what is left of the append-only file takes less.
const redisGraceSeconds = 30

// redisPing asks Redis for a sign of life. The password comes from REDISCLI_AUTH, so it is in no
// argument.
const redisPing = "redis-cli --no-auth-warning --user " + redisMonitor + " ping"

// The kubelet's probes. A Redis that loads its file is alive and must be let go on, but serves nobody;
// one that refuses the monitor's password answers, and a restart would not change its mind. Nor would it give one
// whose disk is full (MISCONF) any room: that one refuses writes and serves reads.
const (
	redisReady = `case "$(` + redisPing + ` 2>&1)" in PONG* | *MISCONF*) ;; *) exit 1 ;; esac`
	redisAlive = `case "$(` + redisPing + ` 2>&1)" in PONG* | *LOADING* | *BUSY* | *MISCONF* | *NOAUTH* | *WRONGPASS*) ;; *) exit 1 ;; esac`
)

func redisStatefulSet(in Input, r redis) Object {
	selector := naming.Selector(in.App, r.component)
	spec := appsv1ac.StatefulSetSpec().
		WithReplicas(r.members).
		WithServiceName(r.name).
		WithPodManagementPolicy(appsv1.ParallelPodManagement).
		// The operator restarts members: who is master decides the order, and a template of a later operator is
		// no reason (internal/redistopology).
		WithUpdateStrategy(appsv1ac.StatefulSetUpdateStrategy().WithType(appsv1.OnDeleteStatefulSetStrategyType)).
		WithSelector(matchLabels(selector)).
		WithTemplate(redisTemplate(in, r))
	if r.storage != nil {
		storage := *r.storage
		// The template of the volumes cannot be changed: until the set is made anew it stays as it is.
		if size, there := templateSize(in, r.name); there {
			storage.Size = size
		}
		spec.WithPersistentVolumeClaimRetentionPolicy(retention(in, r.name, *r.storage)).
			WithVolumeClaimTemplates(dataClaim(storage, labels(in.App, r.component)))
	}
	return Object{Intent: appsv1ac.StatefulSet(r.name, in.App.Namespace).
		WithLabels(labels(in.App, r.component)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(spec)}
}

func redisTemplate(in Input, r redis) *corev1ac.PodTemplateSpecApplyConfiguration {
	if r.members > 1 {
		return groupTemplate(in, r)
	}
	return corev1ac.PodTemplateSpec().
		WithLabels(labels(in.App, r.component)).
		WithAnnotations(map[string]string{annotationConfig: redisChecksum(in, r)}).
		WithSpec(corev1ac.PodSpec().
			WithAutomountServiceAccountToken(false).
			WithEnableServiceLinks(false).
			WithTerminationGracePeriodSeconds(redisGraceSeconds).
			WithSecurityContext(dataPodSecurity()).
			WithContainers(redisContainer(in, r), redisExporter(in)).
			WithVolumes(redisVolumes(r)...))
}

// redisChecksum is over what the user chose: neither another wording of a later operator nor a new password
// restarts a Redis.
func redisChecksum(in Input, r redis) string {
	if r.members > 1 {
		return groupChecksum(in, r)
	}
	return checksum(r.config() + firstACL)
}

// firstACL is a part of the checksum of lone members since the first operator, and stays what it was then: with
// another text all of them would be restarted.
const firstACL = "user default off\nuser app on # ~* &* +@all -@admin -@dangerous +info\nuser monitor on # -@all +ping +info\n"

// RedisContainer is the name of the container that runs Redis.
const RedisContainer = "redis"

func redisContainer(in Input, r redis) *corev1ac.ContainerApplyConfiguration {
	return corev1ac.Container().
		WithName(RedisContainer).
		WithImage(in.Images.Redis).
		// What a server that was killed left half-made would fill the volume.
		WithCommand("sh", "-c", "rm -f "+redisDataDir+"/temp-*.rdb "+redisDataDir+"/temp-*.aof; exec redis-server "+redisConfigDir+"/"+redisConfigFile).
		WithPorts(containerPort("redis", redisPort)).
		WithEnv(secretEnv("REDISCLI_AUTH", naming.RedisCredentials(r.name), keyMonitorPassword)).
		WithResources(redisResources(r)).
		WithTerminationMessagePolicy(corev1.TerminationMessageFallbackToLogsOnError).
		WithSecurityContext(dataContainerSecurity()).
		// A large append-only file takes minutes to load; meanwhile the answer is LOADING, which is alive.
		WithStartupProbe(redisProbe(redisAlive, 1, 60)).
		WithLivenessProbe(redisProbe(redisAlive, 10, 3)).
		WithReadinessProbe(redisProbe(redisReady, 5, 2)).
		WithVolumeMounts(redisMounts()...)
}

func redisResources(r redis) *corev1ac.ResourceRequirementsApplyConfiguration {
	return corev1ac.ResourceRequirements().
		WithRequests(corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: r.memory}).
		WithLimits(corev1.ResourceList{corev1.ResourceMemory: r.memory})
}

// redisMounts are what every Redis has, alone or not.
func redisMounts() []*corev1ac.VolumeMountApplyConfiguration {
	return []*corev1ac.VolumeMountApplyConfiguration{
		readOnly("config", redisConfigDir), readOnly("users", redisUsersDir), readOnly("credentials", redisSecretsDir),
		mount(dataVolume, redisDataDir),
	}
}

func redisProbe(script string, period, failures int32) *corev1ac.ProbeApplyConfiguration {
	return corev1ac.Probe().
		WithExec(corev1ac.ExecAction().WithCommand("sh", "-c", script)).
		WithPeriodSeconds(period).WithTimeoutSeconds(3).WithFailureThreshold(failures)
}

func redisVolumes(r redis) []*corev1ac.VolumeApplyConfiguration {
	volumes := []*corev1ac.VolumeApplyConfiguration{
		corev1ac.Volume().WithName("config").WithConfigMap(corev1ac.ConfigMapVolumeSource().
			WithName(naming.RedisConfig(r.name))),
		corev1ac.Volume().WithName("users").WithSecret(corev1ac.SecretVolumeSource().
			WithSecretName(naming.RedisUsers(r.name))),
	}
	volumes = append(volumes, redisSecrets(r)...)
	if r.storage == nil {
		volumes = append(volumes, corev1ac.Volume().WithName(dataVolume).WithEmptyDir(corev1ac.EmptyDirVolumeSource()))
	}
	return volumes
}
