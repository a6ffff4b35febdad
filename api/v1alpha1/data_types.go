package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// SessionsSpec says where user sessions live: outside the app's pods, so that any pod can serve any
// request.
// +kubebuilder:validation:XValidation:rule="self.store != 'Redis' || has(self.redis)",message="sessions.redis is required when sessions.store is Redis; write redis: {}"
type SessionsSpec struct {
	// store is the kind of session store.
	// +optional
	// +kubebuilder:default=Redis
	Store SessionStore `json:"store,omitempty"`

	// redis are the settings of the Redis session store. It never evicts a session: when its memory
	// is full, new sessions are refused.
	// +optional
	// +kubebuilder:default={}
	Redis *SessionRedisSpec `json:"redis,omitempty"`
}

// SessionStore is a kind of session store.
// +kubebuilder:validation:Enum=Redis
type SessionStore string

// SessionStoreRedis keeps sessions in a Redis of the app's own.
const SessionStoreRedis SessionStore = "Redis"

// SessionRedisSpec are the settings of a Redis that keeps sessions.
// +kubebuilder:validation:XValidation:rule="!has(self.memory) || self.persistence != 'Enabled' || quantity(string(self.storage.size)).compareTo(quantity(string(self.memory)).add(quantity(string(self.memory)))) >= 0",message="sessions.redis.storage.size must be at least twice sessions.redis.memory: the append-only file is rewritten beside the old one; raise storage.size or lower memory"
type SessionRedisSpec struct {
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

// Persistence says whether data is written to a volume.
// +kubebuilder:validation:Enum=Enabled;Disabled
type Persistence string

// The values of persistence.
const (
	PersistenceEnabled  Persistence = "Enabled"
	PersistenceDisabled Persistence = "Disabled"
)

// CacheSpec is a cache that takes reads off the database.
type CacheSpec struct {
	// redis are the settings of the Redis cache. It evicts the least frequently used keys when its
	// memory is full and keeps nothing on disk.
	// +required
	Redis *CacheRedisSpec `json:"redis,omitempty"`
}

// CacheRedisSpec are the settings of a Redis that is a cache.
type CacheRedisSpec struct {
	// memory is the memory of the Redis container; 70% of it holds data.
	// +optional
	// +kubebuilder:default="128Mi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('64Mi')) >= 0",message="cache.redis.memory must be at least 64Mi"
	Memory *resource.Quantity `json:"memory,omitempty"`
}

// DatabaseSpec is the app's database.
// +kubebuilder:validation:XValidation:rule="has(self.postgres) != has(self.external)",message="set exactly one of database.postgres (a database that the operator runs) and database.external (one that exists already); remove the other"
// +kubebuilder:validation:XValidation:rule="has(self.postgres) == has(oldSelf.postgres)",message="database.postgres and database.external cannot be exchanged on a live app: create a new ScalableApp with the other kind and move the data"
type DatabaseSpec struct {
	// postgres is a PostgreSQL that the operator runs.
	// +optional
	Postgres *PostgresSpec `json:"postgres,omitempty"`

	// external is a database that exists already: it is bound and checked, never touched.
	// +optional
	External *ExternalDatabaseSpec `json:"external,omitempty"`
}

// ExternalDatabaseSpec names a database that exists already.
type ExternalDatabaseSpec struct {
	// secretName is the name of a Secret in the app's namespace, in the form of the Service Binding
	// specification. Its key "uri" becomes DATABASE_URL, its key "uri-ro", if there is one,
	// DATABASE_RO_URL.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="database.external.secretName must be the name of a Secret in the app's namespace: lower-case letters, digits, '-' and '.'"
	SecretName string `json:"secretName,omitempty"`
}

// PostgresSpec is a PostgreSQL that the operator runs: one primary, the rest replicas.
// +kubebuilder:validation:XValidation:rule="self.durability == oldSelf.durability",message="database.postgres.durability cannot be changed yet on a live database; create a new ScalableApp with the other value and move the data"
// +kubebuilder:validation:XValidation:rule="self.version == oldSelf.version",message="database.postgres.version cannot be changed on a live database: create a new ScalableApp with the new version and move the data"
// +kubebuilder:validation:XValidation:rule="self.durability != 'Required' || self.instances >= 2",message="database.postgres.durability Required needs database.postgres.instances of at least 2: with one instance no write could ever be acknowledged; raise instances or choose Preferred"
// +kubebuilder:validation:XValidation:rule=`['max_connections','max_locks_per_transaction','max_prepared_transactions','max_replication_slots','max_wal_senders','max_worker_processes','track_commit_timestamp','wal_keep_size','wal_log_hints'].all(k, (has(self.parameters) && k in self.parameters ? self.parameters[k] : "") == (has(oldSelf.parameters) && k in oldSelf.parameters ? oldSelf.parameters[k] : ""))`,message="database.postgres.parameters: max_connections, max_locks_per_transaction, max_prepared_transactions, max_replication_slots, max_wal_senders, max_worker_processes, track_commit_timestamp, wal_keep_size and wal_log_hints can only be chosen when the database is created: all members must agree on them; set them back, or create a new ScalableApp with the other values and move the data"
type PostgresSpec struct {
	// version is the major version of PostgreSQL.
	// +optional
	// +kubebuilder:default=17
	// +kubebuilder:validation:Enum=17
	Version int32 `json:"version,omitempty"`

	// instances is the number of PostgreSQL servers: one primary, the rest replicas that serve reads
	// and stand by to take over.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=9
	Instances int32 `json:"instances,omitempty"`

	// storage is the volume of each instance.
	// +required
	Storage StorageSpec `json:"storage,omitzero"`

	// resources are the requests and limits of each instance. Left out, 100m of CPU and 256Mi of
	// memory are requested and memory is limited to 512Mi. shared_buffers is 25% of the memory limit.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`

	// parameters are PostgreSQL's own settings, for example work_mem: 16MB. Those that the operator
	// needs for itself are refused; those that every member must agree on (max_connections and its
	// like) can only be set when the database is created.
	// +optional
	// +kubebuilder:validation:MaxProperties=128
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.lowerAscii() in ['listen_addresses','port','data_directory','hba_file','ident_file','config_file','wal_level','hot_standby','primary_conninfo','primary_slot_name','synchronous_standby_names','archive_mode','archive_command','restore_command','unix_socket_directories','cluster_name','password_encryption','logging_collector','fsync','full_page_writes','synchronous_commit'])",message="parameters must not hold a setting that the operator needs for itself (listen_addresses, port, wal_level, hot_standby, synchronous_standby_names, archive_*, password_encryption, file locations, …) or that would break what durability promises (fsync, full_page_writes, synchronous_commit); remove it"
	Parameters map[string]PostgresParameter `json:"parameters,omitempty"`

	// durability says what a failover may lose. Asynchronous: the last acknowledged commits. Preferred:
	// nothing while a standby is in step; with none in step writes go on, and no other member takes
	// over by itself. Required: nothing, ever; writes wait for a standby.
	// +optional
	// +kubebuilder:default=Preferred
	Durability Durability `json:"durability,omitempty"`
}

// PostgresParameter is the value of a PostgreSQL setting, as in postgresql.conf without quotes.
// +kubebuilder:validation:MaxLength=512
type PostgresParameter string

// Durability says what a failover may lose.
// +kubebuilder:validation:Enum=Asynchronous;Preferred;Required
type Durability string

// The values of durability.
const (
	DurabilityAsynchronous Durability = "Asynchronous"
	DurabilityPreferred    Durability = "Preferred"
	DurabilityRequired     Durability = "Required"
)

// StorageSpec is a volume.
// +kubebuilder:validation:XValidation:rule="quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0",message="storage.size cannot shrink: create a new ScalableApp with the smaller size and move the data, or set it back"
// +kubebuilder:validation:XValidation:rule="quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) <= 0",message="storage.size cannot grow in place yet: create a new ScalableApp with the larger size and move the data, or set it back"
// +kubebuilder:validation:XValidation:rule="has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",message="storage.storageClassName cannot be changed on a live volume: create a new ScalableApp with the other class and move the data, or set it back"
type StorageSpec struct {
	// size is the size of the volume, for example 10Gi.
	// +required
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="storage.size must be greater than 0, for example 10Gi"
	Size resource.Quantity `json:"size,omitzero"`

	// storageClassName is the StorageClass of the volume. Left out, the cluster's default class.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="storage.storageClassName must be the name of a StorageClass: lower-case letters, digits, '-' and '.'"
	StorageClassName *string `json:"storageClassName,omitempty"`

	// onDelete says what becomes of the volumes when the ScalableApp is deleted. A ScalableApp of the
	// same name takes retained volumes up again.
	// +optional
	// +kubebuilder:default=Retain
	OnDelete StorageOnDelete `json:"onDelete,omitempty"`
}

// StorageOnDelete says what becomes of volumes when their app is deleted.
// +kubebuilder:validation:Enum=Retain;Delete
type StorageOnDelete string

// The values of onDelete.
const (
	StorageRetain StorageOnDelete = "Retain"
	StorageDelete StorageOnDelete = "Delete"
)
