package components

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// The keys of the Secret with the passwords of the database's roles. The Secret is mounted as files
// too, under the names that the image's sync-roles looks for.
const (
	keySuperuserPassword   = "SUPERUSER_PASSWORD"
	keyReplicationPassword = "REPLICATION_PASSWORD"
	keyRewindPassword      = "REWIND_PASSWORD"
	keyRestAPIPassword     = "RESTAPI_PASSWORD"
	keyAppPassword         = "APP_PASSWORD"
	keyAppROPassword       = "APP_RO_PASSWORD"
	keyMonitorPassword     = "MONITOR_PASSWORD"
	// Those of the second of each pair, from the first rotation on; see databaseRotation.
	keyAppBPassword         = "APP_B_PASSWORD"
	keyAppROBPassword       = "APP_RO_B_PASSWORD"
	keyReplicationBPassword = "REPLICATION_B_PASSWORD"
	keyRewindBPassword      = "REWIND_B_PASSWORD"
	// Only there where there is, or was, a pooler.
	keyPoolerPassword      = "POOLER_PASSWORD"
	keyPoolerAdminPassword = "POOLER_ADMIN_PASSWORD"
	keyPoolerStatsPassword = "POOLER_STATS_PASSWORD"
	keySentinelPassword    = "SENTINEL_PASSWORD"
)

// minEntropy is what the passwords are at least made from. With less none are made: the zero value of
// Observed must never lead to a password that can be guessed.
const minEntropy = 32

// Credentials are the Secrets with generated passwords: made once, and exchanged only by a rotation.
func Credentials(in Input) []Object {
	var objects []Object
	if wantsPostgres(in.App) {
		objects = append(objects, databaseCredentials(in)...)
	}
	for _, r := range redises(in.App) {
		if file, err := RotationFile(in, naming.RedisCredentials(r.name)); err == nil {
			objects = append(objects, passwords(in, r.component, naming.RedisCredentials(r.name),
				redisKey(file.Credentials[r.credential].Second), keyMonitorPassword)...)
		}
		if r.members > 1 {
			objects = append(objects, passwords(in, r.component, naming.RedisReplication(r.name),
				keyReplicationPassword, keySentinelPassword)...)
		}
	}
	return objects
}

// passwords is a Secret with passwords that do not exist yet. One that exists gets those that it lacks, which
// came to be wanted later.
func passwords(in Input, component, name string, keys ...string) []Object {
	data, missing, ok := withPasswords(in, name, keys...)
	if !ok || !missing {
		return nil
	}
	return []Object{passwordSecret(in, component, name, data)}
}

// withPasswords is the content of a Secret and the passwords that it lacks. It is not ok without entropy.
func withPasswords(in Input, name string, keys ...string) (data map[string][]byte, missing, ok bool) {
	if len(in.Observed.Entropy) < minEntropy {
		return nil, false, false
	}
	data = make(map[string][]byte, len(keys))
	if seen := in.Observed.Secret(name); seen != nil {
		maps.Copy(data, seen.Data)
	}
	for _, key := range keys {
		if len(data[key]) == 0 {
			data[key], missing = newPassword(in, name, key), true
		}
	}
	return data, missing, true
}

func newPassword(in Input, name, key string) []byte {
	return []byte(password(in.Observed.Entropy, name+"/"+key))
}

// passwordSecret is a Secret with passwords. One that exists is written as a whole, but only as it was seen, so
// that a view that lags can replace none that is in use.
func passwordSecret(in Input, component, name string, data map[string][]byte) Object {
	secret := corev1ac.Secret(name, in.App.Namespace).
		WithLabels(labels(in.App, component)).
		WithOwnerReferences(owner(in.App)).
		WithType(corev1.SecretTypeOpaque).
		WithData(data)
	if seen := in.Observed.Secret(name); seen != nil {
		return Object{Intent: secret, IfVersion: seen.ResourceVersion}
	}
	return Object{Intent: secret, Mode: Created}
}

// password derives a password of 128 bits. It is hexadecimal, so that it needs no escape in a URI, in a
// configuration file or in a shell.
func password(entropy []byte, purpose string) string {
	mac := hmac.New(sha256.New, entropy)
	mac.Write([]byte(purpose))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// secretValue is the value of a key of an observed Secret, "" while it is not there.
func secretValue(in Input, name, key string) string {
	secret := in.Observed.Secret(name)
	if secret == nil {
		return ""
	}
	return string(secret.Data[key])
}

func wantsPooler(app *v1alpha1.ScalableApp) bool {
	return wantsPostgres(app) && app.Spec.Database.Postgres.Pooler != nil
}

func wantsPostgres(app *v1alpha1.ScalableApp) bool {
	return app.Spec.Database != nil && app.Spec.Database.Postgres != nil
}

// PatroniLogin is the way into Patroni's REST API, from the Secret with the database's passwords.
func PatroniLogin(secret *corev1.Secret) (user, password string) {
	return patroniUser, string(secret.Data[keyRestAPIPassword])
}
