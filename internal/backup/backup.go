// Package backup knows the backups of a database: what the backup agent reports of them, and whether a
// database can be restored from those of another app.
package backup

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// The keys of the user's Secret of an object store.
const (
	KeyAccessKeyID     = "access-key-id"
	KeySecretAccessKey = "secret-access-key"
	KeyCA              = "ca.crt"
)

// Spec is what the app wants of backups, or nil.
func Spec(app *v1alpha1.ScalableApp) *v1alpha1.BackupSpec {
	if app.Spec.Database == nil || app.Spec.Database.Postgres == nil {
		return nil
	}
	return app.Spec.Database.Postgres.Backup
}

// RestoreSpec is what the app's database starts from, or nil.
func RestoreSpec(app *v1alpha1.ScalableApp) *v1alpha1.RestoreSpec {
	if app.Spec.Database == nil || app.Spec.Database.Postgres == nil {
		return nil
	}
	return app.Spec.Database.Postgres.Restore
}

// Restoring says whether the database is still to be restored: the spec wants it, there are no volumes of an
// earlier app of this name, whose data would be taken up instead, and Patroni's record names no database.
func Restoring(app *v1alpha1.ScalableApp, seen *state.Observed) bool {
	if RestoreSpec(app) == nil {
		return false
	}
	for _, claim := range seen.Volumes {
		ordinal, ours := strings.CutPrefix(claim.Name, "data-"+naming.Database(app)+"-")
		_, err := strconv.Atoi(ordinal)
		kept := claim.CreationTimestamp.Before(&app.CreationTimestamp) && claim.Status.Phase != corev1.ClaimPending
		if ours && err == nil && kept {
			return false
		}
	}
	record := seen.ConfigMap(naming.PatroniRecords(app)[0])
	stale := record != nil && record.CreationTimestamp.Before(&app.CreationTimestamp)
	return record == nil || stale || record.Annotations["initialize"] == ""
}

// Report is what the backup agent says.
type Report struct {
	// Reason is that of the condition BackupReady when something is wrong, Message says it in words and
	// Since when it began.
	Reason  string     `json:"reason"`
	Message string     `json:"message"`
	Since   *time.Time `json:"since"`
	// Running is the kind of backup that is being made.
	Running string `json:"running"`
	// LastBackup is the label of the last good backup.
	LastBackup     string     `json:"lastBackup"`
	LastBackupTime *time.Time `json:"lastBackupTime"`
	// RestorableFrom to ArchivedTime is the time that can be restored to.
	RestorableFrom *time.Time `json:"restorableFrom"`
	ArchivedTime   *time.Time `json:"archivedTime"`
	// Handled is the last request that was carried out.
	Handled        string `json:"handled"`
	HandledMessage string `json:"handledMessage"`
}

// Read is the agent's report, or nil if there is none yet.
func Read(app *v1alpha1.ScalableApp, seen *state.Observed) *Report {
	record := seen.ConfigMap(naming.Backup(app))
	if record == nil || record.Annotations[naming.AnnotationBackupReport] == "" {
		return nil
	}
	report := &Report{}
	if json.Unmarshal([]byte(record.Annotations[naming.AnnotationBackupReport]), report) != nil {
		return nil
	}
	return report
}

// Status is the report as the app's status shows it.
func (r *Report) Status() *v1alpha1.BackupStatus {
	status := &v1alpha1.BackupStatus{
		LastBackup: r.LastBackup, LastBackupTime: stamp(r.LastBackupTime), RestorableFrom: stamp(r.RestorableFrom),
		ArchivedTime: stamp(r.ArchivedTime), Running: r.Running, HandledRequest: r.Handled, Message: r.Message,
	}
	if status.Message == "" {
		status.Message = r.HandledMessage
	}
	return status
}

func stamp(at *time.Time) *metav1.Time {
	if at == nil {
		return nil
	}
	return &metav1.Time{Time: *at}
}

// Obstacle is why a database cannot be restored as the spec wants it.
type Obstacle struct {
	// Reason is that of the condition; empty means that there is no obstacle.
	Reason, Message string
	// Lasting obstacles do not pass by themselves.
	Lasting bool
}

// RestoreObstacle is what keeps the first member of a restored database from being made.
func RestoreObstacle(app *v1alpha1.ScalableApp, seen *state.Observed) Obstacle {
	restore, source := RestoreSpec(app), seen.Source
	if source == nil || !Restoring(app, seen) {
		return Obstacle{}
	}
	refused := func(format string, args ...any) Obstacle {
		message := "database.postgres.restore: " + fmt.Sprintf(format, args...)
		return Obstacle{Reason: v1alpha1.ReasonRestoreImpossible, Message: message, Lasting: true}
	}
	waits := func(format string, args ...any) Obstacle {
		return Obstacle{Reason: v1alpha1.ReasonProgressing, Message: "database.postgres.restore: " + fmt.Sprintf(format, args...)}
	}
	from := restore.FromApp
	switch {
	case from == app.Name:
		return refused("an app cannot be restored from itself; name another app")
	case source.App == nil:
		return refused("ScalableApp %s does not exist in this namespace; name one that has backups", from)
	case Spec(source.App) == nil:
		return refused("ScalableApp %s has no backups (database.postgres.backup is not set)", from)
	case Spec(source.App).S3 != nil && !source.Store.Exists:
		return refused("Secret %s, which holds the keys of the backups of %s, does not exist", Spec(source.App).S3.SecretName, from)
	}
	var have v1alpha1.BackupStatus
	if source.App.Status.Database != nil && source.App.Status.Database.Backup != nil {
		have = *source.App.Status.Database.Backup
	}
	switch {
	case have.RestorableFrom == nil || have.ArchivedTime == nil || source.Authority == nil:
		return waits("ScalableApp %s has no backup yet that can be restored; it is waited for", from)
	case restore.Time == nil:
		return Obstacle{}
	case restore.Time.Time.Before(have.RestorableFrom.Time):
		return refused("%s can be restored to times from %s to %s, not to %s",
			from, word(have.RestorableFrom), word(have.ArchivedTime), word(restore.Time))
	case restore.Time.After(seen.Now):
		return refused("%s can be restored to times from %s to %s; %s is in the future",
			from, word(have.RestorableFrom), word(have.ArchivedTime), word(restore.Time))
	case restore.Time.After(have.ArchivedTime.Time):
		return waits("%s can be restored to times from %s to %s; the log up to %s is not archived yet, it is waited for",
			from, word(have.RestorableFrom), word(have.ArchivedTime), word(restore.Time))
	}
	return Obstacle{}
}

func word(at *metav1.Time) string { return at.UTC().Format(time.RFC3339) }

// Target is the time to restore to, as PostgreSQL reads it; empty is all that was archived.
func Target(restore *v1alpha1.RestoreSpec) string {
	if restore.Time == nil {
		return ""
	}
	return restore.Time.UTC().Format("2006-01-02 15:04:05+00")
}
