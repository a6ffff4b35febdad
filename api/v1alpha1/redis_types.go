package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
)

// SessionsSpec says where user sessions live: outside the app's pods, so that any pod can serve any
// request.
// +kubebuilder:validation:XValidation:rule="self.store != 'Redis' || has(self.redis)",message="sessions.redis is required when sessions.store is Redis; write redis: {}"
// +kubebuilder:validation:XValidation:rule="(self.store == 'External') == has(self.external)",message="sessions.external goes with sessions.store External: set both, or neither"
// +kubebuilder:validation:XValidation:rule="self.store == oldSelf.store",message="sessions.store cannot be changed on a live app: its users would be logged out; create a new ScalableApp with the other store"
type SessionsSpec struct {
	// store is the kind of session store: Redis is one that the operator runs, External one that exists
	// already.
	// +optional
	// +kubebuilder:default=Redis
	Store SessionStore `json:"store,omitempty"`

	// redis are the settings of the Redis session store. When its memory is full new sessions are refused and
	// none is evicted, unless eviction says otherwise.
	// +optional
	// +kubebuilder:default={}
	Redis *SessionRedisSpec `json:"redis,omitempty"`

	// external is a session store that exists already: it is bound and checked, never touched.
	// +optional
	External *ExternalServiceSpec `json:"external,omitempty"`
}

// SessionStore is a kind of session store.
// +kubebuilder:validation:Enum=Redis;External
type SessionStore string

// The kinds of session stores.
const (
	// SessionStoreRedis keeps sessions in a Redis of the app's own.
	SessionStoreRedis SessionStore = "Redis"
	// SessionStoreExternal keeps sessions in a service that exists already.
	SessionStoreExternal SessionStore = "External"
)

// ExternalServiceSpec names a service that exists already.
type ExternalServiceSpec struct {
	// secretName is the name of a Secret in the app's namespace, in the form of the Service Binding
	// specification. Its key "uri" is what the app gets.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="secretName must be the name of a Secret in the app's namespace: lower-case letters, digits, '-' and '.'"
	SecretName string `json:"secretName,omitempty"`
}

// SessionRedisSpec are the settings of a Redis that keeps sessions.
// +kubebuilder:validation:XValidation:rule="!has(self.memory) || self.persistence != 'Enabled' || quantity(string(self.storage.size)).compareTo(quantity(string(self.memory)).add(quantity(string(self.memory)))) >= 0",message="sessions.redis.storage.size must be at least twice sessions.redis.memory: the append-only file is rewritten beside the old one; raise storage.size or lower memory"
type SessionRedisSpec struct {
	// members is the number of Redis servers: 3, of which one is the master and the others replicas that
	// stand by, while three Sentinels, in pods of their own, decide who is master; or 1, which is for a
	// single machine: while it restarts nobody can log in.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Enum=1;3
	// +kubebuilder:validation:XValidation:rule="self >= oldSelf",message="sessions.redis.members cannot go back to 1 on a live session store: a lone member has no way to take the sessions over; set it back to 3, or create a new ScalableApp with one member"
	Members int32 `json:"members,omitempty"`

	// eviction says what becomes of sessions when the memory is full. Refuse: new sessions are refused,
	// nobody is logged out. EvictIdle: those that were not used for the longest time go; only keys that
	// expire.
	// +optional
	// +kubebuilder:default=Refuse
	Eviction SessionEviction `json:"eviction,omitempty"`

	// memory is the memory of the Redis container; 70% of it holds data.
	// +optional
	// +kubebuilder:default="256Mi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('64Mi')) >= 0",message="sessions.redis.memory must be at least 64Mi"
	Memory *resource.Quantity `json:"memory,omitempty"`

	// persistence says whether sessions survive a restart of Redis: an append-only file, synced every
	// second, on a volume of its own.
	// +optional
	// +kubebuilder:default=Enabled
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="sessions.redis.persistence cannot be changed on a live session store: create a new ScalableApp with the other value, or set it back"
	Persistence Persistence `json:"persistence,omitempty"`

	// storage is the volume of the append-only file.
	// +optional
	// +kubebuilder:default={"size":"1Gi"}
	Storage StorageSpec `json:"storage,omitzero"`
}

// SessionEviction says what becomes of sessions when the memory is full.
// +kubebuilder:validation:Enum=Refuse;EvictIdle
type SessionEviction string

// The values of eviction.
const (
	SessionEvictionRefuse    SessionEviction = "Refuse"
	SessionEvictionEvictIdle SessionEviction = "EvictIdle"
)

// Persistence says whether data is written to a volume.
// +kubebuilder:validation:Enum=Enabled;Disabled
type Persistence string

// The values of persistence.
const (
	PersistenceEnabled  Persistence = "Enabled"
	PersistenceDisabled Persistence = "Disabled"
)

// CacheSpec is a cache that takes reads off the database.
// +kubebuilder:validation:XValidation:rule="has(self.redis) != has(self.external)",message="set exactly one of cache.redis (a cache that the operator runs) and cache.external (one that exists already); write redis: {} or remove the other"
type CacheSpec struct {
	// redis are the settings of the Redis cache. It evicts the least frequently used keys when its
	// memory is full and keeps nothing on disk.
	// +optional
	Redis *CacheRedisSpec `json:"redis,omitempty"`

	// external is a cache that exists already: it is bound and checked, never touched.
	// +optional
	External *ExternalServiceSpec `json:"external,omitempty"`
}

// CacheRedisSpec are the settings of a Redis that is a cache.
type CacheRedisSpec struct {
	// members is the number of Redis servers: 1, or 3 of which one is the master and the others replicas
	// that stand by; then three Sentinels, in pods of their own, decide who is master.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Enum=1;3
	// +kubebuilder:validation:XValidation:rule="self >= oldSelf",message="cache.redis.members cannot go back to 1 on a live cache: set it back to 3, or remove cache, wait until it is gone, and add it again with one member"
	Members int32 `json:"members,omitempty"`

	// memory is the memory of the Redis container; 70% of it holds data.
	// +optional
	// +kubebuilder:default="128Mi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('64Mi')) >= 0",message="cache.redis.memory must be at least 64Mi"
	Memory *resource.Quantity `json:"memory,omitempty"`
}
