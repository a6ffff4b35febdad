package naming

import "github.com/scalableapp/scalableapp-operator/api/v1alpha1"

// DatabaseAuthority is the Secret with the certificate authority of the app's data tier.
func DatabaseAuthority(app *v1alpha1.ScalableApp) string { return Database(app) + "-ca" }

// DatabaseTLS is the Secret with the certificate of the database's servers, and of the pooler.
func DatabaseTLS(app *v1alpha1.ScalableApp) string { return Database(app) + "-tls" }

// Backup is the StatefulSet that keeps and makes the backups, its headless Service, its ServiceAccount and
// Role, and the ConfigMap by which the operator and the backup agent talk to each other.
func Backup(app *v1alpha1.ScalableApp) string { return Database(app) + "-backup" }

// BackupTLS is the Secret with the certificate by which pgBackRest's hosts know each other.
func BackupTLS(app *v1alpha1.ScalableApp) string { return Backup(app) + "-tls" }

// BackupConfig is the Secret with pgBackRest's configuration; it may hold the keys of an object store.
func BackupConfig(app *v1alpha1.ScalableApp) string { return Database(app) + "-pgbackrest" }

// Stanza is pgBackRest's name for the app's database.
func Stanza(app *v1alpha1.ScalableApp) string { return Database(app) }

// BackupClient is the common name of the members and of the agent among pgBackRest's hosts.
func BackupClient(app *v1alpha1.ScalableApp) string { return Database(app) + "-backup" }

// RestoreClient is the common name of those who restore from the app's backups.
func RestoreClient(app *v1alpha1.ScalableApp) string { return Database(app) + "-restore" }

// Restore is the NetworkPolicy that lets the app's first member read another app's repository.
func Restore(app *v1alpha1.ScalableApp) string { return Database(app) + "-restore" }
