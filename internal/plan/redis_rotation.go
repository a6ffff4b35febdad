package plan

import (
	"slices"

	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/redistopology"
	"github.com/scalableapp/scalableapp-operator/internal/rotation"
)

// redisCredentials are the app's passwords of its session store and its cache.
func (b *builder) redisCredentials() []credential {
	var list []credential
	for _, group := range components.RedisGroups(b.in) {
		file, record, err := group.Rotation(b.in)
		list = append(list, credential{name: group.Credential, secret: naming.RedisCredentials(group.Name),
			binding: naming.RedisBinding(group.Name),
			see: func(s *rotation.Snapshot) {
				s.Kind, s.Record = rotation.Pods, record
				if s.Hold = b.redisHold(group); err != nil {
					s.Hold = err.Error()
				}
				_, words := group.Exchange(b.in, record)
				s.Unprepared, s.Unretired = words, words // each is looked at in its own step alone
				s.Bound = group.BindsActive(b.in)
			},
			write: func(next rotation.Record) []components.Object {
				return components.RotateRedis(b.in, group.Name, file, next)
			},
		})
	}
	return list
}

// redisHold is why no password of a Redis is exchanged at present.
func (b *builder) redisHold(group components.RedisGroup) string {
	seen := b.redisSeen(group)
	step := redistopology.Next(seen)
	switch {
	case b.paused():
		return "the app is paused"
	case b.shifting():
		return "a rollout shifts traffic"
	case step.Why != "":
		return group.Name + " is changed: " + step.Why
	case !slices.ContainsFunc(seen.Members, func(m redistopology.Member) bool { return m.Master && m.Ready }):
		return "no member of " + group.Name + " is master"
	}
	return ""
}

// redisRotationActions have the members of each Redis whose passwords are exchanged look at their users, until
// all let the app in as they shall.
func (b *builder) redisRotationActions() []action.Action {
	var actions []action.Action
	for _, group := range components.RedisGroups(b.in) {
		file, record, err := group.Rotation(b.in)
		if err != nil || record.Step == "" {
			continue
		}
		actions = append(actions, b.tell(group.Component, file.Generation)...)
		load := action.LoadRedisUsers{Members: map[string]string{},
			Monitor: action.SecretKey{Name: naming.RedisCredentials(group.Name), Key: components.KeyRedisMonitor}}
		late, _ := group.Exchange(b.in, record)
		for _, pod := range b.redisPods(group.Component) {
			if slices.Contains(late, pod.Name) && pod.Status.PodIP != "" && pod.DeletionTimestamp == nil && components.TakesUpUsers(pod) {
				load.Members[pod.Name] = components.RedisAddress(pod)
			}
		}
		if len(load.Members) > 0 {
			actions = append(actions, load)
		}
	}
	return actions
}

// redisExchanges says whether members are to take up users: nothing reports that they have.
func (b *builder) redisExchanges() bool {
	return slices.ContainsFunc(b.rotations.Decisions, func(d rotation.Decision) bool {
		redis := d.Name == rotation.Sessions || d.Name == rotation.Cache
		return redis && (d.Record.Step == rotation.StepPrepare || d.Record.Step == rotation.StepRetire)
	})
}
