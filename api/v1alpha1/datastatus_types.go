package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DatabaseStatus is the state of the database that the operator runs.
type DatabaseStatus struct {
	// primary is the pod that takes the writes.
	// +optional
	Primary string `json:"primary,omitempty"`

	// instances is the wanted number of instances.
	// +optional
	Instances int32 `json:"instances"`

	// readyInstances is the number of instances that answer and, if replicas, follow the primary.
	// +optional
	ReadyInstances int32 `json:"readyInstances"`

	// synchronous are the standbys that hold every acknowledged commit.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=9
	Synchronous []string `json:"synchronous,omitempty"`

	// timeline counts the database's changes of primary, from 1.
	// +optional
	Timeline int64 `json:"timeline,omitempty"`

	// operation is what the operator does to the database at present, one thing at a time.
	// +optional
	Operation *OperationStatus `json:"operation,omitempty"`

	// pendingRestart are the instances whose settings take a restart to come into force.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=9
	PendingRestart []string `json:"pendingRestart,omitempty"`

	// lost are the replicas that cannot start from what is on their volumes.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=9
	Lost []string `json:"lost,omitempty"`

	// backup is the state of the backups.
	// +optional
	Backup *BackupStatus `json:"backup,omitempty"`

	// handledAction is the last person's word about the database (the annotation
	// apps.scalableapp.dev/database-action) that was carried out or refused.
	// +optional
	HandledAction string `json:"handledAction,omitempty"`

	// refusedMessage says in words why that was refused.
	// +optional
	RefusedMessage string `json:"refusedMessage,omitempty"`
}

// OperationStatus is a change to the data tier that is under way.
type OperationStatus struct {
	// kind is what is done: Switchover, Failover, Restart, Resize, GrowVolume, ScaleDown. Later versions may add kinds.
	// +optional
	Kind string `json:"kind,omitempty"`

	// target is the instance that it is done to.
	// +optional
	Target string `json:"target,omitempty"`

	// reason says in words why it is done.
	// +optional
	Reason string `json:"reason,omitempty"`

	// startedTime is when it began.
	// +optional
	StartedTime *metav1.Time `json:"startedTime,omitempty"`

	// action is what was last tried, in words.
	// +optional
	Action string `json:"action,omitempty"`

	// failures is how often that failed. After two the operator does not try again until the spec changes.
	// +optional
	Failures int32 `json:"failures,omitempty"`

	// failedTime is when it last failed.
	// +optional
	FailedTime *metav1.Time `json:"failedTime,omitempty"`

	// message is the last failure in words.
	// +optional
	Message string `json:"message,omitempty"`

	// observedGeneration is the generation of the spec under which it failed.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// BackupStatus is the state of the backups.
type BackupStatus struct {
	// lastBackupTime is when the last good backup ended.
	// +optional
	LastBackupTime *metav1.Time `json:"lastBackupTime,omitempty"`

	// lastBackup is its label in pgBackRest, for example 20261124-020000F.
	// +optional
	LastBackup string `json:"lastBackup,omitempty"`

	// restorableFrom is the earliest time to which can be restored.
	// +optional
	RestorableFrom *metav1.Time `json:"restorableFrom,omitempty"`

	// archivedTime is when the write-ahead log was last archived: a restore can go up to here.
	// +optional
	ArchivedTime *metav1.Time `json:"archivedTime,omitempty"`

	// running is the kind of backup that is being made: full or diff.
	// +optional
	Running string `json:"running,omitempty"`

	// handledRequest is the last request for a backup (the annotation apps.scalableapp.dev/backup) that was
	// carried out.
	// +optional
	HandledRequest string `json:"handledRequest,omitempty"`

	// message says in words what is wrong, or else how the last request ended.
	// +optional
	Message string `json:"message,omitempty"`
}

// RedisStatus is the state of a Redis that the operator runs.
type RedisStatus struct {
	// master is the pod that takes the writes.
	// +optional
	Master string `json:"master,omitempty"`

	// members is the wanted number of Redis servers.
	// +optional
	Members int32 `json:"members"`

	// readyMembers is the number of servers that answer and, if replicas, follow the master.
	// +optional
	ReadyMembers int32 `json:"readyMembers"`

	// sentinels is the number of Sentinels that answer; 0 with one member, which has none.
	// +optional
	Sentinels int32 `json:"sentinels,omitempty"`
}

// CredentialStatus is how the rotation of a credential stands.
type CredentialStatus struct {
	// name is app, replication, superuser, sessions or cache.
	// +required
	Name string `json:"name,omitempty"`

	// phase is Requested, Preparing, Switching, RollingOut, Retiring or Done. Later versions may add phases.
	// +optional
	Phase string `json:"phase,omitempty"`

	// token is that of the request (the annotation apps.scalableapp.dev/rotate) which the phase is about.
	// +optional
	Token string `json:"token,omitempty"`

	// takenToken is that of the last rotation which the app's revision took up.
	// +optional
	TakenToken string `json:"takenToken,omitempty"`

	// lastRotatedTime is when the last rotation came to its end.
	// +optional
	LastRotatedTime *metav1.Time `json:"lastRotatedTime,omitempty"`

	// message says in words what is done or waited for.
	// +optional
	Message string `json:"message,omitempty"`
}

// RotationStatus is what became of the last request for a rotation.
type RotationStatus struct {
	// handledRequest is the last request (the annotation apps.scalableapp.dev/rotate) that was taken up or refused.
	// +optional
	HandledRequest string `json:"handledRequest,omitempty"`

	// refusedMessage says in words why it was refused.
	// +optional
	RefusedMessage string `json:"refusedMessage,omitempty"`
}
