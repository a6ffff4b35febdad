package status

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// store is a session store or a cache that the operator runs.
type store struct {
	kind, field, name, component, sentinel string
	members                                int32
	class                                  *string
	// refuses says that new keys are refused when the memory is full.
	refuses bool
	// loss is what the loss of the only member costs, in words.
	loss string
}

// What the loss of a lone member costs.
const (
	lossOnDisk  = "while it restarts, or its node is lost, nobody can log in and no session is read; if its volume is lost, all users are logged out"
	lossOnNone  = "while it restarts, or its node is lost, nobody can log in and no session is read, and after that all users are logged out"
	lossOfCache = "while it restarts, or its node is lost, there is no cache, and after that it is empty"
)

// sentinelsWanted is the number of Sentinels of a Redis with several members.
const sentinelsWanted = 3

func sessionsStore(in Input) *store {
	spec := in.App.Spec.Sessions
	if spec == nil || spec.External != nil || spec.Redis == nil {
		return nil
	}
	s := &store{
		kind: v1alpha1.ConditionSessionsReady, field: "sessions", name: naming.Sessions(in.App),
		component: naming.ComponentSessions, sentinel: naming.ComponentSessionsSentinel,
		members: max(spec.Redis.Members, 1), refuses: spec.Redis.Eviction != v1alpha1.SessionEvictionEvictIdle,
	}
	s.loss = lossOnNone
	if spec.Redis.Persistence != v1alpha1.PersistenceDisabled {
		s.class, s.loss = spec.Redis.Storage.StorageClassName, lossOnDisk
	}
	return s
}

func cacheStore(in Input) *store {
	spec := in.App.Spec.Cache
	if spec == nil || spec.Redis == nil {
		return nil
	}
	return &store{
		kind: v1alpha1.ConditionCacheReady, field: "cache", name: naming.Cache(in.App),
		component: naming.ComponentCache, sentinel: naming.ComponentCacheSentinel, members: max(spec.Redis.Members, 1),
		loss: lossOfCache,
	}
}

func sessionsStatus(in Input) *v1alpha1.RedisStatus { return redisStatus(in, sessionsStore(in)) }
func cacheStatus(in Input) *v1alpha1.RedisStatus    { return redisStatus(in, cacheStore(in)) }

// sessions is the condition SessionsReady.
func sessions(in Input) verdict {
	if spec := in.App.Spec.Sessions; spec != nil && spec.External != nil {
		return externalService(v1alpha1.ConditionSessionsReady, "sessions", "session store",
			spec.External.SecretName, in.Observed.ExternalSessions)
	}
	return redisReady(in, sessionsStore(in))
}

// cache is the condition CacheReady.
func cache(in Input) verdict {
	if spec := in.App.Spec.Cache; spec != nil && spec.External != nil {
		return externalService(v1alpha1.ConditionCacheReady, "cache", "cache", spec.External.SecretName, in.Observed.ExternalCache)
	}
	return redisReady(in, cacheStore(in))
}

// externalService says whether the Secret of a service that exists already can be bound.
func externalService(kind, field, what, name string, seen state.ExternalSecret) verdict {
	var v verdict
	switch {
	case !seen.Exists:
		v = bad(kind, v1alpha1.ReasonSecretMissing, "Secret %s (%s.external.secretName) does not exist; create it with a key uri", name, field)
	case !slices.Contains(seen.Keys, "uri"):
		v = bad(kind, v1alpha1.ReasonSecretIncomplete, "Secret %s (%s.external.secretName) has no key uri; add it: redis://USER:PASSWORD@HOST:PORT/0", name, field)
	default:
		return good(kind, fmt.Sprintf("bound to the %s that Secret %s names", what, name))
	}
	v.lasting = true
	return v
}

// redisStatus is the state of a Redis that the operator runs.
func redisStatus(in Input, s *store) *v1alpha1.RedisStatus {
	if s == nil {
		return nil
	}
	out := &v1alpha1.RedisStatus{Members: s.members}
	asked := in.Observed.Redis[s.name]
	for _, pod := range in.Observed.PodsWith(naming.Selector(in.App, s.component)) {
		if !Serving(pod) {
			continue
		}
		said, answers := RedisMember(asked, pod)
		if asked != nil && !answers || answers && !said.Master && !said.InSync {
			continue
		}
		out.ReadyMembers++
		// Both must say so: a node that froze keeps its label, and a Redis that was deposed may not know yet.
		if s.members == 1 || pod.Labels[naming.LabelRole] == "master" && (asked == nil || said.Master) {
			out.Master = pod.Name
		}
	}
	if s.members > 1 {
		out.Sentinels = sentinelsOf(in, s)
	}
	return out
}

// RedisMember is what a pod's Redis said; it did not if it was not asked.
func RedisMember(asked *state.RedisGroup, pod *corev1.Pod) (state.RedisMember, bool) {
	if asked == nil {
		return state.RedisMember{}, false
	}
	said, answers := asked.Members[pod.Name]
	return said, answers
}

func sentinelsOf(in Input, s *store) int32 {
	if asked := in.Observed.Redis[s.name]; asked != nil {
		return int32(len(asked.Sentinels))
	}
	var n int32
	for _, pod := range in.Observed.PodsWith(naming.Selector(in.App, s.sentinel)) {
		if Serving(pod) {
			n++
		}
	}
	return n
}

// redisReady says how a Redis is that the operator runs.
func redisReady(in Input, s *store) verdict {
	if s == nil {
		return verdict{}
	}
	v := redisServes(in, s)
	if trouble := in.RedisTrouble[s.name]; trouble != "" && v.reason != v1alpha1.ReasonStorageClassMissing {
		if v.ok {
			v.reason, v.lasting = v1alpha1.ReasonChangeFailed, true
		}
		v.ok = false
		v.message += "; " + trouble + runbook("redis-volume-cannot-grow")
	}
	return v
}

// redisServes says how a Redis serves.
func redisServes(in Input, s *store) verdict {
	v := members(in, server{kind: s.kind, name: s.name, component: s.component, wanted: s.members, class: s.class, ordered: true})
	status := redisStatus(in, s)
	full, words := nearlyFull(in, s)
	disk := diskFails(in, s)
	switch {
	case s.members > 1 && v.reason != v1alpha1.ReasonStorageClassMissing && status.Master == "" && in.Observed.StatefulSet(s.name) != nil:
		message := "no member is master"
		if !v.ok {
			v.message = message + ": " + v.message
		} else {
			v = bad(s.kind, v1alpha1.ReasonUnavailable, "%s", message)
		}
		if in.App.Status.Rollout.Stable != nil { // not while it starts for the first time
			v.message += runbook("redis-no-master")
		}
		return v
	case disk != "" && v.reason != v1alpha1.ReasonStorageClassMissing:
		return bad(s.kind, v1alpha1.ReasonDegraded, "%s%s", disk, runbook("redis-volume-full"))
	case !v.ok:
		if s.members > 1 && status.Master != "" {
			return memberAway(in, s, status, v)
		}
		return v
	case full:
		return bad(s.kind, v1alpha1.ReasonMemoryNearlyFull, "%s%s", words, runbook("redis-memory-full"))
	case s.members == 1:
		return loneReady(in, s, v)
	}
	return groupReady(in, s, status)
}

// diskFails is the member that cannot write to its volume, in words.
func diskFails(in Input, s *store) string {
	asked := in.Observed.Redis[s.name]
	if asked == nil {
		return ""
	}
	words := ""
	for _, pod := range slices.Sorted(maps.Keys(asked.Members)) {
		switch said := asked.Members[pod]; {
		case said.WriteFails && said.Master:
			return pod + " cannot write to its volume, so it takes no writes; reads go on"
		case said.WriteFails:
			words = pod + " cannot write to its volume"
		case said.RewriteFails && words == "":
			words = pod + " could not rewrite its append-only file, which grows until its volume is full"
		}
	}
	return words
}

// restartTakes is how long a member is away that is restarted.
const restartTakes = time.Minute

// memberAway says how a Redis of several members is that has a master, and not all of whose pods are ready.
func memberAway(in Input, s *store, status *v1alpha1.RedisStatus, v verdict) verdict {
	words, late := v.message, false
	if asked := in.Observed.Redis[s.name]; asked != nil {
		if why := stale(in, s, asked); why != "" {
			words = why + ": " + words
		}
	}
	for _, pod := range in.Observed.PodsWith(naming.Selector(in.App, s.component)) {
		since := pod.CreationTimestamp.Time
		if c := podCondition(pod, corev1.PodReady); c != nil && c.LastTransitionTime.After(since) {
			since = c.LastTransitionTime.Time
		}
		late = late || !Serving(pod) && in.Observed.Now.Sub(since) > restartTakes
	}
	v.message = fmt.Sprintf("%s is master, but %s", status.Master, words)
	if late {
		if v.reason == v1alpha1.ReasonProgressing {
			v.reason = v1alpha1.ReasonDegraded
		}
		v.message += runbook("redis-member-stale")
	}
	return v
}

// loneReady says how a Redis of one member is that is ready, and what its loss would cost.
func loneReady(in Input, s *store, v verdict) verdict {
	if why := in.RedisChange[s.name]; why != "" {
		return bad(s.kind, v1alpha1.ReasonProgressing, "%s is changed: %s", s.name, why)
	}
	v.message += fmt.Sprintf("; it is the only member: %s (%s.redis.members: 3 has two more stand by)", s.loss, s.field)
	return v
}

// groupReady says how a Redis of several members is whose pods are all ready.
func groupReady(in Input, s *store, status *v1alpha1.RedisStatus) verdict {
	if in.RedisChange[s.name] != "" {
		return bad(s.kind, v1alpha1.ReasonProgressing, "%s is master; %s is changed: %s", status.Master, s.name, in.RedisChange[s.name])
	}
	if asked := in.Observed.Redis[s.name]; asked != nil {
		if status.ReadyMembers < s.members {
			return bad(s.kind, v1alpha1.ReasonDegraded, "%s is master, but %s%s", status.Master,
				cmp.Or(stale(in, s, asked), "not all members follow it"), runbook("redis-member-stale"))
		}
		if n := asked.Members[status.Master].Replicas; n < s.members-1 {
			return bad(s.kind, v1alpha1.ReasonDegraded, "%s is master, but only %d of %d replicas follow it%s", status.Master, n, s.members-1, runbook("redis-member-stale"))
		}
		for _, name := range slices.Sorted(maps.Keys(asked.Sentinels)) {
			if said := asked.Sentinels[name]; !said.Quorum {
				return bad(s.kind, v1alpha1.ReasonDegraded, "%s is master, but would not be replaced if it were lost: %s says %s%s", status.Master, name, said.Message, runbook("redis-no-quorum"))
			}
		}
	}
	if status.Sentinels < sentinelsWanted {
		return bad(s.kind, v1alpha1.ReasonDegraded, "%s is master, but %d of %d Sentinels answer%s", status.Master, status.Sentinels, sentinelsWanted, runbook("redis-no-quorum"))
	}
	return good(s.kind, fmt.Sprintf("%s is master, %d replicas follow it, %d Sentinels watch", status.Master, s.members-1, status.Sentinels))
}

// stale is the member that does not follow the master, in words.
func stale(in Input, s *store, asked *state.RedisGroup) string {
	for _, pod := range in.Observed.PodsWith(naming.Selector(in.App, s.component)) {
		switch said, answers := RedisMember(asked, pod); {
		case !answers:
			return pod.Name + " does not answer"
		case !said.Master && !said.InSync:
			return pod.Name + " does not follow it: its data is old"
		}
	}
	return ""
}

// The share of its memory from which a store that refuses new keys is about to, and the one below which the
// danger is over.
const nearlyFullPercent, nearlyFullOver = 80, 75

func nearlyFull(in Input, s *store) (bool, string) {
	asked := in.Observed.Redis[s.name]
	if !s.refuses || asked == nil {
		return false, ""
	}
	limit := int64(nearlyFullPercent)
	for _, c := range in.App.Status.Conditions {
		if c.Type == s.kind && c.Reason == v1alpha1.ReasonMemoryNearlyFull {
			limit = nearlyFullOver
		}
	}
	for _, said := range asked.Members {
		if said.Master && said.Limit > 0 && said.Used >= said.Limit/100*limit {
			return true, fmt.Sprintf("more than %d%% of the memory is in use; when it is full new sessions are refused: raise %s.redis.memory, or set %s.redis.eviction to EvictIdle",
				nearlyFullPercent, s.field, s.field)
		}
	}
	return false, ""
}
