package components

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

const (
	redisPort = 6379
	// redisUser is the app's user, redisMonitor that of the probes, the exporter and the operator.
	redisUser    = "app"
	redisMonitor = "monitor"
	// redisMemoryPercent of the container's memory holds data; the rest is for buffers, fragmentation
	// and the pages that change while the append-only file is rewritten.
	redisMemoryPercent = 70

	redisConfigFile = "redis.conf"
	redisUsersFile  = "users.acl"
	redisConfigDir  = "/etc/redis"
	redisUsersDir   = "/etc/redis-users"
	redisDataDir    = "/data"
	redisSecretsDir = "/etc/redis-credentials"
	redisMonitorDir = "/etc/redis-monitor"
)

// redis is one Redis of an app: the session store or the cache, which have opposite settings.
type redis struct {
	name      string
	component string
	sentinel  string // the Sentinels' component
	members   int32
	memory    resource.Quantity
	// eviction is what becomes of keys when the memory is full.
	eviction string
	// storage is the volume of the append-only file; nil when nothing is kept on disk.
	storage *v1alpha1.StorageSpec
}

// redises are the Redis instances that the app wants.
func redises(app *v1alpha1.ScalableApp) []redis {
	var out []redis
	if spec := sessionsRedis(app); spec != nil {
		r := redis{
			name: naming.Sessions(app), component: naming.ComponentSessions, sentinel: naming.ComponentSessionsSentinel,
			members: max(spec.Members, 1), memory: memoryOr(spec.Memory, "256Mi"),
			// Nobody is logged out without a word: when the memory is full new sessions are refused.
			eviction: "noeviction",
		}
		if spec.Eviction == v1alpha1.SessionEvictionEvictIdle {
			r.eviction = "volatile-lru"
		}
		r.storage = SessionsStorage(app)
		out = append(out, r)
	}
	if c := app.Spec.Cache; c != nil && c.Redis != nil {
		out = append(out, redis{
			name: naming.Cache(app), component: naming.ComponentCache, sentinel: naming.ComponentCacheSentinel,
			members: max(c.Redis.Members, 1), memory: memoryOr(c.Redis.Memory, "128Mi"), eviction: "allkeys-lfu",
		})
	}
	return out
}

// sessionsRedis are the settings of the session store, if the operator runs it. The schema fills them in
// also where the store is somebody else's.
func sessionsRedis(app *v1alpha1.ScalableApp) *v1alpha1.SessionRedisSpec {
	if s := app.Spec.Sessions; s != nil && s.Store != v1alpha1.SessionStoreExternal {
		return s.Redis
	}
	return nil
}

// SessionsStorage is the volume that each member of the session store has; nil is none.
func SessionsStorage(app *v1alpha1.ScalableApp) *v1alpha1.StorageSpec {
	if spec := sessionsRedis(app); spec != nil && spec.Persistence != v1alpha1.PersistenceDisabled {
		return &spec.Storage
	}
	return nil
}

func memoryOr(memory *resource.Quantity, otherwise string) resource.Quantity {
	if memory == nil {
		return resource.MustParse(otherwise)
	}
	return *memory
}

// Redis is the session store and the cache, as far as they are wanted. A single member has no
// PodDisruptionBudget: it could only forbid every drain of its node.
func Redis(in Input) []Object {
	var objects []Object
	for _, r := range redises(in.App) {
		users := redisUsers(in, r)
		objects = append(objects, redisConfig(in, r), redisService(in, r))
		objects = append(objects, users...)
		if r.members > 1 {
			objects = append(objects, redisGroup(in, r, len(users) > 0)...)
			continue
		}
		// Its first pod shall not have to wait for the ACL file. But once there it is wanted whatever else
		// was seen: a StatefulSet that is left out of a pass is deleted, and its volume may go with it.
		if len(users) > 0 || in.Observed.StatefulSet(r.name) != nil {
			objects = append(objects, redisStatefulSet(in, r))
		}
	}
	return objects
}

func redisConfig(in Input, r redis) Object {
	return Object{Intent: corev1ac.ConfigMap(naming.RedisConfig(r.name), in.App.Namespace).
		WithLabels(labels(in.App, r.component)).
		WithOwnerReferences(owner(in.App)).
		WithData(map[string]string{redisConfigFile: r.config()})}
}

// config is redis.conf. What is not in it is Redis' default.
func (r redis) config() string {
	lines := []string{
		"# Written by scalableapp-operator; changes are undone.",
		fmt.Sprintf("port %d", redisPort),
		"dir " + redisDataDir,
		"aclfile " + redisUsersDir + "/" + redisUsersFile,
		fmt.Sprintf("maxmemory %d", share(r.memory, redisMemoryPercent)),
		"maxmemory-policy " + r.eviction,
		// No snapshots: a fork for nothing in the cache, and less than the append-only file in the store.
		`save ""`,
	}
	if r.storage != nil {
		lines = append(lines, "appendonly yes", "appendfsync everysec")
	} else {
		lines = append(lines, "appendonly no")
	}
	if r.members > 1 {
		lines = append(lines, r.groupConfig()...)
	}
	return strings.Join(lines, "\n") + "\n"
}

// redisUsers is the Secret with the ACL file. There is none until the passwords are seen.
func redisUsers(in Input, r redis) []Object {
	app := secretValue(in, naming.RedisCredentials(r.name), keyAppPassword)
	monitor := secretValue(in, naming.RedisCredentials(r.name), keyMonitorPassword)
	if app == "" || monitor == "" {
		return nil
	}
	acl := redisACL(redisHash(app), redisHash(monitor))
	if r.members > 1 {
		replication := secretValue(in, naming.RedisReplication(r.name), keyReplicationPassword)
		sentinel := secretValue(in, naming.RedisReplication(r.name), keySentinelPassword)
		if replication == "" || sentinel == "" {
			return nil
		}
		acl += groupACL(redisHash(replication), redisHash(sentinel))
	}
	return []Object{{Intent: corev1ac.Secret(naming.RedisUsers(r.name), in.App.Namespace).
		WithLabels(labels(in.App, r.component)).
		WithOwnerReferences(owner(in.App)).
		WithType(corev1.SecretTypeOpaque).
		WithData(map[string][]byte{redisUsersFile: []byte(acl)})}}
}

// redisACL is the ACL file. @dangerous and @admin hold what harms other users of the instance or shows
// its inside (FLUSHALL, KEYS, CONFIG, MONITOR, REPLICAOF, …). INFO is given back: clients and session
// libraries ask it for the server's version and role. The monitor has what the exporter asks for.
func redisACL(app, monitor string) string {
	return "user default off\n" +
		"user " + redisUser + " on #" + app + " ~* &* +@all -@admin -@dangerous +info\n" +
		"user " + redisMonitor + " on #" + monitor + " -@all +ping +info" +
		" +latency|latest +latency|histogram +slowlog|len +slowlog|get\n"
}

// redisHash is a password as the ACL file takes it, so that the file holds no password.
func redisHash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

// redisService is where the app finds its Redis: the only member, or the one that is master.
func redisService(in Input, r redis) Object {
	spec := corev1ac.ServiceSpec().
		WithType(corev1.ServiceTypeClusterIP).
		WithSelector(naming.Selector(in.App, r.component)).
		WithPorts(servicePort("redis", redisPort))
	if r.members > 1 {
		// The label alone decides: a master that is not ready for a moment is still the only one to ask.
		spec.WithPublishNotReadyAddresses(true).WithSelector(map[string]string{naming.LabelRole: redisMaster})
		if lone := lonePod(in, r); lone != nil {
			delete(spec.Selector, naming.LabelRole)
			spec.WithSelector(map[string]string{appsv1.StatefulSetPodNameLabel: lone.Name})
		}
	}
	return Object{Intent: corev1ac.Service(r.name, in.App.Namespace).
		WithLabels(labels(in.App, r.component)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(spec)}
}
