package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/backup"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// passing are the agent's troubles that end by themselves, or that another condition speaks of: they make
// BackupReady false, but not Ready.
var passing = []string{v1alpha1.ReasonDatabaseUnavailable, v1alpha1.ReasonArchiveOff}

// lasting are those that need a person.
var lasting = []string{v1alpha1.ReasonCredentialsRefused, v1alpha1.ReasonRepositoryMismatch,
	v1alpha1.ReasonRepositoryFull, v1alpha1.ReasonScheduleInvalid}

// backupPages are the runbooks of the agent's reasons.
var backupPages = map[string]string{
	v1alpha1.ReasonRepositoryUnavailable: "backup-repository-unavailable",
	v1alpha1.ReasonCredentialsRefused:    "backup-credentials-refused",
	v1alpha1.ReasonRepositoryFull:        "backup-repository-full",
	v1alpha1.ReasonRepositoryMismatch:    "backup-repository-mismatch",
	v1alpha1.ReasonArchiveFailing:        "backup-archive-failing",
	v1alpha1.ReasonArchiveGap:            "backup-archive-failing",
	v1alpha1.ReasonBackupFailed:          "backup-failed",
	v1alpha1.ReasonScheduleInvalid:       "backup-schedule-invalid",
}

// backupReady is the condition BackupReady: the write-ahead log is archived and backups are made, and the volume
// that they are on grows if it shall.
func backupReady(in Input) verdict {
	v := backupsMade(in)
	if v.reason == "" || in.BackupTrouble == "" {
		return v
	}
	if v.ok {
		v.ok, v.reason, v.lasting = false, v1alpha1.ReasonChangeFailed, true
	}
	v.message += "; " + in.BackupTrouble
	if v.reason != v1alpha1.ReasonRepositoryFull { // whose page tells of it, too
		v.message += runbook("backup-repository-full")
	}
	return v
}

func backupsMade(in Input) verdict {
	const kind = v1alpha1.ConditionBackupReady
	spec := backup.Spec(in.App)
	if spec == nil {
		return verdict{}
	}
	if v, stands := restoreObstacle(in); stands {
		v.kind, v.aside = kind, true
		return v
	}
	if v := storeSecret(in, spec); v.reason != "" {
		return v
	}
	var class *string
	if spec.Volume != nil {
		class = spec.Volume.StorageClassName
	}
	v := members(in, server{kind: kind, name: naming.Backup(in.App), component: naming.ComponentBackup, wanted: 1, class: class})
	report := backup.Read(in.App, in.Observed)
	switch {
	case !v.ok:
		v.message = "the pod that makes the backups: " + v.message
		v.aside = v.reason == v1alpha1.ReasonProgressing && report == nil // as the rest comes up
		return v
	case report == nil:
		v = bad(kind, v1alpha1.ReasonProgressing, "the backup agent has not reported yet")
		v.aside = true
		return v
	case report.Reason != "":
		v = bad(kind, report.Reason, "%s", report.Message)
		if report.Since != nil {
			v.message = fmt.Sprintf("since %s: %s", report.Since.UTC().Format(time.RFC3339), report.Message)
		}
		if page := backupPages[report.Reason]; page != "" {
			v.message += runbook(page)
		}
		v.lasting, v.aside = slices.Contains(lasting, report.Reason), slices.Contains(passing, report.Reason)
		return v
	case report.LastBackup == "":
		v = bad(kind, v1alpha1.ReasonProgressing, "there is no backup yet")
		if report.Running != "" {
			v.message = "the first backup is being made"
		}
		v.aside = true
		return v
	}
	message := "the last backup is " + report.LastBackup
	if report.RestorableFrom != nil {
		message += ", and times since " + report.RestorableFrom.UTC().Format(time.RFC3339) + " can be restored"
	}
	return good(kind, message)
}

// storeSecret is what is wrong with the user's Secret of the object store.
func storeSecret(in Input, spec *v1alpha1.BackupSpec) verdict {
	const kind = v1alpha1.ConditionBackupReady
	if spec.S3 == nil {
		return verdict{}
	}
	store := in.Observed.BackupStore
	var v verdict
	var missing []string
	for key, value := range map[string]string{backup.KeyAccessKeyID: store.AccessKeyID, backup.KeySecretAccessKey: store.SecretAccessKey} {
		if value == "" {
			missing = append(missing, key)
		}
	}
	slices.Sort(missing)
	switch {
	case !store.Exists:
		v = bad(kind, v1alpha1.ReasonSecretMissing, "Secret %s (database.postgres.backup.s3.secretName) does not exist; create it with the keys %s and %s",
			spec.S3.SecretName, backup.KeyAccessKeyID, backup.KeySecretAccessKey)
	case len(missing) > 0:
		v = bad(kind, v1alpha1.ReasonSecretIncomplete, "Secret %s (database.postgres.backup.s3.secretName) has no key %s; add it",
			spec.S3.SecretName, strings.Join(missing, ", "))
	}
	v.lasting = v.reason != ""
	return v
}

// backupStatus is what the agent reports.
func backupStatus(in Input) *v1alpha1.BackupStatus {
	if backup.Spec(in.App) == nil {
		return nil
	}
	report := backup.Read(in.App, in.Observed)
	if report == nil {
		return nil
	}
	return report.Status()
}

// restoreObstacle is why a database that is to be restored is not.
func restoreObstacle(in Input) (verdict, bool) {
	obstacle := backup.RestoreObstacle(in.App, in.Observed)
	if obstacle.Reason == "" || in.Observed.StatefulSet(naming.Database(in.App)) != nil {
		return verdict{}, false
	}
	v := bad(v1alpha1.ConditionDatabaseReady, obstacle.Reason, "%s", obstacle.Message)
	v.lasting = obstacle.Lasting
	return v, true
}
