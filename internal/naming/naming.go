// Package naming holds every name, label, annotation and selector that the operator gives to its
// children. A child's name is a function of the app's name and nothing else, so a pass that was cut
// short is found again by the next one.
package naming

import (
	"fmt"
	"hash/fnv"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// FieldManager is the field manager of everything that the operator applies.
const FieldManager = "scalableapp-operator"

// Labels that every child carries, and the values that the operator gives them.
const (
	// LabelManagedBy selects all children of all apps: the operator's caches hold nothing else.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedBy is the value of LabelManagedBy.
	ManagedBy = "scalableapp-operator"
	// LabelInstance is the name of the ScalableApp.
	LabelInstance = "app.kubernetes.io/instance"
	// LabelComponent is the part of the stack: one of the Component… values.
	LabelComponent = "app.kubernetes.io/component"
	// LabelRevision is the revision's name, on the children of one revision.
	LabelRevision = "apps.scalableapp.dev/revision"
	// LabelRole is set by Patroni on database pods, "primary" or "replica", and by redis-ha on those of a
	// Redis of three: "master" or "replica".
	LabelRole = "apps.scalableapp.dev/role"
	// LabelDatabase is Patroni's scope label: the name of the database's StatefulSet.
	LabelDatabase = "apps.scalableapp.dev/database"
	// LabelPooler tells the two poolers of a database apart: PoolerReadWrite or PoolerReadOnly.
	LabelPooler = "apps.scalableapp.dev/pooler"
)

// The values of LabelComponent.
const (
	ComponentApp       = "app"
	ComponentMigration = "migration"
	ComponentDatabase  = "database"
	ComponentPooler    = "pooler"
	ComponentGate      = "gate"
	ComponentSessions  = "sessions"
	ComponentCache     = "cache"
	ComponentBackup    = "backup"

	// The Sentinels are components of their own: a pod that is lost must not cost a vote and a copy at once.
	ComponentSessionsSentinel = "sessions-sentinel"
	ComponentCacheSentinel    = "cache-sentinel"
)

// Annotations.
const (
	// AnnotationIntent is, on each child, the hash of what the operator last applied: a field that
	// is no longer wanted is noticed by it.
	AnnotationIntent = "apps.scalableapp.dev/intent"
	// AnnotationUndo on a ScalableApp takes the app back: "FROM:TO" means that, as long as the spec
	// asks for revision FROM, revision TO is run instead. A new revision ends it.
	AnnotationUndo = "apps.scalableapp.dev/undo"
	// AnnotationAction on a ScalableApp is a person's word about the rollout under way. It names what it
	// means, so it can never hit a newer revision, and is carried out once (status.rollout.handledAction):
	//
	//	promote:REVISION:ATTEMPT:STEP   end this step, past its gates, pause and approval
	//	promote-full:REVISION:ATTEMPT   go on to the end past all steps and gates; pods and traffic still count
	//	abort:REVISION:ATTEMPT          go back
	//	abort-force:REVISION:ATTEMPT    go back at once, even over a migration that is not rollbackSafe
	//	retry:REVISION:ATTEMPT          try again a candidate that failed at this attempt
	AnnotationAction = "apps.scalableapp.dev/action"
	// AnnotationDatabaseAction on a ScalableApp is a person's word about its database, carried out or refused
	// once (status.database.handledAction):
	//
	//	switchover:FROM[:TO[:TOKEN]]   make another instance the primary; FROM is who is it now
	//	failover:TO[:TOKEN]            make TO the primary while nobody can take over, and lose what it does not hold
	AnnotationDatabaseAction = "apps.scalableapp.dev/database-action"
	// AnnotationVolumeStuck on a pod of the database says since when its volume has not answered. The agent in
	// the pod keeps it.
	AnnotationVolumeStuck = "apps.scalableapp.dev/volume-stuck-since"
	// AnnotationResources on a pod of the database are the resources that the operator last asked for it, as JSON:
	// with its template, or in place. The cluster's own rules may have given it others.
	AnnotationResources = "apps.scalableapp.dev/resources"
	// AnnotationProven on a ControllerRevision says that it was rolled out in full: going back to it
	// needs no second look.
	AnnotationProven = "apps.scalableapp.dev/proven"
	// AnnotationAttempt on a migration's or gate's Job is the attempt of the rollout that made it.
	AnnotationAttempt = "apps.scalableapp.dev/attempt"
	// AnnotationStep on a gate's Job is the step of the rollout that made it.
	AnnotationStep = "apps.scalableapp.dev/step"
	// AnnotationNudge on an HTTPRoute changes when a Gateway shall look at the route again.
	AnnotationNudge = "apps.scalableapp.dev/nudge"
	// AnnotationBootstrap on the ConfigMap with patroni.yml says whether members may make a new, empty
	// database: "Allowed" or "Forbidden".
	AnnotationBootstrap = "apps.scalableapp.dev/bootstrap"
	// AnnotationPoolerTold on a pooler's Deployment is where the database's primary and replicas were when its
	// pods were last told to leave the connections that they had.
	AnnotationPoolerTold = "apps.scalableapp.dev/pooler-told"
	// AnnotationTLS on a pooler's pod says that it was started with a certificate.
	AnnotationTLS = "apps.scalableapp.dev/tls"
	// AnnotationBackup on a ScalableApp asks for a backup at once: TOKEN, TOKEN:full or TOKEN:diff. Each
	// token is handled once (status.database.backup.handledRequest).
	AnnotationBackup = "apps.scalableapp.dev/backup"
	// AnnotationBackupReport on the ConfigMap of the backups is what the backup agent says of them, as JSON.
	AnnotationBackupReport = "apps.scalableapp.dev/backup-report"
	// AnnotationRotate on a ScalableApp asks for new passwords: NAME[,NAME]:TOKEN with names out of
	// internal/rotation, for example "app,replication:2026-11". Each token is carried out once for each name
	// (status.credentials), or refused (status.rotation).
	AnnotationRotate = "apps.scalableapp.dev/rotate"
	// AnnotationCredentials on a pod is the generation of the passwords that it is to take up. That it changes
	// has the kubelet look at the pod, and so at its mounted Secrets, at once.
	AnnotationCredentials = "apps.scalableapp.dev/credentials"
	// AnnotationCredentialsReport on a pod of the database is what its member says of them, as JSON.
	AnnotationCredentialsReport = "apps.scalableapp.dev/credentials-report"
	// AnnotationMigrated on a ControllerRevision says that its migration has succeeded.
	AnnotationMigrated = "apps.scalableapp.dev/migrated"
)

// AppContainer is the name of the app's container.
const AppContainer = "app"

// Service is the shared Service of the app, over all revisions.
func Service(app *v1alpha1.ScalableApp) string { return app.Name }

// Autoscaler is the HorizontalPodAutoscaler.
func Autoscaler(app *v1alpha1.ScalableApp) string { return app.Name }

// DisruptionBudget is the PodDisruptionBudget of the app's pods.
func DisruptionBudget(app *v1alpha1.ScalableApp) string { return app.Name }

// Migration is the Job that migrates for a revision.
func Migration(revision string) string { return revision + "-migrate" }

// Gate is the Job of a gate of a revision. The gate's own name may be too long for a Job's.
func Gate(revision, gate string) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(gate))
	return fmt.Sprintf("%s-gate-%04x", revision, hash.Sum32()&0xffff)
}

// Route is the HTTPRoute of the app.
func Route(app *v1alpha1.ScalableApp) string { return app.Name }

// RevisionConfig is the copy of the ConfigMap SOURCE that belongs to a revision. The index is the
// position in the revision's list of ConfigMaps, so that the name stays short.
func RevisionConfig(revision string, index int) string {
	return revision + "-config-" + string(rune('0'+index/10)) + string(rune('0'+index%10))
}

// Database is the StatefulSet of the database, and Patroni's scope.
func Database(app *v1alpha1.ScalableApp) string { return app.Name + "-db" }

// DatabasePods is the headless Service of the database's pods.
func DatabasePods(app *v1alpha1.ScalableApp) string { return Database(app) + "-pods" }

// DatabaseReadWrite is the Service that leads to the primary.
func DatabaseReadWrite(app *v1alpha1.ScalableApp) string { return Database(app) + "-rw" }

// DatabaseReadOnly is the Service that leads to the replicas.
func DatabaseReadOnly(app *v1alpha1.ScalableApp) string { return Database(app) + "-ro" }

// DatabaseConfig is the ConfigMap with patroni.yml. (NAME-config is Patroni's own.)
func DatabaseConfig(app *v1alpha1.ScalableApp) string { return Database(app) + "-patroni" }

// DatabaseCredentials is the Secret with the passwords of all the database's roles.
func DatabaseCredentials(app *v1alpha1.ScalableApp) string { return Database(app) + "-credentials" }

// DatabaseBinding is the Secret that the app is given, in Service Binding form.
func DatabaseBinding(app *v1alpha1.ScalableApp) string { return Database(app) + "-app" }

// DatabaseLeader is Patroni's leader record.
func DatabaseLeader(app *v1alpha1.ScalableApp) string { return Database(app) + "-leader" }

// DatabaseSync is Patroni's record of the standbys in step.
func DatabaseSync(app *v1alpha1.ScalableApp) string { return Database(app) + "-sync" }

// PatroniRecords are the ConfigMaps that Patroni makes by itself. The operator gives them owners, so that
// they live as long as the data that they tell of. A stale one would hang a re-created database.
func PatroniRecords(app *v1alpha1.ScalableApp) []string {
	scope := Database(app)
	return []string{scope + "-config", scope + "-failover", scope + "-leader", scope + "-sync"}
}

// The values of LabelPooler.
const (
	PoolerReadWrite = "rw"
	PoolerReadOnly  = "ro"
)

// Pooler is the Deployment, the Service and the ConfigMap of one of the database's two poolers.
func Pooler(app *v1alpha1.ScalableApp, kind string) string { return PoolerUsers(app) + "-" + kind }

// PoolerUsers is the Secret with the users that the poolers know themselves, and the NetworkPolicy of both.
func PoolerUsers(app *v1alpha1.ScalableApp) string { return Database(app) + "-pooler" }

// PoolerSelector selects the pods of one of the two poolers.
func PoolerSelector(app *v1alpha1.ScalableApp, kind string) map[string]string {
	selector := Selector(app, ComponentPooler)
	selector[LabelPooler] = kind
	return selector
}

// Sessions is the StatefulSet and the Service of the session store.
func Sessions(app *v1alpha1.ScalableApp) string { return app.Name + "-sessions" }

// Cache is the StatefulSet and the Service of the cache.
func Cache(app *v1alpha1.ScalableApp) string { return app.Name + "-cache" }

// RedisCredentials is the Secret with the passwords and the ACL file of a Redis; NAME is Sessions or
// Cache.
func RedisCredentials(name string) string { return name + "-credentials" }

// RedisUsers is the Secret with the ACL file. It is apart from the passwords because they are made once
// while the rules follow the operator.
func RedisUsers(name string) string { return name + "-users" }

// RedisConfig is the ConfigMap with redis.conf.
func RedisConfig(name string) string { return name + "-redis" }

// RedisReplication is the Secret with the passwords that the members of a Redis of three and its Sentinels
// have for each other.
func RedisReplication(name string) string { return name + "-replication" }

// RedisPod is a member of a Redis of three, or of its Sentinels when NAME is theirs: the pod, and the Service
// that leads to it alone.
func RedisPod(name string, ordinal int32) string { return fmt.Sprintf("%s-%d", name, ordinal) }

// RedisSentinel is the StatefulSet of the Sentinels.
func RedisSentinel(name string) string { return name + "-sentinel" }

// RedisRecord is the ConfigMap that says who was last known as master, for when nobody else knows. The
// operator makes it, and the member that becomes master writes itself into it.
func RedisRecord(name string) string { return name + "-master" }

// RedisBinding is the Secret that the app is given, in Service Binding form.
func RedisBinding(name string) string { return name + "-app" }

// Labels are the labels of a child of the given component.
func Labels(app *v1alpha1.ScalableApp, component string) map[string]string {
	labels := Selector(app, component)
	labels[LabelManagedBy] = ManagedBy
	return labels
}

// Selector selects the pods of a component of one app.
func Selector(app *v1alpha1.ScalableApp, component string) map[string]string {
	return map[string]string{LabelInstance: app.Name, LabelComponent: component}
}
