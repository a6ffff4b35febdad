package components

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
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

	// roleContainerName is the container that keeps the label of the master's pod.
	roleContainerName = "role"

	redisRunDir    = "/run/redis"
	redisRecordDir = "/etc/redis-record"

	// keyRecordMaster is the key of the record that names the pod which may be master when nobody knows.
	keyRecordMaster = "master"
	// keyRecordSeeded is the key that says that there has been data: an empty member waits for the others.
	keyRecordSeeded = "seeded"
)

// groupConfig is what redis.conf has more when there are several members. What is another in each pod is added
// by the image.
func (r redis) groupConfig() []string {
	// What a replica that was away for a moment can still be given without a copy of everything. It is not
	// part of maxmemory.
	backlog := max(share(r.memory, 5), 1<<20)
	lines := []string{
		fmt.Sprintf("repl-backlog-size %d", backlog),
		"repl-diskless-sync-delay 0",
		"repl-timeout 20",
		"repl-ping-replica-period 3",
		// A server that crashed shall be back soon, not look for faults of the memory first.
		"crash-memcheck-enabled no",
	}
	if r.storage == nil {
		// The copy that a replica is given would be loaded by the next server, which may be the master then.
		lines = append(lines, "rdb-del-sync-files yes")
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

// redisGroup are the objects of a Redis of three beside those that every Redis has. Its pods are made when
// their users are there and the addresses of all are known, and once there they are wanted whatever was seen.
func redisGroup(in Input, r redis, users bool) []Object {
	name, namespace, with := r.name, in.App.Namespace, labels(in.App, r.component)
	var objects []Object
	for i := range r.members {
		objects = append(objects,
			podService(in, r.component, naming.RedisPod(name, i), servicePort("redis", redisPort)))
	}
	for i := range int32(sentinels) {
		objects = append(objects,
			podService(in, r.sentinel, naming.RedisPod(naming.RedisSentinel(name), i), servicePort("sentinel", sentinelPort)))
	}
	// Made once: from then on the masters write it.
	record := corev1ac.ConfigMap(naming.RedisRecord(name), namespace).WithLabels(with).WithOwnerReferences(owner(in.App)).
		WithData(map[string]string{keyRecordMaster: naming.RedisPod(name, 0)})
	if len(VolumesOf(in.Observed.Volumes, name)) > 0 {
		// Volumes that an app of this name left behind: any of them may have the data.
		record.WithData(map[string]string{keyRecordSeeded: "true"})
	}
	account := corev1ac.ServiceAccount(name, namespace).WithLabels(with).WithOwnerReferences(owner(in.App)).
		WithAutomountServiceAccountToken(false)
	objects = append(objects,
		Object{Intent: record, Mode: Created}, Object{Intent: account}, groupRole(in, r), groupRoleBinding(in, r),
		groupBudget(in, name, r.component), groupBudget(in, naming.RedisSentinel(name), r.sentinel))
	_, known := r.addresses(in)
	for _, set := range []struct {
		Object
		may bool
	}{{redisStatefulSet(in, r), true}, {sentinelStatefulSet(in, r), sentinelsMay(in, r)}} {
		there := in.Observed.StatefulSet(*set.Intent.(*appsv1ac.StatefulSetApplyConfiguration).GetName()) != nil
		if !users || !known {
			set.Mode = Created // it is left as it is
		}
		if there || users && known && set.may {
			objects = append(objects, set.Object)
		}
	}
	return objects
}

// sentinelsMay says whether the Sentinels may be made: with the members, or when one of these is master. While a
// lone member is still to become one of several they must not be there: it does not let them in, so they would take
// it for lost and promote a replica that has nothing.
func sentinelsMay(in Input, r redis) bool {
	asked := in.Observed.Redis[r.name]
	return in.Observed.StatefulSet(r.name) == nil || slices.ContainsFunc(in.Observed.PodsWith(naming.Selector(in.App, r.component)),
		func(pod *corev1.Pod) bool {
			return asked != nil && asked.Members[pod.Name].Master && pod.DeletionTimestamp == nil && !alone(pod)
		})
}

// podService is a Service that leads to one pod: an address for it that stays. Pods must find each other
// before they are ready.
func podService(in Input, component, pod string, port *corev1ac.ServicePortApplyConfiguration) Object {
	return Object{Intent: corev1ac.Service(pod, in.App.Namespace).
		WithLabels(labels(in.App, component)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithPublishNotReadyAddresses(true).
			WithSelector(naming.Selector(in.App, component)).
			WithSelector(map[string]string{appsv1.StatefulSetPodNameLabel: pod}).
			WithPorts(port))}
}

// groupAddresses are the addresses of members and Sentinels, by ordinal.
type groupAddresses struct{ members, sentinels []string }

// addresses are those of the Services of all pods, and whether all are known.
func (r redis) addresses(in Input) (groupAddresses, bool) {
	var out groupAddresses
	known := true
	address := func(name string) string {
		if s := in.Observed.Service(name); s != nil && s.Spec.ClusterIP != "" {
			return s.Spec.ClusterIP
		}
		known = false
		return "unknown"
	}
	for i := range r.members {
		out.members = append(out.members, address(naming.RedisPod(r.name, i)))
	}
	for i := range int32(sentinels) {
		out.sentinels = append(out.sentinels, address(naming.RedisPod(naming.RedisSentinel(r.name), i)))
	}
	return out, known
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

// groupChecksum is over what the user chose, and the addresses that the members know each other by: neither
// another wording of a later operator nor a new password restarts a Redis.
func groupChecksum(in Input, r redis) string {
	addresses, _ := r.addresses(in)
	return checksum(fmt.Sprintf("members=%v sentinels=%v memory=%d eviction=%s disk=%t",
		addresses.members, addresses.sentinels, r.memory.Value(), r.eviction, r.storage != nil))
}

func groupTemplate(in Input, r redis) *corev1ac.PodTemplateSpecApplyConfiguration {
	return corev1ac.PodTemplateSpec().
		WithLabels(labels(in.App, r.component)).
		WithAnnotations(map[string]string{annotationConfig: redisChecksum(in, r)}).
		WithSpec(groupPod(in, r.component).
			WithServiceAccountName(r.name).
			WithContainers(memberContainer(in, r), roleContainer(in, r), redisExporter(in)).
			WithVolumes(append(redisVolumes(r), runVolume(),
				corev1ac.Volume().WithName("record").WithConfigMap(corev1ac.ConfigMapVolumeSource().WithName(naming.RedisRecord(r.name))),
				corev1ac.Volume().WithName("token").WithProjected(corev1ac.ProjectedVolumeSource().WithSources(
					corev1ac.VolumeProjection().WithServiceAccountToken(
						corev1ac.ServiceAccountTokenProjection().WithPath("token").WithExpirationSeconds(3607)),
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
		WithTopologySpreadConstraints(spread(in, component, corev1.LabelHostname), spread(in, component, corev1.LabelTopologyZone))
}

func spread(in Input, component, over string) *corev1ac.TopologySpreadConstraintApplyConfiguration {
	return corev1ac.TopologySpreadConstraint().
		WithMaxSkew(1).
		WithTopologyKey(over).
		WithWhenUnsatisfiable(corev1.ScheduleAnyway).
		WithLabelSelector(matchLabels(naming.Selector(in.App, component)))
}

func runVolume() *corev1ac.VolumeApplyConfiguration {
	return corev1ac.Volume().WithName("run").WithEmptyDir(corev1ac.EmptyDirVolumeSource().WithMedium(corev1.StorageMediumMemory).
		WithSizeLimit(resource.MustParse("1Mi")))
}

// groupEnv is what redis-ha reads, see there.
func groupEnv(in Input, r redis) []*corev1ac.EnvVarApplyConfiguration {
	value := func(name, value string) *corev1ac.EnvVarApplyConfiguration {
		return corev1ac.EnvVar().WithName(name).WithValue(value)
	}
	field := func(name, path string) *corev1ac.EnvVarApplyConfiguration {
		return corev1ac.EnvVar().WithName(name).WithValueFrom(corev1ac.EnvVarSource().
			WithFieldRef(corev1ac.ObjectFieldSelector().WithAPIVersion("v1").WithFieldPath(path)))
	}
	addresses, _ := r.addresses(in)
	disk := "no"
	if r.storage != nil {
		disk = "yes"
	}
	return []*corev1ac.EnvVarApplyConfiguration{
		value("HA_NAME", r.name), value("HA_DISK", disk),
		value("HA_NODES", strings.Join(addresses.members, " ")), value("HA_SENTINELS", strings.Join(addresses.sentinels, " ")),
		field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace"),
		secretEnv("MONITOR_PASSWORD", naming.RedisCredentials(r.name), keyMonitorPassword),
		secretEnv("SENTINEL_PASSWORD", naming.RedisReplication(r.name), keySentinelPassword),
		secretEnv("REPLICATION_PASSWORD", naming.RedisReplication(r.name), keyReplicationPassword),
	}
}

func memberContainer(in Input, r redis) *corev1ac.ContainerApplyConfiguration {
	return groupContainer(in, r, RedisContainer, "node").
		WithPorts(containerPort("redis", redisPort)).
		WithResources(redisResources(r)).
		WithLifecycle(corev1ac.Lifecycle().WithPreStop(corev1ac.LifecycleHandler().
			WithExec(corev1ac.ExecAction().WithCommand("redis-ha", "stop")))).
		// A large append-only file takes minutes to load; meanwhile the answer is LOADING, which is alive.
		WithStartupProbe(haProbe("alive", 1, 60)).
		WithLivenessProbe(haProbe("alive", 10, 3)).
		WithReadinessProbe(haProbe("ready", 5, 2)).
		WithVolumeMounts(redisMounts()...).
		WithVolumeMounts(readOnly("record", redisRecordDir), mount("run", redisRunDir))
}

// roleContainer keeps the label of the master's pod. It alone has the token.
func roleContainer(in Input, r redis) *corev1ac.ContainerApplyConfiguration {
	return groupContainer(in, r, roleContainerName, "role").
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
		WithEnv(groupEnv(in, r)...).
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
