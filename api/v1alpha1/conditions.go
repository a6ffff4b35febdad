package v1alpha1

// The types of conditions.
const (
	// ConditionReady: the whole stack is as the spec wants it.
	ConditionReady = "Ready"
	// ConditionAvailable: the app serves, whichever revision does it.
	ConditionAvailable = "Available"
	// ConditionDatabaseReady: the database takes writes and all instances are in step.
	ConditionDatabaseReady = "DatabaseReady"
	// ConditionBackupReady: the write-ahead log is archived and backups are made.
	ConditionBackupReady = "BackupReady"
	// ConditionSessionsReady: the session store answers.
	ConditionSessionsReady = "SessionsReady"
	// ConditionCacheReady: the cache answers.
	ConditionCacheReady = "CacheReady"
	// ConditionAutoscalingReady: the HorizontalPodAutoscaler can read its metrics and act.
	ConditionAutoscalingReady = "AutoscalingReady"
	// ConditionTrafficReady: traffic is led where the rollout wants it.
	ConditionTrafficReady = "TrafficReady"
	// ConditionReconciling: the operator works towards the spec. Only there while True.
	ConditionReconciling = "Reconciling"
	// ConditionStalled: the spec cannot be reached without help. Only there while True.
	ConditionStalled = "Stalled"
)

// The reasons of conditions.
const (
	// ReasonReady: all is as wanted.
	ReasonReady = "Ready"
	// ReasonProgressing: on the way.
	ReasonProgressing = "Progressing"
	// ReasonUnavailable: fewer answer than needed.
	ReasonUnavailable = "Unavailable"
	// ReasonDegraded: it serves, but not all of it is there.
	ReasonDegraded = "Degraded"
	// ReasonChangeFailed: a change to the data tier failed; the message says whether a person has to act.
	ReasonChangeFailed = "ChangeFailed"
	// ReasonPaused: spec.paused is true.
	ReasonPaused = "Paused"
	// ReasonWaitingForDataTier: the app waits for its data tier.
	ReasonWaitingForDataTier = "WaitingForDataTier"
	// ReasonMigrating: the migration runs.
	ReasonMigrating = "Migrating"
	// ReasonMigrationFailed: the migration failed for good.
	ReasonMigrationFailed = "MigrationFailed"
	// ReasonRollingOut: a new revision takes over.
	ReasonRollingOut = "RollingOut"
	// ReasonProgressDeadlineExceeded: a new revision made no progress within the deadline.
	ReasonProgressDeadlineExceeded = "ProgressDeadlineExceeded"
	// ReasonHeld: the rollout waits because the data tier is away.
	ReasonHeld = "Held"
	// ReasonSettling: a change of traffic is on its way to the proxies.
	ReasonSettling = "Settling"
	// ReasonWeightRounded: the number of pods allows only a nearby share of the traffic.
	ReasonWeightRounded = "WeightRounded"
	// ReasonAwaitingApproval: a person has to agree.
	ReasonAwaitingApproval = "AwaitingApproval"
	// ReasonGateInconclusive: a gate says nothing for longer than it may.
	ReasonGateInconclusive = "GateInconclusive"
	// ReasonGateFailed: a gate failed.
	ReasonGateFailed = "GateFailed"
	// ReasonGateInvalid: a gate cannot be asked, for example because its PromQL does not parse.
	ReasonGateInvalid = "GateInvalid"
	// ReasonAborted: a person aborted the rollout.
	ReasonAborted = "Aborted"
	// ReasonUnstable: the candidate lost its pods again and again.
	ReasonUnstable = "Unstable"
	// ReasonRollbackUnsafe: the new revision failed, but its migration does not let the old one work.
	ReasonRollbackUnsafe = "RollbackUnsafe"
	// ReasonGatewayAPIMissing: the cluster does not know HTTPRoutes.
	ReasonGatewayAPIMissing = "GatewayAPIMissing"
	// ReasonGatewayMissing: a Gateway that the spec names does not exist.
	ReasonGatewayMissing = "GatewayMissing"
	// ReasonRouteNotAccepted: a Gateway does not accept the app's HTTPRoute.
	ReasonRouteNotAccepted = "RouteNotAccepted"
	// ReasonInvalidSpec: the spec holds something that cannot work.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonNameConflict: a child's name is taken by an object of somebody else.
	ReasonNameConflict = "NameConflict"
	// ReasonForbidden: the operator lacks a permission.
	ReasonForbidden = "Forbidden"
	// ReasonQuotaExceeded: a quota of the namespace is exhausted.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonRefused: the API server refused a child.
	ReasonRefused = "Refused"
	// ReasonSecretMissing: a Secret that the spec names does not exist.
	ReasonSecretMissing = "SecretMissing"
	// ReasonSecretIncomplete: a Secret that the spec names lacks a key.
	ReasonSecretIncomplete = "SecretIncomplete"
	// ReasonConfigMissing: a ConfigMap that the spec names does not exist.
	ReasonConfigMissing = "ConfigMissing"
	// ReasonStorageClassMissing: the StorageClass of a volume does not exist.
	ReasonStorageClassMissing = "StorageClassMissing"
	// ReasonMemoryNearlyFull: a store that refuses new keys when its memory is full is about to.
	ReasonMemoryNearlyFull = "MemoryNearlyFull"
	// ReasonVolumePending: a volume waits to be provided.
	ReasonVolumePending = "VolumePending"
	// ReasonImagePullFailed: an image cannot be pulled.
	ReasonImagePullFailed = "ImagePullFailed"
	// ReasonCrashLoop: a container ends again and again.
	ReasonCrashLoop = "CrashLoop"
	// ReasonCannotStart: a container cannot be started, for example because a Secret that it names does
	// not exist.
	ReasonCannotStart = "CannotStart"
	// ReasonPodFailed: a pod cannot run, for the reason in the message.
	ReasonPodFailed = "PodFailed"
	// ReasonUnschedulable: a pod finds no node.
	ReasonUnschedulable = "Unschedulable"
	// ReasonNeverReady: pods run but their readiness probe fails.
	ReasonNeverReady = "NeverReady"
	// ReasonRestoreImpossible: the database cannot be restored as the spec wants it.
	ReasonRestoreImpossible = "RestoreImpossible"
	// ReasonRepositoryUnavailable: the repository of the backups does not answer, or not as it should.
	ReasonRepositoryUnavailable = "RepositoryUnavailable"
	// ReasonRepositoryFull: the repository of the backups has no room left.
	ReasonRepositoryFull = "RepositoryFull"
	// ReasonRepositoryMismatch: the repository holds the backups of another database.
	ReasonRepositoryMismatch = "RepositoryMismatch"
	// ReasonCredentialsRefused: the object store refuses the keys.
	ReasonCredentialsRefused = "CredentialsRefused"
	// ReasonArchiveFailing: the write-ahead log cannot be archived.
	ReasonArchiveFailing = "ArchiveFailing"
	// ReasonArchiveGap: a part of the write-ahead log was given up, because it would have filled the volume.
	ReasonArchiveGap = "ArchiveGap"
	// ReasonArchiveOff: archiving begins when the instances have been restarted.
	ReasonArchiveOff = "ArchiveOff"
	// ReasonBackupFailed: the last backup failed.
	ReasonBackupFailed = "BackupFailed"
	// ReasonScheduleInvalid: a schedule cannot be understood.
	ReasonScheduleInvalid = "ScheduleInvalid"
	// ReasonDatabaseUnavailable: the primary cannot be asked about its archive.
	ReasonDatabaseUnavailable = "DatabaseUnavailable"
	// ReasonRotating: passwords are being exchanged (status.credentials).
	ReasonRotating = "Rotating"
)
