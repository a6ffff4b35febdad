package backup

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

var born = metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))

func at(hours float64) *metav1.Time {
	t := metav1.NewTime(born.Add(time.Duration(hours * float64(time.Hour))))
	return &t
}

func app(name string, postgres v1alpha1.PostgresSpec) *v1alpha1.ScalableApp {
	return &v1alpha1.ScalableApp{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: born},
		Spec: v1alpha1.ScalableAppSpec{Database: &v1alpha1.DatabaseSpec{Postgres: &postgres}}}
}

func TestRestoreObstacle(t *testing.T) {
	whole := func() *state.Source {
		source := app("old", v1alpha1.PostgresSpec{Backup: &v1alpha1.BackupSpec{}})
		source.Status.Database = &v1alpha1.DatabaseStatus{Backup: &v1alpha1.BackupStatus{RestorableFrom: at(1), ArchivedTime: at(10)}}
		return &state.Source{App: source, Authority: &corev1.Secret{}}
	}
	for name, test := range map[string]struct {
		time    *metav1.Time
		from    string
		change  func(*state.Source)
		want    string
		lasting bool
	}{
		"the latest":           {},
		"a time in the window": {time: at(5)},
		"no such app":          {change: func(s *state.Source) { s.App = nil }, want: "does not exist", lasting: true},
		"no backups":           {change: func(s *state.Source) { s.App.Spec.Database.Postgres.Backup = nil }, want: "has no backups", lasting: true},
		"itself":               {from: "shop", want: "from itself", lasting: true},
		"no backup yet":        {change: func(s *state.Source) { s.App.Status.Database = nil }, want: "no backup yet"},
		"too early":            {time: at(0.5), want: "from 2026-01-02T04:04:05Z to 2026-01-02T13:04:05Z", lasting: true},
		"in the future":        {time: at(30), want: "is in the future", lasting: true},
		"not yet archived":     {time: at(11), want: "is not archived yet"},
		"keys that are missing": {change: func(s *state.Source) {
			s.App.Spec.Database.Postgres.Backup.S3 = &v1alpha1.BackupS3Spec{SecretName: "keys"}
		}, want: "Secret keys", lasting: true},
	} {
		t.Run(name, func(t *testing.T) {
			from := "old"
			if test.from != "" {
				from = test.from
			}
			source := whole()
			if test.change != nil {
				test.change(source)
			}
			in := app("shop", v1alpha1.PostgresSpec{Restore: &v1alpha1.RestoreSpec{FromApp: from, Time: test.time}})
			got := RestoreObstacle(in, &state.Observed{Now: at(12).Time, Source: source})
			if (got.Reason == "") != (test.want == "") || !strings.Contains(got.Message, test.want) || got.Lasting != test.lasting {
				t.Errorf("%+v, want %q", got, test.want)
			}
		})
	}
}

func TestRestoring(t *testing.T) {
	restored := app("shop", v1alpha1.PostgresSpec{Restore: &v1alpha1.RestoreSpec{FromApp: "old"}})
	record := func(made *metav1.Time, initialize string) *state.Observed {
		return &state.Observed{ConfigMaps: []*corev1.ConfigMap{{ObjectMeta: metav1.ObjectMeta{
			Name: "shop-db-config", CreationTimestamp: *made, Annotations: map[string]string{"initialize": initialize}}}}}
	}
	volume := func(name string) *state.Observed {
		return &state.Observed{Volumes: []*corev1.PersistentVolumeClaim{{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: *at(-1)},
			Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound}}}}
	}
	for name, test := range map[string]struct {
		seen *state.Observed
		want bool
	}{
		"nothing is there":              {&state.Observed{}, true},
		"the first start is under way":  {record(at(1), ""), true},
		"the first start is over":       {record(at(1), "7710789474496061463"), false},
		"a record of an earlier app":    {record(at(-1), "7710789474496061463"), true},
		"volumes of an earlier app":     {volume("data-shop-db-0"), false},
		"the backups of an earlier app": {volume("data-shop-db-backup-0"), true},
	} {
		if got := Restoring(restored, test.seen); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if Restoring(app("shop", v1alpha1.PostgresSpec{}), &state.Observed{}) {
		t.Error("nothing was asked for")
	}
}

func TestReport(t *testing.T) {
	seen := &state.Observed{ConfigMaps: []*corev1.ConfigMap{{ObjectMeta: metav1.ObjectMeta{
		Name: "shop-db-backup", Annotations: map[string]string{
			"apps.scalableapp.dev/backup-report": `{"lastBackup":"20261128-074303F","restorableFrom":"2026-11-28T07:43:07Z","gap":1795851733,"handled":"a:full"}`}}}}}
	report := Read(app("shop", v1alpha1.PostgresSpec{}), seen)
	if report == nil {
		t.Fatal("it cannot be read")
	}
	status := report.Status()
	if status.LastBackup != "20261128-074303F" || status.RestorableFrom == nil || status.LastBackupTime != nil || status.HandledRequest != "a:full" {
		t.Errorf("%+v", status)
	}
	seen.ConfigMaps[0].Annotations["apps.scalableapp.dev/backup-report"] = "{"
	if Read(app("shop", v1alpha1.PostgresSpec{}), seen) != nil {
		t.Error("what cannot be read is no report")
	}
}
