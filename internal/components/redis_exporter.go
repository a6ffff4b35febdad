package components

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

const (
	redisExporterPort = 9121
	redisExporterName = "metrics"
)

// redisExporterLoop is the exporter's own loop, and one around it that needs nothing of the image: a node may still
// have one of before there were exporters under the same name, and its Redis has to be ready all the same.
const redisExporterLoop = `trap 'kill $! 2>/dev/null; exit 0' TERM INT; while :; do redis-ha exporter & wait $!; sleep 15 & wait $!; done`

// RedisUser is the app's user, and RedisAppPasswordFiles where a pod of Redis has its passwords, of which one may
// be empty: for a person who asks Redis as the app does.
const (
	RedisUser             = redisUser
	RedisAppPasswordFiles = redisSecretsDir + "/" + keyAppPassword + " " + redisSecretsDir + "/" + keyAppBPassword
)

// redisExporter tells a Prometheus of the Redis beside it. It has no probe, and the image's redis-ha starts it
// again when it ends: a container that is not ready would take its pod out of the Services. A new password of
// the monitor is taken up from the file.
func redisExporter(in Input) *corev1ac.ContainerApplyConfiguration {
	return corev1ac.Container().
		WithName(redisExporterName).
		WithImage(in.Images.Redis).
		WithCommand("sh", "-c", redisExporterLoop).
		WithPorts(containerPort("metrics", redisExporterPort)).
		WithEnv(
			corev1ac.EnvVar().WithName("MONITOR_PASSWORD_FILE").WithValue(redisMonitorDir+"/"+keyMonitorPassword),
			corev1ac.EnvVar().WithName("GOMEMLIMIT").WithValue("40MiB")).
		WithResources(corev1ac.ResourceRequirements().
			WithRequests(corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("16Mi")}).
			WithLimits(corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")})).
		WithTerminationMessagePolicy(corev1.TerminationMessageFallbackToLogsOnError).
		WithSecurityContext(dataContainerSecurity()).
		WithVolumeMounts(readOnly("monitor", redisMonitorDir))
}

// redisSecrets are the passwords that containers of a Redis read from files: each has its own alone.
func redisSecrets(r redis) []*corev1ac.VolumeApplyConfiguration {
	of := func(volume string, keys ...string) *corev1ac.VolumeApplyConfiguration {
		v := secretVolume(volume, naming.RedisCredentials(r.name))
		v.Secret.WithOptional(true) // there is no second password before the first rotation
		for _, key := range keys {
			v.Secret.WithItems(corev1ac.KeyToPath().WithKey(key).WithPath(key))
		}
		return v
	}
	return []*corev1ac.VolumeApplyConfiguration{of("credentials", keyAppPassword, keyAppBPassword), of("monitor", keyMonitorPassword)}
}
