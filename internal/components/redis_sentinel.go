package components

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// sentinels is their number, of which two must agree.
const sentinels = 3

// sentinelStatefulSet are the Sentinels, in pods of their own. They keep nothing on a disk: a new one learns
// from the others, and should all be new, from the Redis that is master.
func sentinelStatefulSet(in Input, r redis) Object {
	name := naming.RedisSentinel(r.name)
	template := corev1ac.PodTemplateSpec().
		WithLabels(labels(in.App, r.sentinel)).
		WithSpec(groupPod(in, r.sentinel).
			WithContainers(groupContainer(in, r, "sentinel", "sentinel").
				WithPorts(containerPort("sentinel", sentinelPort)).
				WithResources(smallResources()).
				WithStartupProbe(haProbe("sentinel-alive", 1, 60)).
				WithLivenessProbe(haProbe("sentinel-alive", 10, 3)).
				WithReadinessProbe(haProbe("sentinel-ready", 5, 2)).
				WithVolumeMounts(mount("run", redisRunDir))).
			WithVolumes(runVolume()))
	return Object{Intent: appsv1ac.StatefulSet(name, in.App.Namespace).
		WithLabels(labels(in.App, r.sentinel)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(appsv1ac.StatefulSetSpec().
			WithReplicas(sentinels).
			WithServiceName(name).
			WithPodManagementPolicy(appsv1.ParallelPodManagement).
			WithUpdateStrategy(appsv1ac.StatefulSetUpdateStrategy().WithType(appsv1.RollingUpdateStatefulSetStrategyType)).
			WithSelector(matchLabels(naming.Selector(in.App, r.sentinel))).
			WithTemplate(template))}
}

// RedisNames are the names of all Redis that the app wants.
func RedisNames(in Input) []string {
	var names []string
	for _, r := range redises(in.App) {
		names = append(names, r.name)
	}
	return names
}

// RedisGroup is a Redis, of one member or several, in the words that a decision about it needs.
type RedisGroup struct {
	// Name is the StatefulSet's, and the master's name among the Sentinels.
	Name string
	// Component and Sentinel are the components of members and Sentinels.
	Component, Sentinel string
	// Members is their wanted number.
	Members int32
	// Hosts are the addresses that the members know each other by, by the pod's name.
	Hosts map[string]string
	// Storage is the volume that each member shall have; nil is none.
	Storage *v1alpha1.StorageSpec
}

// RedisGroups are the Redis that the app wants, but for those of several members whose addresses are not known
// yet.
func RedisGroups(in Input) []RedisGroup {
	var groups []RedisGroup
	for _, r := range redises(in.App) {
		group := RedisGroup{Name: r.name, Component: r.component, Sentinel: r.sentinel, Members: r.members,
			Storage: r.storage, Hosts: map[string]string{}}
		known := true
		if r.members > 1 {
			var addresses groupAddresses
			addresses, known = r.addresses(in)
			for i, host := range addresses.members {
				group.Hosts[naming.RedisPod(r.name, int32(i))] = host
			}
		}
		if known {
			groups = append(groups, group)
		}
	}
	return groups
}

// Outdated says whether a member was started with other settings or another image than are wanted.
func (g RedisGroup) Outdated(in Input, pod *corev1.Pod) bool {
	for _, r := range redises(in.App) {
		if r.name != g.Name {
			continue
		}
		if pod.Annotations[annotationConfig] != redisChecksum(in, r) {
			return true
		}
		for _, c := range pod.Spec.Containers {
			if c.Name == RedisContainer && c.Image != in.Images.Redis {
				return true
			}
		}
	}
	return false
}

// Alone says whether one of several members was started as the only one: the others cannot follow it.
func (g RedisGroup) Alone(pod *corev1.Pod) bool { return g.Members > 1 && alone(pod) }

// alone says whether a member was started as the only one: nobody in it keeps the label of its role.
func alone(pod *corev1.Pod) bool {
	return !slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == roleContainerName })
}

// lonePod is the member that was started as the only one, while it still serves alone.
func lonePod(in Input, r redis) *corev1.Pod {
	for _, pod := range in.Observed.PodsWith(naming.Selector(in.App, r.component)) {
		if alone(pod) && pod.DeletionTimestamp == nil {
			return pod
		}
	}
	return nil
}

// RedisAddress is where the Redis of a pod answers.
func RedisAddress(pod *corev1.Pod) string { return address(pod, redisPort) }

// SentinelAddress is where the Sentinel of a pod answers.
func SentinelAddress(pod *corev1.Pod) string { return address(pod, sentinelPort) }

func address(pod *corev1.Pod, port int) string {
	ip := pod.Status.PodIP
	if strings.Contains(ip, ":") {
		ip = "[" + ip + "]"
	}
	return fmt.Sprintf("%s:%d", ip, port)
}

// RedisMonitor is the user that the operator asks Redis and Sentinels as, and RedisSentinelUser the one that it
// hands over as.
const (
	RedisMonitor      = redisMonitor
	RedisSentinelUser = redisSentinel
)

// RedisMonitorPassword is the password of RedisMonitor, "" while there is none.
func RedisMonitorPassword(in Input, name string) string {
	return secretValue(in, naming.RedisCredentials(name), keyMonitorPassword)
}

// KeyRedisSentinel is the key of the password of RedisSentinelUser in its Secret.
const KeyRedisSentinel = keySentinelPassword
