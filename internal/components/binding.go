package components

import (
	"fmt"
	"maps"
	"path"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/rotation"
)

// bindingRoot is where the bindings are mounted, one directory for each: the form of the Service
// Binding specification, which client libraries for many languages read by themselves.
const bindingRoot = "/bindings"

// Bindings are the Secrets that the app is given, in the form of the Service Binding specification. Each
// follows the Secret with the passwords, so it comes in the pass after that one.
func Bindings(in Input) []Object {
	var objects []Object
	if wantsPostgres(in.App) {
		objects = append(objects, databaseBinding(in)...)
	}
	for _, r := range redises(in.App) {
		objects = append(objects, redisBinding(in, r)...)
	}
	return objects
}

func databaseBinding(in Input) []Object {
	credentials := naming.DatabaseCredentials(in.App)
	file, err := RotationFile(in, credentials)
	inUse := logins(rotation.App, file.Credentials[rotation.App].Second)
	user, reader := inUse[0].Role, inUse[1].Role
	password, passwordRO := secretValue(in, credentials, inUse[0].Key), secretValue(in, credentials, inUse[1].Key)
	if err != nil || password == "" || passwordRO == "" {
		return nil
	}
	// sslmode is said, because drivers differ in what they do without it.
	options := func(tls bool) string {
		if tls {
			return verifyFull(path.Join(bindingRoot, "database"))
		}
		return "sslmode=disable"
	}
	host := serviceHost(in.App, naming.DatabaseReadWrite(in.App))
	hostRO := serviceHost(in.App, naming.DatabaseReadOnly(in.App))
	values := map[string]string{}
	if wantsPooler(in.App) {
		// Past the pooler, for what needs a session of its own: migrations, LISTEN, advisory locks.
		values["host-direct"] = host
		values["uri-direct"] = postgresURI(user, password, host, options(membersTLS(in)))
		host = serviceHost(in.App, naming.Pooler(in.App, naming.PoolerReadWrite))
		hostRO = serviceHost(in.App, naming.Pooler(in.App, naming.PoolerReadOnly))
	}
	maps.Copy(values, map[string]string{
		"type":        "postgresql",
		"host":        host,
		"port":        strconv.Itoa(postgresPort),
		"database":    postgresDatabase,
		"username":    user,
		"password":    password,
		"uri":         postgresURI(user, password, host, options(bindsTLS(in))),
		"host-ro":     hostRO,
		"username-ro": reader,
		"password-ro": passwordRO,
		"uri-ro":      postgresURI(reader, passwordRO, hostRO, options(bindsTLS(in))),
	})
	if ca := secretValue(in, naming.DatabaseAuthority(in.App), keyAuthority); ca != "" && membersTLS(in) {
		values[keyAuthority] = ca
	}
	return []Object{bindingSecret(in, naming.ComponentDatabase, naming.DatabaseBinding(in.App), values)}
}

// postgresURI needs no escapes: names are the operator's own and passwords are hexadecimal.
func postgresURI(user, password, host, options string) string {
	return fmt.Sprintf("postgresql://%s:%s@%s:%d/%s?%s", user, password, host, postgresPort, postgresDatabase, options)
}

func redisBinding(in Input, r redis) []Object {
	password := redisPassword(in, r)
	if password == "" {
		return nil
	}
	host := serviceHost(in.App, r.name)
	return []Object{bindingSecret(in, r.component, naming.RedisBinding(r.name), map[string]string{
		"type":     "redis",
		"host":     host,
		"port":     strconv.Itoa(redisPort),
		"username": redisUser,
		"password": password,
		"database": "0",
		"uri":      fmt.Sprintf("redis://%s:%s@%s:%d/0", redisUser, password, host, redisPort),
	})}
}

func bindingSecret(in Input, component, name string, values map[string]string) Object {
	data := map[string][]byte{"provider": []byte("scalableapp-operator")}
	for key, value := range values {
		data[key] = []byte(value)
	}
	return Object{Intent: corev1ac.Secret(name, in.App.Namespace).
		WithLabels(labels(in.App, component)).
		WithOwnerReferences(owner(in.App)).
		WithType(corev1.SecretType("servicebinding.io/" + values["type"])).
		WithData(data)}
}

func serviceHost(app *v1alpha1.ScalableApp, service string) string {
	return service + "." + app.Namespace + ".svc"
}

// Binding is what a pod needs to reach the services it is bound to.
type Binding struct {
	Env     []*corev1ac.EnvVarApplyConfiguration
	Volumes []*corev1ac.VolumeApplyConfiguration
	Mounts  []*corev1ac.VolumeMountApplyConfiguration
}

// bind is what the app's container and its pod need for the bindings of a revision.
func bind(app *v1alpha1.ScalableApp, bindings revision.Bindings) Binding {
	var b Binding
	if bindings.Database {
		secret := naming.DatabaseBinding(app)
		b.Env = append(b.Env, secretEnv("DATABASE_URL", secret, "uri"), secretEnv("DATABASE_RO_URL", secret, "uri-ro"))
		b.mount("database", secret)
	}
	if secret := bindings.ExternalSecret; secret != "" {
		// A database of the user's own need not have replicas: then DATABASE_RO_URL is not there at all.
		readOnly := secretEnv("DATABASE_RO_URL", secret, "uri-ro")
		readOnly.ValueFrom.SecretKeyRef.WithOptional(true)
		b.Env = append(b.Env, secretEnv("DATABASE_URL", secret, "uri"), readOnly)
		b.mount("database", secret)
	}
	if bindings.Sessions {
		secret := naming.RedisBinding(naming.Sessions(app))
		b.Env = append(b.Env, secretEnv("SESSION_URL", secret, "uri"))
		b.mount("sessions", secret)
	}
	if secret := bindings.SessionsSecret; secret != "" {
		b.Env = append(b.Env, secretEnv("SESSION_URL", secret, "uri"))
		b.mount("sessions", secret)
	}
	if bindings.Cache {
		secret := naming.RedisBinding(naming.Cache(app))
		b.Env = append(b.Env, secretEnv("CACHE_URL", secret, "uri"))
		b.mount("cache", secret)
	}
	if secret := bindings.CacheSecret; secret != "" {
		b.Env = append(b.Env, secretEnv("CACHE_URL", secret, "uri"))
		b.mount("cache", secret)
	}
	if len(b.Mounts) > 0 {
		b.Env = append(b.Env, corev1ac.EnvVar().WithName("SERVICE_BINDING_ROOT").WithValue(bindingRoot))
	}
	return b
}

// direct leads a container past the pooler: a migration's locks and settings belong to a session, and a
// pooler in transaction mode may give each transaction another one.
func direct(app *v1alpha1.ScalableApp, container *corev1ac.ContainerApplyConfiguration) {
	if !wantsPooler(app) {
		return
	}
	for i := range container.Env {
		if *container.Env[i].Name == "DATABASE_URL" {
			container.Env[i] = *secretEnv("DATABASE_URL", naming.DatabaseBinding(app), "uri-direct")
		}
	}
}

// mount mounts a Secret as one directory of the binding root. The kubelet's default mode lets any user
// in the pod read it: the app's image may run as any.
func (b *Binding) mount(name, secret string) {
	volume := "binding-" + name
	b.Volumes = append(b.Volumes, corev1ac.Volume().WithName(volume).
		WithSecret(corev1ac.SecretVolumeSource().WithSecretName(secret)))
	b.Mounts = append(b.Mounts, corev1ac.VolumeMount().WithName(volume).
		WithMountPath(path.Join(bindingRoot, name)).WithReadOnly(true))
}
