package plan

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/redistopology"
	"github.com/scalableapp/scalableapp-operator/internal/state"
	"github.com/scalableapp/scalableapp-operator/internal/status"
)

const (
	// redisStep is how soon to look again while members are restarted.
	redisStep = time.Second
	// redisLook is how soon to look again at members that are well: nothing reports that one fell back, or
	// that the memory fills up.
	redisLook = 30 * time.Second
	// redisMissed is how soon to look again at members of which one did not answer, or that have no master: a
	// single look is no proof.
	redisMissed = 3 * time.Second
)

// redisActions are what is done to the Redis that the app wants, and when to look at them again. At most one
// thing at a time, and no member is restarted while traffic moves.
func (b *builder) redisActions() ([]action.Action, time.Duration) {
	for _, group := range components.RedisGroups(b.in) {
		step := redistopology.Next(b.redisSeen(group))
		volumes := step.Kind == redistopology.Grow || step.Kind == redistopology.Renew
		if step.Why == "" || b.shifting() && !volumes {
			continue
		}
		if step.Kind == redistopology.Nothing {
			return nil, redisStep // it waits; another Redis may not begin meanwhile
		}
		if a := b.redisAction(group, step); a != nil {
			return []action.Action{a}, redisStep
		}
	}
	return nil, b.redisWake()
}

// redisWake is when to look again at members to which nothing is done; zero is never.
func (b *builder) redisWake() time.Duration {
	var wake time.Duration
	if len(b.seen.Redis) > 0 {
		wake = redisLook
	}
	for _, group := range components.RedisGroups(b.in) {
		if asked := b.seen.Redis[group.Name]; asked != nil && !answersAll(asked, group.Members) {
			wake = redisMissed
		}
	}
	return wake
}

// answersAll says whether all members answered and one of them is master.
func answersAll(asked *state.RedisGroup, members int32) bool {
	master := slices.ContainsFunc(slices.Collect(maps.Values(asked.Members)), func(m state.RedisMember) bool { return m.Master })
	return master && len(asked.Members) >= int(members)
}

// redisChange is what is still to be done to each Redis, and what keeps its volumes from growing, in words.
func (b *builder) redisChange() (change, trouble map[string]string) {
	change, trouble = map[string]string{}, map[string]string{}
	for _, group := range components.RedisGroups(b.in) {
		seen := b.redisSeen(group)
		if step := redistopology.Next(seen); step.Why != "" {
			change[group.Name] = step.Why
		}
		if words := redistopology.Trouble(seen); words != "" {
			trouble[group.Name] = words
		}
	}
	return change, trouble
}

func (b *builder) redisAction(group components.RedisGroup, step redistopology.Step) action.Action {
	switch step.Kind {
	case redistopology.Grow:
		return action.GrowVolume{Claim: step.Member, Size: group.Storage.Size}
	case redistopology.Renew:
		set := b.seen.StatefulSet(group.Name)
		return action.OrphanSet{Name: set.Name, UID: set.UID, ResourceVersion: set.ResourceVersion}
	case redistopology.Restart:
		for _, pod := range b.redisPods(group.Component) {
			if pod.Name == step.Member {
				return action.DeletePod{Pod: pod.Name, UID: pod.UID, Why: step.Why}
			}
		}
	case redistopology.Handover:
		return b.handOver(group, step)
	}
	return nil
}

func (b *builder) handOver(group components.RedisGroup, step redistopology.Step) action.Action {
	a := action.HandOverRedis{
		Name: group.Name, Pod: step.Member, Secret: naming.RedisReplication(group.Name), Why: step.Why, Hosts: group.Hosts,
		Members: map[string]string{}, Sentinels: map[string]string{},
	}
	for _, pod := range b.redisPods(group.Component) {
		a.Members[pod.Name] = components.RedisAddress(pod)
	}
	for _, pod := range b.redisPods(group.Sentinel) {
		if status.Serving(pod) {
			a.Sentinels[pod.Name] = components.SentinelAddress(pod)
		}
	}
	return a
}

func (b *builder) redisPods(component string) []*corev1.Pod {
	return b.seen.PodsWith(naming.Selector(b.app, component))
}

// redisSeen is what the decision is made from.
func (b *builder) redisSeen(group components.RedisGroup) redistopology.Group {
	asked := b.seen.Redis[group.Name]
	g := redistopology.Group{Wanted: int(group.Members)}
	for i := range group.Members {
		for _, pod := range b.redisPods(group.Component) {
			if pod.Name != naming.RedisPod(group.Name, i) {
				continue
			}
			said, answers := status.RedisMember(asked, pod)
			g.Members = append(g.Members, redistopology.Member{
				Name: pod.Name, Terminating: pod.DeletionTimestamp != nil,
				Running:  pod.Status.Phase == corev1.PodRunning,
				Stuck:    !status.Serving(pod),
				Ready:    status.Serving(pod) && answers && (said.Master || said.InSync),
				Master:   said.Master,
				Outdated: group.Outdated(b.in, pod), Alone: group.Alone(pod),
			})
		}
	}
	g.OldTemplate = b.redisOldTemplate(group)
	b.redisVolumes(group, &g)
	if asked != nil {
		agree := 0
		for _, said := range asked.Sentinels {
			if said.Quorum {
				agree++
			}
		}
		g.Quorum = agree > 0
	}
	return g
}

// redisOldTemplate says whether a pod that is made anew would have old settings again: the StatefulSet could not be
// written yet, or its controller has not seen that it was.
func (b *builder) redisOldTemplate(group components.RedisGroup) bool {
	set := b.seen.StatefulSet(group.Name)
	if set == nil || set.Status.ObservedGeneration < set.Generation {
		return true
	}
	pod := &corev1.Pod{ObjectMeta: set.Spec.Template.ObjectMeta, Spec: set.Spec.Template.Spec}
	return group.Outdated(b.in, pod) || group.Alone(pod)
}

// redisVolumes are the volumes of the members.
func (b *builder) redisVolumes(group components.RedisGroup, g *redistopology.Group) {
	if group.Storage == nil {
		return
	}
	for _, claim := range components.VolumesOf(b.seen.Volumes, group.Name) {
		v := b.volume(claim, group.Storage.Size)
		g.Volumes = append(g.Volumes, redistopology.Volume{Name: v.Name, Requested: v.Requested, Wanted: v.Wanted,
			Capacity: v.Capacity, Fixed: v.Fixed, Trouble: v.Trouble})
	}
	if set := b.seen.StatefulSet(group.Name); set != nil {
		for _, claim := range set.Spec.VolumeClaimTemplates {
			size := claim.Spec.Resources.Requests[corev1.ResourceStorage]
			g.OldSet = size.Cmp(group.Storage.Size) != 0
		}
	}
}
