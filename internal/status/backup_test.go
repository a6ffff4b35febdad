package status

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

func TestBackupReady(t *testing.T) {
	s3 := &v1alpha1.BackupS3Spec{SecretName: "keys"}
	keys := state.StoreSecret{Exists: true, AccessKeyID: "id", SecretAccessKey: "key"}
	for name, test := range map[string]struct {
		s3            *v1alpha1.BackupS3Spec
		store         state.StoreSecret
		down          bool
		report        string
		trouble       string
		reason, words string
		ok            bool
		lasting       bool
		aside         bool
	}{
		"no Secret":        {s3: s3, reason: "SecretMissing", words: "Secret keys", lasting: true},
		"a key is missing": {s3: s3, store: state.StoreSecret{Exists: true, AccessKeyID: "id"}, reason: "SecretIncomplete", words: "secret-access-key", lasting: true},
		"comes up":         {down: true, reason: "Progressing", words: "the pod that makes the backups", aside: true},
		"goes down":        {down: true, report: `{"lastBackup":"a"}`, reason: "Progressing", words: "0 of 1"},
		"it does not grow": {report: `{"lastBackup":"a"}`, trouble: "data-shop-db-backup-0 cannot grow", reason: "ChangeFailed",
			words: "the last backup is a; data-shop-db-backup-0 cannot grow; see docs/runbooks/backup-repository-full.md", lasting: true},
		"full, and does not grow": {report: `{"lastBackup":"a","reason":"RepositoryFull","message":"x"}`, trouble: "no room", reason: "RepositoryFull",
			words: "x; see docs/runbooks/backup-repository-full.md; no room", lasting: true},
		"mismatch": {report: `{"reason":"RepositoryMismatch","message":"x"}`, reason: "RepositoryMismatch",
			words: "x; see docs/runbooks/backup-repository-mismatch.md", lasting: true},
		"silent":        {reason: "Progressing", words: "has not reported", aside: true},
		"the first one": {report: `{"running":"full"}`, reason: "Progressing", words: "the first backup is being made", aside: true},
		"good": {report: `{"lastBackup":"20261128-074303F","restorableFrom":"2026-11-28T07:43:07Z"}`, ok: true, reason: "Ready",
			words: "20261128-074303F, and times since 2026-11-28T07:43:07Z"},
		"refused": {s3: s3, store: keys, report: `{"lastBackup":"a","reason":"CredentialsRefused","message":"403","since":"2026-11-28T07:43:07Z"}`,
			reason: "CredentialsRefused", words: "since 2026-11-28T07:43:07Z: 403", lasting: true},
		"archive fails":    {report: `{"lastBackup":"a","reason":"ArchiveFailing","message":"x"}`, reason: "ArchiveFailing", words: "x"},
		"failover":         {report: `{"lastBackup":"a","reason":"DatabaseUnavailable","message":"x"}`, reason: "DatabaseUnavailable", words: "x", aside: true},
		"archiving is off": {report: `{"reason":"ArchiveOff","message":"x"}`, reason: "ArchiveOff", words: "x", aside: true},
		"schedule is wrong": {report: `{"reason":"ScheduleInvalid","message":"x"}`, reason: "ScheduleInvalid",
			words: "x; see docs/runbooks/backup-schedule-invalid.md", lasting: true},
	} {
		t.Run(name, func(t *testing.T) {
			app := &v1alpha1.ScalableApp{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Spec: v1alpha1.ScalableAppSpec{
				Database: &v1alpha1.DatabaseSpec{Postgres: &v1alpha1.PostgresSpec{Backup: &v1alpha1.BackupSpec{S3: test.s3}}}}}
			seen := &state.Observed{BackupStore: test.store,
				StatefulSets: []*appsv1.StatefulSet{{ObjectMeta: metav1.ObjectMeta{Name: "shop-db-backup"},
					Status: appsv1.StatefulSetStatus{UpdatedReplicas: 1}}}}
			if !test.down {
				seen.Pods = []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "shop-db-backup-0",
					Labels: naming.Selector(app, naming.ComponentBackup)},
					Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}}
			}
			if test.report != "" {
				seen.ConfigMaps = []*corev1.ConfigMap{{ObjectMeta: metav1.ObjectMeta{Name: "shop-db-backup",
					Annotations: map[string]string{naming.AnnotationBackupReport: test.report}}}}
			}
			got := backupReady(Input{App: app, Observed: seen, BackupTrouble: test.trouble})
			if got.ok != test.ok || got.reason != test.reason || got.lasting != test.lasting || got.aside != test.aside ||
				!strings.Contains(got.message, test.words) {
				t.Errorf("%+v, want %+v", got, test)
			}
		})
	}
}
