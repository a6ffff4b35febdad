package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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
// +kubebuilder:validation:XValidation:rule="self.version == oldSelf.version",message="database.postgres.version cannot be changed on a live database: create a new ScalableApp with the new version and move the data"
// +kubebuilder:validation:XValidation:rule="self.durability != 'Required' || self.instances >= 2",message="database.postgres.durability Required needs database.postgres.instances of at least 2: with one instance no write could ever be acknowledged; raise instances or choose Preferred"
// +kubebuilder:validation:XValidation:rule="!has(self.pooler) || ((self.instances > 1 ? 4 : 2) * self.pooler.instances * (self.pooler.poolSize + 1) + 13 <= 200) || (has(self.parameters) && self.parameters.exists(k, k.lowerAscii() == 'max_connections'))",message="the pooler may open more connections than the database takes: (poolSize + 1) x 2 x pooler.instances (twice, because old pods drain while new ones serve), and as many again for reads with database.postgres.instances above 1, + 13 reserved must be at most max_connections, which is 200: lower pooler.poolSize or pooler.instances, or set max_connections in database.postgres.parameters"
// +kubebuilder:validation:XValidation:rule="!has(self.pooler) || !has(self.parameters) || self.parameters.all(k, k.lowerAscii() != 'max_connections' || !self.parameters[k].matches('^[0-9]{1,9}$') || (self.instances > 1 ? 4 : 2) * self.pooler.instances * (self.pooler.poolSize + 1) + 13 <= int(self.parameters[k]))",message="the pooler may open more connections than the database takes: (poolSize + 1) x 2 x pooler.instances (twice, because old pods drain while new ones serve), and as many again for reads with database.postgres.instances above 1, + 13 reserved must be at most max_connections in database.postgres.parameters: raise it, or lower pooler.poolSize or pooler.instances"
// +kubebuilder:validation:XValidation:rule="!has(self.backup) || !has(oldSelf.backup) || has(self.backup.s3) || has(oldSelf.backup.s3) || quantity(string(has(self.backup.volume) ? self.backup.volume.size : self.storage.size)).compareTo(quantity(string(has(oldSelf.backup.volume) ? oldSelf.backup.volume.size : oldSelf.storage.size))) >= 0",message="the volume of the backups cannot shrink (database.postgres.backup.volume.size; left out it is as large as database.postgres.storage.size): set a size that is not smaller than before"
// +kubebuilder:validation:XValidation:rule=`!has(self.backup) || !has(oldSelf.backup) || has(self.backup.s3) || has(oldSelf.backup.s3) || (has(self.backup.volume) ? (has(self.backup.volume.storageClassName) ? self.backup.volume.storageClassName : "") : (has(self.storage.storageClassName) ? self.storage.storageClassName : "")) == (has(oldSelf.backup.volume) ? (has(oldSelf.backup.volume.storageClassName) ? oldSelf.backup.volume.storageClassName : "") : (has(oldSelf.storage.storageClassName) ? oldSelf.storage.storageClassName : ""))`,message="the StorageClass of the backups' volume cannot be changed: set database.postgres.backup.volume.storageClassName to the one that it has (with backup.volume left out, that of database.postgres.storage)"
// +kubebuilder:validation:XValidation:rule="!has(self.resources) || !has(self.resources.limits) || !('memory' in self.resources.limits) || quantity(string(self.resources.limits['memory'])).compareTo(quantity('128Mi')) >= 0",message="database.postgres.resources.limits.memory must be at least 128Mi: PostgreSQL and Patroni do not live with less"
// +kubebuilder:validation:XValidation:rule="has(self.restore) == has(oldSelf.restore) && (!has(self.restore) || self.restore == oldSelf.restore)",message="database.postgres.restore can only be set when the database is created: create a new ScalableApp with it"
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
	// needs for itself are refused. A change is taken up at once where PostgreSQL can; where it takes a
	// restart the members are restarted one after the other: the primary last and after a switchover, or first and
	// in place where a limit shrinks (max_connections).
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

	// pooler puts PgBouncer between the app and the database, in transaction mode: many connections of
	// the app share few of the database, and outlive a change of primary. Left out, the app connects to the
	// database itself.
	// +optional
	Pooler *PoolerSpec `json:"pooler,omitempty"`

	// backup keeps the write-ahead log and regular copies of the database, from which a new app can be
	// restored to any time in between. Left out, there are none.
	// +optional
	Backup *BackupSpec `json:"backup,omitempty"`

	// restore starts the database from another app's backup. Left out, it starts empty.
	// +optional
	Restore *RestoreSpec `json:"restore,omitempty"`
}

// PoolerSpec is PgBouncer between the app and the database.
type PoolerSpec struct {
	// instances is the number of PgBouncer pods in front of the primary, and as many in front of the
	// replicas.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Instances int32 `json:"instances,omitempty"`

	// poolSize is the number of connections that each PgBouncer pod may open to the database. Those of all
	// pods must fit into max_connections, of which 13 are reserved: of the pods there are twice instances
	// while a new version is rolled out, before the primary and, if there are replicas, before these, and each
	// has one connection more, to look up who may log in.
	// +optional
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	PoolSize int32 `json:"poolSize,omitempty"`

	// maxClientConnections is the number of connections that each PgBouncer pod takes from the app.
	// +optional
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	MaxClientConnections int32 `json:"maxClientConnections,omitempty"`
}

// BackupSpec says where backups are kept, when they are made and for how long.
// +kubebuilder:validation:XValidation:rule="!(has(self.volume) && has(self.s3))",message="set one of backup.volume and backup.s3; remove the other"
// +kubebuilder:validation:XValidation:rule="has(self.s3) == has(oldSelf.s3)",message="backups cannot move between a volume and s3: remove database.postgres.backup, then set it with the other; the new repository starts with a full backup"
type BackupSpec struct {
	// volume keeps the backups on a volume of their own. Left out together with s3, a volume as large as
	// the database's.
	// +optional
	Volume *StorageSpec `json:"volume,omitempty"`

	// s3 keeps the backups in a bucket of an S3-compatible object store.
	// +optional
	S3 *BackupS3Spec `json:"s3,omitempty"`

	// fullSchedule is when a full backup is made, in cron's five fields, in UTC.
	// +optional
	// +kubebuilder:default="0 2 * * 0"
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9*,/-]+( [0-9*,/-]+){4}$')",message="a schedule has cron's five fields (minute, hour, day of the month, month, day of the week), each of numbers, *, ranges, lists and steps, for example '0 2 * * 0'"
	FullSchedule string `json:"fullSchedule,omitempty"`

	// differentialSchedule is when a backup of what changed since the last full one is made.
	// +optional
	// +kubebuilder:default="0 2 * * 1-6"
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9*,/-]+( [0-9*,/-]+){4}$')",message="a schedule has cron's five fields (minute, hour, day of the month, month, day of the week), each of numbers, *, ranges, lists and steps, for example '0 2 * * 0'"
	DifferentialSchedule string `json:"differentialSchedule,omitempty"`

	// retainFull is the number of full backups that are kept, with all that is needed to restore to any
	// time since the oldest of them.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	RetainFull int32 `json:"retainFull,omitempty"`
}

// BackupS3Spec is a bucket of an S3-compatible object store.
type BackupS3Spec struct {
	// endpoint is the store's host, with a port where it is not 443, for example s3.eu-central-1.amazonaws.com.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Endpoint string `json:"endpoint,omitempty"`

	// bucket is the name of the bucket.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Bucket string `json:"bucket,omitempty"`

	// region is the bucket's region.
	// +optional
	// +kubebuilder:default="us-east-1"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Region string `json:"region,omitempty"`

	// secretName is the name of a Secret in the app's namespace with the keys access-key-id and
	// secret-access-key, and ca.crt where the store's certificate is not one that the public trusts.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`
}

// RestoreSpec is what a new database starts from.
type RestoreSpec struct {
	// fromApp is the name of the ScalableApp in this namespace whose backups are read. It is not touched.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	FromApp string `json:"fromApp,omitempty"`

	// time is the time to go back to. Left out, all that was archived.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`
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
