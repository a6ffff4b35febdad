package components

import (
	"maps"
	"slices"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rotation"
)

// Two passwords of the one user app take turns. While they are exchanged the file of users has both; members
// take it up while they run.

// redisKey is the key of the password that is in use, the first or the second.
func redisKey(second bool) string {
	if second {
		return keyAppBPassword
	}
	return keyAppPassword
}

// redisRotation is how far the exchange of a Redis' passwords is.
func redisRotation(in Input, r redis) (rotation.File, rotation.Record, error) {
	file, err := RotationFile(in, naming.RedisCredentials(r.name))
	return file, file.Credentials[r.credential], err
}

// redisPassword is the password that the app is given, "" while there is none.
func redisPassword(in Input, r redis) string {
	_, record, err := redisRotation(in, r)
	if err != nil {
		return ""
	}
	return secretValue(in, naming.RedisCredentials(r.name), redisKey(record.Second))
}

// redisAppPasswords are those that let the app in, that in use first; none while it is not known.
func redisAppPasswords(in Input, r redis) []string {
	inUse := redisPassword(in, r)
	if inUse == "" {
		return nil
	}
	list := []string{inUse}
	if _, record, _ := redisRotation(in, r); both(record) {
		if idle := secretValue(in, naming.RedisCredentials(r.name), redisKey(!record.Second)); idle != "" {
			list = append(list, idle)
		}
	}
	return list
}

// both says whether the password that is not in use lets the app in, too.
func both(r rotation.Record) bool {
	return r.Step == rotation.StepPrepare || r.Step == rotation.StepSwitch || r.Step == rotation.StepRoll
}

// RotateRedis is the Secret with the passwords as the next step of a rotation wants it. The old one is kept until
// every member was seen to refuse it.
func RotateRedis(in Input, name string, file rotation.File, next rotation.Record) []Object {
	i := slices.IndexFunc(redises(in.App), func(r redis) bool { return r.name == name })
	seen := in.Observed.Secret(naming.RedisCredentials(name))
	if i < 0 || seen == nil || len(in.Observed.Entropy) < minEntropy {
		return nil
	}
	r, data, idle := redises(in.App)[i], maps.Clone(seen.Data), redisKey(!next.Second)
	switch next.Step {
	case rotation.StepPrepare:
		data[idle] = newPassword(in, naming.RedisCredentials(name), idle)
	case "":
		data[idle] = nil // empty, and not left out: only who made a key can take it away
	}
	data[rotation.Key] = file.With(r.credential, next).Bytes()
	return []Object{passwordSecret(in, r.component, naming.RedisCredentials(name), data)}
}

// RedisExchanged are the app's passwords by their keys while they are exchanged; none else.
func RedisExchanged(in Input, name string) map[string]string {
	secret := in.Observed.Secret(naming.RedisCredentials(name))
	if file, err := RotationFile(in, naming.RedisCredentials(name)); err != nil || !file.Rotating || secret == nil {
		return nil
	}
	out := map[string]string{}
	for _, key := range []string{keyAppPassword, keyAppBPassword} {
		if password := string(secret.Data[key]); password != "" {
			out[key] = password
		}
	}
	return out
}

// Exchange says which member does not let the app in as the step of a rotation wants it, by name, and who that is
// first in words; nobody if all do.
func (g RedisGroup) Exchange(in Input, r rotation.Record) (members []string, words string) {
	say := func(pod, text string) {
		members = append(members, pod)
		if words == "" {
			words = pod + " " + text
		}
	}
	asked := in.Observed.Redis[g.Name]
	for i := range g.Members {
		pod := naming.RedisPod(g.Name, i)
		if asked == nil {
			say(pod, "does not answer")
			continue
		}
		said, answers := asked.Members[pod]
		inUse, knowsUse := said.LetsIn[redisKey(r.Second)]
		idle, knowsIdle := said.LetsIn[redisKey(!r.Second)]
		switch {
		case !answers || !knowsUse || both(r) && !knowsIdle:
			say(pod, "does not answer")
		case !inUse:
			say(pod, "does not let the app in with the password in use")
		case both(r) && !idle:
			say(pod, "does not let the app in with the new password yet")
		case !both(r) && idle:
			say(pod, "still lets the app in with the old password")
		}
	}
	return members, words
}

// Rotation is how far the exchange of the passwords is.
func (g RedisGroup) Rotation(in Input) (rotation.File, rotation.Record, error) {
	file, err := RotationFile(in, naming.RedisCredentials(g.Name))
	return file, file.Credentials[g.Credential], err
}

// BindsActive says whether the app's binding has the password in use.
func (g RedisGroup) BindsActive(in Input) bool {
	_, record, err := g.Rotation(in)
	inUse := secretValue(in, naming.RedisCredentials(g.Name), redisKey(record.Second))
	return err == nil && inUse != "" && secretValue(in, naming.RedisBinding(g.Name), "password") == inUse
}

// KeyRedisMonitor is the key of the password of RedisMonitor in the Secret naming.RedisCredentials.
const KeyRedisMonitor = keyMonitorPassword
