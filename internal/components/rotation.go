package components

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rotation"
)

// keyAuthentication is, in the Secret with the passwords, the part of Patroni's configuration that holds some:
// a file among its others, so that Patroni takes up another one by a reload. The environment takes a restart.
const keyAuthentication = "authentication.yml"

// keyAppActive names the role that the app is given, for people and programs in the members' pods.
const keyAppActive = "APP_ACTIVE"

// secondSuffix ends the name of the second role of a pair.
const secondSuffix = "_b"

// login is a role and the key of its password.
type login struct{ Role, Key string }

// databasePairs are the roles that take turns, those in use first and second, by credential.
var databasePairs = map[string][2][]login{
	rotation.App: {
		{{postgresUser, keyAppPassword}, {postgresReader, keyAppROPassword}},
		{{postgresUser + secondSuffix, keyAppBPassword}, {postgresReader + secondSuffix, keyAppROBPassword}},
	},
	rotation.Replication: {
		{{postgresReplication, keyReplicationPassword}, {postgresRewind, keyRewindPassword}},
		{{postgresReplication + secondSuffix, keyReplicationBPassword}, {postgresRewind + secondSuffix, keyRewindBPassword}},
	},
}

// DatabaseRotations are the credentials of the database that can be rotated.
var DatabaseRotations = map[string]rotation.Kind{
	rotation.App: rotation.Pods, rotation.Replication: rotation.Members, rotation.Superuser: rotation.InPlace,
}

// logins are the roles of a credential that are in use, or those that are not.
func logins(name string, second bool) []login {
	if name == rotation.Superuser {
		return []login{{postgresSuperuser, keySuperuserPassword}}
	}
	pair := databasePairs[name]
	if second {
		return pair[1]
	}
	return pair[0]
}

// RotationFile is what a Secret with passwords says of their rotations. An error says that nobody can know
// which passwords are in use, so that nothing that follows from them may be written.
func RotationFile(in Input, secret string) (rotation.File, error) {
	file, err := rotation.Read([]byte(secretValue(in, secret, rotation.Key)))
	if err != nil {
		return file, fmt.Errorf("Secret %s: %w", secret, err)
	}
	return file, nil
}

// databaseCredentials is the Secret with the passwords of the database's roles, if it is to be written.
func databaseCredentials(in Input) []Object {
	name := naming.DatabaseCredentials(in.App)
	keys := []string{keySuperuserPassword, keyRestAPIPassword, keyMonitorPassword}
	if wantsPooler(in.App) {
		keys = append(keys, keyPoolerPassword, keyPoolerAdminPassword)
	}
	file, err := RotationFile(in, name)
	if err != nil {
		return nil
	}
	for credential := range databasePairs { // the other one's may be gone
		for _, l := range logins(credential, file.Credentials[credential].Second) {
			keys = append(keys, l.Key)
		}
	}
	slices.Sort(keys)
	data, missing, ok := withPasswords(in, name, keys...)
	if !ok || !derive(data, file) && !missing {
		return nil
	}
	return []Object{passwordSecret(in, naming.ComponentDatabase, name, data)}
}

// derive writes into the Secret what follows from its other content, and says whether that was not so.
func derive(data map[string][]byte, file rotation.File) (changed bool) {
	active := logins(rotation.App, file.Credentials[rotation.App].Second)[0]
	for key, want := range map[string][]byte{
		keyAuthentication: patroniAuthentication(data, file),
		keyAppActive:      []byte(active.Role),
	} {
		if !bytes.Equal(data[key], want) {
			data[key], changed = want, true
		}
	}
	return changed
}

// patroniAuthentication are the names and passwords that Patroni itself logs in with.
func patroniAuthentication(data map[string][]byte, file rotation.File) []byte {
	user := func(l login) object { return object{"username": l.Role, "password": string(data[l.Key])} }
	replication := logins(rotation.Replication, file.Credentials[rotation.Replication].Second)
	text, err := yaml.Marshal(object{"postgresql": object{"authentication": object{
		"superuser":   user(logins(rotation.Superuser, false)[0]),
		"replication": user(replication[0]),
		"rewind":      user(replication[1]),
	}}})
	if err != nil {
		panic(fmt.Sprintf("components: %s cannot be written: %v", keyAuthentication, err)) // only strings
	}
	return text
}

// RotateDatabase is the Secret with the passwords as the next step of a rotation wants it: the record, and what
// it means for the passwords, in one write. It is none while the Secret was not seen or there is no entropy.
func RotateDatabase(in Input, file rotation.File, credential string, next rotation.Record) []Object {
	name := naming.DatabaseCredentials(in.App)
	seen := in.Observed.Secret(name)
	if seen == nil || len(in.Observed.Entropy) < minEntropy {
		return nil
	}
	data := maps.Clone(seen.Data)
	switch next.Step {
	case rotation.StepPrepare:
		idle := !next.Second
		for _, l := range logins(credential, idle) {
			data[l.Key] = newPassword(in, name, l.Key)
		}
	case rotation.StepRetire:
		for _, l := range logins(credential, !next.Second) {
			data[l.Key] = []byte{} // empty, and not left out: only who made a key can take it away
		}
	}
	file = file.With(credential, next)
	data[rotation.Key] = file.Bytes()
	derive(data, file)
	return []Object{passwordSecret(in, naming.ComponentDatabase, name, data)}
}

// TakenRotations are the rotations that a revision made now carries: what the Secrets say, or where one cannot
// be seen, what the status has of it.
func TakenRotations(in Input) (string, error) {
	taken := map[string]string{}
	for _, c := range in.App.Status.Credentials {
		taken[c.Name] = c.TakenToken
	}
	secrets := map[string]string{rotation.App: naming.DatabaseCredentials(in.App)}
	for _, r := range redises(in.App) {
		secrets[r.credential] = naming.RedisCredentials(r.name)
	}
	for credential, secret := range secrets {
		if in.Observed.Secret(secret) == nil {
			continue
		}
		file, err := RotationFile(in, secret)
		if err != nil {
			return "", err
		}
		taken[credential] = file.Credentials[credential].Taken
	}
	return rotation.Taken(in.App, taken), nil
}

// memberReport is what a member of the database says of the passwords (images/postgres/follow-credentials).
type memberReport struct {
	// Generation is that of the passwords that it has taken up.
	Generation int64 `json:"generation"`
	// Roles says of each role "in" (it logs in here), "out" (nobody is, or comes, in with it), or what is wrong.
	Roles map[string]string `json:"roles"`
	// Replicates is the role that the member streams as; the primary streams from nobody.
	Replicates string `json:"replicates"`
	// Error is what went wrong.
	Error string `json:"error"`
}

const (
	roleIn  = "in"
	roleOut = "out"
)

// reports asks all members of the database for what they say, and returns the first that is not as wanted, in
// words; "" is that all are.
func reports(in Input, file rotation.File, wrong func(pod *corev1.Pod, r memberReport) string) string {
	pods := in.Observed.PodsWith(naming.Selector(in.App, naming.ComponentDatabase))
	if len(pods) == 0 {
		return "the database has no members"
	}
	for _, pod := range pods {
		var r memberReport
		_ = json.Unmarshal([]byte(pod.Annotations[naming.AnnotationCredentialsReport]), &r) // what cannot be read says nothing
		switch {
		case r.Generation == file.Generation && r.Error != "":
			return fmt.Sprintf("%s cannot take up the new passwords: %s", pod.Name, r.Error)
		case r.Generation != file.Generation:
			return pod.Name + " has not taken up the new passwords yet"
		}
		if words := wrong(pod, r); words != "" {
			return pod.Name + " " + words
		}
	}
	return ""
}

// LetIn says who does not let the roles of a credential in, "" if all do.
func LetIn(in Input, file rotation.File, credential string, second bool) string {
	return reports(in, file, func(_ *corev1.Pod, r memberReport) string {
		for _, l := range logins(credential, second) {
			if said := r.Roles[l.Role]; said != roleIn {
				return "does not let " + l.Role + " in yet" + because(said)
			}
		}
		return ""
	})
}

// LetOut says who still lets the roles of a credential in, "" if nobody does.
func LetOut(in Input, file rotation.File, credential string, second bool) string {
	return reports(in, file, func(_ *corev1.Pod, r memberReport) string {
		for _, l := range logins(credential, second) {
			if said := r.Roles[l.Role]; said != roleOut {
				return "still lets " + l.Role + " in" + because(said)
			}
		}
		return ""
	})
}

func because(said string) string {
	if said == "" || said == roleIn || said == roleOut {
		return ""
	}
	return ": " + said
}

// Replicates says which replica does not stream as the role in use, "" if all do.
func Replicates(in Input, file rotation.File) string {
	role := logins(rotation.Replication, file.Credentials[rotation.Replication].Second)[0].Role
	return reports(in, file, func(pod *corev1.Pod, r memberReport) string {
		if pod.Labels[naming.LabelRole] != rolePrimary && r.Replicates != role {
			return "does not stream as " + role + " yet"
		}
		return ""
	})
}

// BindsActive says whether the app's binding names the role in use, with its password.
func BindsActive(in Input, file rotation.File) bool {
	l := logins(rotation.App, file.Credentials[rotation.App].Second)[0]
	binding := naming.DatabaseBinding(in.App)
	return secretValue(in, binding, "username") == l.Role &&
		secretValue(in, binding, "password") == secretValue(in, naming.DatabaseCredentials(in.App), l.Key)
}

// WrittenTime is when the operator last wrote a Secret, by the API server's clock; zero if nobody knows.
func WrittenTime(in Input, name string) time.Time {
	var last time.Time
	if secret := in.Observed.Secret(name); secret != nil {
		for _, entry := range secret.ManagedFields {
			if entry.Manager == naming.FieldManager && entry.Time != nil && entry.Time.After(last) {
				last = entry.Time.Time
			}
		}
	}
	return last
}

// MayHold says whether a pod that has not ended may have been given what a Secret held before a time.
func MayHold(pod *corev1.Pod, secret string, before time.Time) bool {
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	return !ended && pod.CreationTimestamp.Time.Before(before) && UsesSecret(pod, secret)
}

// UsesSecret says whether a pod is given something of a Secret.
func UsesSecret(pod *corev1.Pod, secret string) bool {
	for _, v := range pod.Spec.Volumes {
		if v.Secret != nil && v.Secret.SecretName == secret {
			return true
		}
		if v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool {
			return s.Secret != nil && s.Secret.Name == secret
		}) {
			return true
		}
	}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if slices.ContainsFunc(c.EnvFrom, func(e corev1.EnvFromSource) bool { return e.SecretRef != nil && e.SecretRef.Name == secret }) ||
			slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool {
				return e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && e.ValueFrom.SecretKeyRef.Name == secret
			}) {
			return true
		}
	}
	return false
}
