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
// one that refuses the monitor's password answers, and a restart would not change its mind.
const (
	redisReady = `[ "$(` + redisPing + `)" = PONG ]`
	redisAlive = `case "$(` + redisPing + ` 2>&1)" in PONG* | *LOADING* | *BUSY* | *NOAUTH* | *WRONGPASS*) ;; *) exit 1 ;; esac`
)

func redisStatefulSet(in Input, r redis) Object {
	selector := naming.Selector(in.App, r.component)
	spec := appsv1ac.StatefulSetSpec().
		WithReplicas(r.members).
		WithServiceName(r.name).
		WithPodManagementPolicy(appsv1.ParallelPodManagement).
		WithUpdateStrategy(appsv1ac.StatefulSetUpdateStrategy().WithType(appsv1.RollingUpdateStatefulSetStrategyType)).
		WithSelector(matchLabels(selector)).
		WithTemplate(redisTemplate(in, r))
	if r.storage != nil {
		spec.WithPersistentVolumeClaimRetentionPolicy(dataRetention(r.storage.OnDelete)).
			WithVolumeClaimTemplates(dataClaim(*r.storage, labels(in.App, r.component)))
	}
	object := Object{Intent: appsv1ac.StatefulSet(r.name, in.App.Namespace).
		WithLabels(labels(in.App, r.component)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(spec)}
	if r.members > 1 {
		// Who is master decides the order of restarts, and that only the operator knows.
		spec.WithUpdateStrategy(appsv1ac.StatefulSetUpdateStrategy().WithType(appsv1.OnDeleteStatefulSetStrategyType))
	}
	return object
}

func redisTemplate(in Input, r redis) *corev1ac.PodTemplateSpecApplyConfiguration {
	if r.members > 1 {
		return groupTemplate(in, r)
	}
	// Neither file is read again while Redis runs. The passwords are not part of the checksum: they are
	// made once, and a new pair does not have to cost a restart.
	config := checksum(r.config() + redisACL("", ""))
	return corev1ac.PodTemplateSpec().
		WithLabels(labels(in.App, r.component)).
		WithAnnotations(map[string]string{annotationConfig: config}).
		WithSpec(corev1ac.PodSpec().
			WithAutomountServiceAccountToken(false).
			WithEnableServiceLinks(false).
			WithTerminationGracePeriodSeconds(redisGraceSeconds).
			WithSecurityContext(dataPodSecurity()).
			WithContainers(redisContainer(in, r)).
			WithVolumes(redisVolumes(r)...))
}

func redisContainer(in Input, r redis) *corev1ac.ContainerApplyConfiguration {
	mount := func(name, path string, readOnly bool) *corev1ac.VolumeMountApplyConfiguration {
		m := corev1ac.VolumeMount().WithName(name).WithMountPath(path)
		if readOnly {
			m.WithReadOnly(true)
		}
		return m
	}
	return corev1ac.Container().
		WithName("redis").
		WithImage(in.Images.Redis).
		WithCommand("redis-server", redisConfigDir+"/"+redisConfigFile).
		WithPorts(containerPort("redis", redisPort)).
		WithEnv(secretEnv("REDISCLI_AUTH", naming.RedisCredentials(r.name), keyMonitorPassword)).
		WithResources(corev1ac.ResourceRequirements().
			WithRequests(corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: r.memory}).
			WithLimits(corev1.ResourceList{corev1.ResourceMemory: r.memory})).
		WithTerminationMessagePolicy(corev1.TerminationMessageFallbackToLogsOnError).
		WithSecurityContext(dataContainerSecurity()).
		// A large append-only file takes minutes to load; meanwhile the answer is LOADING, which is alive.
		WithStartupProbe(redisProbe(redisAlive, 1, 60)).
		WithLivenessProbe(redisProbe(redisAlive, 10, 3)).
		WithReadinessProbe(redisProbe(redisReady, 5, 2)).
		WithVolumeMounts(
			mount("config", redisConfigDir, true),
			mount("users", redisUsersDir, true),
			mount(dataVolume, redisDataDir, false))
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
	if r.storage == nil {
		volumes = append(volumes, corev1ac.Volume().WithName(dataVolume).WithEmptyDir(corev1ac.EmptyDirVolumeSource()))
	}
	return volumes
}
