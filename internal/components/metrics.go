package components

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

const (
	postgresMetricsPort = 9187
	poolerMetricsPort   = 9127

	// metricsPort is the name that the port of metrics has in all pods.
	metricsPort   = "metrics"
	metricsVolume = "metrics-password"
)

// databaseMetrics serves PostgreSQL's metrics, which it reads as the role monitor.
func databaseMetrics(in Input) *corev1ac.ContainerApplyConfiguration {
	return exporter(in.Images.Postgres, postgresMetricsPort, "/etc/postgres-monitor")
}

// poolerMetrics serves PgBouncer's metrics, which it reads as a user that may look and do nothing.
func poolerMetrics(in Input) *corev1ac.ContainerApplyConfiguration {
	return exporter(in.Images.PgBouncer, poolerMetricsPort, "/etc/pgbouncer-stats")
}

// exporter serves the metrics of the server beside it. It is a sidecar in Kubernetes' sense (an init container
// that stays): it ends after the server does, so that a pod that drains is told of until its end and counts as
// whole. It has no probe and never ends by itself, because the server must not be held unready for it. Of the
// server it has one password and the network, no file and no socket.
func exporter(image string, port int32, passwordDir string) *corev1ac.ContainerApplyConfiguration {
	return corev1ac.Container().
		WithName("metrics").
		WithImage(image).
		WithCommand("/usr/local/bin/serve-metrics").
		WithRestartPolicy(corev1.ContainerRestartPolicyAlways).
		WithPorts(containerPort(metricsPort, port)).
		WithEnv(corev1ac.EnvVar().WithName("GOMEMLIMIT").WithValue("48MiB")).
		WithResources(corev1ac.ResourceRequirements().
			WithRequests(corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("24Mi")}).
			WithLimits(corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("96Mi")})).
		WithSecurityContext(dataContainerSecurity()).
		WithVolumeMounts(readOnly(metricsVolume, passwordDir))
}

// secretKeyVolume is a volume with one key of a Secret.
func secretKeyVolume(name, secret, key string) *corev1ac.VolumeApplyConfiguration {
	return corev1ac.Volume().WithName(name).WithSecret(corev1ac.SecretVolumeSource().WithSecretName(secret).
		WithDefaultMode(0o440).WithItems(corev1ac.KeyToPath().WithKey(key).WithPath(key)))
}
