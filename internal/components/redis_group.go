package components

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// A Redis of three: one master, two replicas that stand by, and three Sentinels that decide who is master.
// The image's redis-ha starts them (images/redis/redis-ha); what follows is what it needs.

const (
	sentinelPort = 26379
	// redisReplication is the user that replicas have on their master, redisSentinel the one that
	// Sentinels have on members and on each other.
	redisReplication = "replication"
	redisSentinel    = "sentinel"
	// redisMaster is the value of the role's label on the master's pod.
	redisMaster = "master"

	redisRunDir    = "/run/redis"
	redisRecordDir = "/etc/redis-record"

	// keyRecordMaster is the key of the record that names the pod which may be master when nobody knows.
	keyRecordMaster = "master"
)

// groupConfig is what redis.conf has more when there are several members. Their names are added by the
// image: only a pod knows the cluster's domain.
func (r redis) groupConfig() []string {
	// What a replica that was away for a moment can still be given without a copy of everything. It is not
	// part of maxmemory.
	backlog := max(share(r.memory, 5), 1<<20)
	lines := []string{
		fmt.Sprintf("repl-backlog-size %d", backlog),
		"repl-diskless-sync-delay 0",
		"repl-timeout 20",
		"repl-ping-replica-period 3",
	}
	if r.component == naming.ComponentSessions {
		// A master that nobody follows takes no sessions: they would be lost when it is deposed. What can
		// be lost is what it took in these seconds.
		lines = append(lines, "min-replicas-to-write 1", "min-replicas-max-lag 5")
	}
	return lines
}

// groupACL are the users that a Redis of three has more: what the documents of Redis ask for, and for the
// Sentinels' user, as which members hand over, what that takes.
func groupACL(replication, sentinel string) string {
	return "user " + redisReplication + " on #" + replication + " -@all +psync +replconf +ping\n" +
		"user " + redisSentinel + " on #" + sentinel + " allchannels -@all +multi +exec +ping +info +role +slaveof +replicaof" +
		" +config|rewrite +publish +subscribe +script|kill +client|setname +client|kill +client|pause +client|unpause\n"
}

// redisGroup are the objects beside the StatefulSets.
func redisGroup(in Input, r redis) []Object {
	name, namespace, with := r.name, in.App.Namespace, labels(in.App, r.component)
	pods := corev1ac.Service(naming.RedisPods(name), namespace).WithLabels(with).WithOwnerReferences(owner(in.App)).
		WithSpec(peersService().WithSelector(naming.Selector(in.App, r.component)).WithPorts(servicePort("redis", redisPort)))
	sentinels := corev1ac.Service(naming.RedisSentinel(name), namespace).
		WithLabels(labels(in.App, r.sentinel)).WithOwnerReferences(owner(in.App)).
		WithSpec(peersService().WithSelector(naming.Selector(in.App, r.sentinel)).WithPorts(servicePort("sentinel", sentinelPort)))
	// Made once: from then on the masters write it.
	record := corev1ac.ConfigMap(naming.RedisRecord(name), namespace).WithLabels(with).WithOwnerReferences(owner(in.App)).
		WithData(map[string]string{keyRecordMaster: name + "-0"})
	account := corev1ac.ServiceAccount(name, namespace).WithLabels(with).WithOwnerReferences(owner(in.App)).
		WithAutomountServiceAccountToken(false)
	return []Object{
		{Intent: pods}, {Intent: sentinels}, {Intent: record, Mode: Created},
		{Intent: account}, groupRole(in, r), groupRoleBinding(in, r),
		groupBudget(in, name, r.component), groupBudget(in, naming.RedisSentinel(name), r.sentinel),
	}
}

// peersService is a headless Service whose pods must find each other before they are ready.
func peersService() *corev1ac.ServiceSpecApplyConfiguration {
	return corev1ac.ServiceSpec().
		WithType(corev1.ServiceTypeClusterIP).
		WithClusterIP(corev1.ClusterIPNone).
		WithPublishNotReadyAddresses(true)
}

// groupRole lets the members label each other and write the record, and nothing else.
func groupRole(in Input, r redis) Object {
	rule := func(resource string, names ...string) *rbacv1ac.PolicyRuleApplyConfiguration {
		return rbacv1ac.PolicyRule().WithAPIGroups("").WithResources(resource).WithVerbs("get", "patch").WithResourceNames(names...)
	}
	var pods []string
	for i := range r.members {
		pods = append(pods, fmt.Sprintf("%s-%d", r.name, i))
	}
	return Object{Intent: rbacv1ac.Role(r.name, in.App.Namespace).
		WithLabels(labels(in.App, r.component)).
		WithOwnerReferences(owner(in.App)).
		WithRules(rule("pods", pods...), rule("configmaps", naming.RedisRecord(r.name)))}
}

func groupRoleBinding(in Input, r redis) Object {
	return Object{Intent: rbacv1ac.RoleBinding(r.name, in.App.Namespace).
		WithLabels(labels(in.App, r.component)).
		WithOwnerReferences(owner(in.App)).
		WithRoleRef(rbacv1ac.RoleRef().WithAPIGroup(rbacv1.GroupName).WithKind("Role").WithName(r.name)).
		WithSubjects(rbacv1ac.Subject().WithKind(rbacv1.ServiceAccountKind).WithName(r.name).WithNamespace(in.App.Namespace))}
}

func groupBudget(in Input, name, component string) Object {
	return Object{Intent: policyv1ac.PodDisruptionBudget(name, in.App.Namespace).
		WithLabels(labels(in.App, component)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithUnhealthyPodEvictionPolicy("AlwaysAllow").
			WithSelector(matchLabels(naming.Selector(in.App, component))))}
}

// groupChecksum is over what the user chose: neither another wording of a later operator nor a new
// password restarts a Redis.
func groupChecksum(r redis) string {
	return checksum(fmt.Sprintf("members=%d memory=%d eviction=%s disk=%t", r.members, r.memory.Value(), r.eviction, r.storage != nil))
}

func groupTemplate(in Input, r redis) *corev1ac.PodTemplateSpecApplyConfiguration {
	return corev1ac.PodTemplateSpec().
		WithLabels(labels(in.App, r.component)).
		WithAnnotations(map[string]string{annotationConfig: groupChecksum(r)}).
		WithSpec(groupPod(in, r.component).
			WithServiceAccountName(r.name).
			WithContainers(memberContainer(in, r), roleContainer(in, r)).
			WithVolumes(append(redisVolumes(r), runVolume(),
				corev1ac.Volume().WithName("record").WithConfigMap(corev1ac.ConfigMapVolumeSource().WithName(naming.RedisRecord(r.name))),
				corev1ac.Volume().WithName("token").WithProjected(corev1ac.ProjectedVolumeSource().WithSources(
					corev1ac.VolumeProjection().WithServiceAccountToken(corev1ac.ServiceAccountTokenProjection().WithPath("token").WithExpirationSeconds(3607)),
					corev1ac.VolumeProjection().WithConfigMap(corev1ac.ConfigMapProjection().WithName("kube-root-ca.crt").
						WithItems(corev1ac.KeyToPath().WithKey("ca.crt").WithPath("ca.crt"))))))...))
}

// groupPod is what the pods of members and Sentinels have in common.
func groupPod(in Input, component string) *corev1ac.PodSpecApplyConfiguration {
	return corev1ac.PodSpec().
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(redisGraceSeconds).
		WithSecurityContext(dataPodSecurity()).
		// Names are complete, and a name that is not known shall not be looked for elsewhere: slow lookups
		// stop a Sentinel (redis/redis#13866).
		WithDNSConfig(corev1ac.PodDNSConfig().WithOptions(
			dnsOption("ndots", "1"), dnsOption("timeout", "1"), dnsOption("attempts", "2"))).
		WithTopologySpreadConstraints(spread(in, component, corev1.LabelHostname), spread(in, component, corev1.LabelTopologyZone))
}

func spread(in Input, component, over string) *corev1ac.TopologySpreadConstraintApplyConfiguration {
	return corev1ac.TopologySpreadConstraint().
		WithMaxSkew(1).
		WithTopologyKey(over).
		WithWhenUnsatisfiable(corev1.ScheduleAnyway).
		WithLabelSelector(matchLabels(naming.Selector(in.App, component)))
}

func dnsOption(name, value string) *corev1ac.PodDNSConfigOptionApplyConfiguration {
	return corev1ac.PodDNSConfigOption().WithName(name).WithValue(value)
}

func runVolume() *corev1ac.VolumeApplyConfiguration {
	return corev1ac.Volume().WithName("run").WithEmptyDir(corev1ac.EmptyDirVolumeSource().WithMedium(corev1.StorageMediumMemory).
		WithSizeLimit(resource.MustParse("1Mi")))
}

// groupEnv is what redis-ha reads, see there.
func groupEnv(r redis) []*corev1ac.EnvVarApplyConfiguration {
	value := func(name, value string) *corev1ac.EnvVarApplyConfiguration {
		return corev1ac.EnvVar().WithName(name).WithValue(value)
	}
	field := func(name, path string) *corev1ac.EnvVarApplyConfiguration {
		return corev1ac.EnvVar().WithName(name).WithValueFrom(corev1ac.EnvVarSource().
			WithFieldRef(corev1ac.ObjectFieldSelector().WithAPIVersion("v1").WithFieldPath(path)))
	}
	disk := "no"
	if r.storage != nil {
		disk = "yes"
	}
	return []*corev1ac.EnvVarApplyConfiguration{
		value("HA_NAME", r.name), value("HA_DISK", disk),
		field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace"),
		secretEnv("MONITOR_PASSWORD", naming.RedisCredentials(r.name), keyMonitorPassword),
		secretEnv("SENTINEL_PASSWORD", naming.RedisReplication(r.name), keySentinelPassword),
		secretEnv("REPLICATION_PASSWORD", naming.RedisReplication(r.name), keyReplicationPassword),
	}
}

func memberContainer(in Input, r redis) *corev1ac.ContainerApplyConfiguration {
	return groupContainer(in, r, "redis", "node").
		WithPorts(containerPort("redis", redisPort)).
		WithResources(corev1ac.ResourceRequirements().
			WithRequests(corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: r.memory}).
			WithLimits(corev1.ResourceList{corev1.ResourceMemory: r.memory})).
		WithLifecycle(corev1ac.Lifecycle().WithPreStop(corev1ac.LifecycleHandler().WithExec(corev1ac.ExecAction().WithCommand("redis-ha", "stop")))).
		// A large append-only file takes minutes to load; meanwhile the answer is LOADING, which is alive.
		WithStartupProbe(haProbe("alive", 1, 60)).
		WithLivenessProbe(haProbe("alive", 10, 3)).
		WithReadinessProbe(haProbe("ready", 5, 2)).
		WithVolumeMounts(
			mount("config", redisConfigDir).WithReadOnly(true),
			mount("users", redisUsersDir).WithReadOnly(true),
			mount("record", redisRecordDir).WithReadOnly(true),
			mount("run", redisRunDir),
			mount(dataVolume, redisDataDir))
}

// roleContainer keeps the label of the master's pod. It alone has the token.
func roleContainer(in Input, r redis) *corev1ac.ContainerApplyConfiguration {
	return groupContainer(in, r, "role", "role").
		WithResources(smallResources()).
		WithVolumeMounts(
			mount("record", redisRecordDir).WithReadOnly(true),
			mount("token", "/var/run/secrets/kubernetes.io/serviceaccount").WithReadOnly(true))
}

func groupContainer(in Input, r redis, name, command string) *corev1ac.ContainerApplyConfiguration {
	return corev1ac.Container().
		WithName(name).
		WithImage(in.Images.Redis).
		WithCommand("redis-ha", command).
		WithEnv(groupEnv(r)...).
		WithTerminationMessagePolicy(corev1.TerminationMessageFallbackToLogsOnError).
		WithSecurityContext(dataContainerSecurity())
}

func smallResources() *corev1ac.ResourceRequirementsApplyConfiguration {
	return corev1ac.ResourceRequirements().
		WithRequests(corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")}).
		WithLimits(corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")})
}

func mount(name, path string) *corev1ac.VolumeMountApplyConfiguration {
	return corev1ac.VolumeMount().WithName(name).WithMountPath(path)
}

func haProbe(command string, period, failures int32) *corev1ac.ProbeApplyConfiguration {
	return corev1ac.Probe().
		WithExec(corev1ac.ExecAction().WithCommand("redis-ha", command)).
		WithPeriodSeconds(period).WithTimeoutSeconds(4).WithFailureThreshold(failures)
}
