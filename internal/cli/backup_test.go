package cli

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

var dawn = time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)

func hours(n int) *metav1.Time {
	at := metav1.NewTime(dawn.Add(time.Duration(n) * time.Hour))
	return &at
}

// backedUp is an app whose database can be restored to times from 6 to 9 o'clock.
func backedUp() *v1alpha1.ScalableApp {
	app := shop()
	app.Spec.Database.Postgres.Backup = &v1alpha1.BackupSpec{}
	app.Status.Database.Backup = &v1alpha1.BackupStatus{
		LastBackup: "20261128-080000F", RestorableFrom: hours(0), ArchivedTime: hours(3), HandledRequest: "a:full"}
	condition(app, v1alpha1.ConditionBackupReady, true, v1alpha1.ReasonReady, "the last backup is 20261128-080000F")
	return app
}

func TestBackupIsRefused(t *testing.T) {
	trouble := func(reason string) func(*v1alpha1.ScalableApp) {
		return func(app *v1alpha1.ScalableApp) {
			condition(app, v1alpha1.ConditionBackupReady, false, reason, "no room; see docs/runbooks/x.md")
		}
	}
	asked := func(word string) func(*v1alpha1.ScalableApp) {
		return func(app *v1alpha1.ScalableApp) {
			app.Annotations = map[string]string{naming.AnnotationBackup: word}
		}
	}
	for name, c := range map[string]struct {
		change func(*v1alpha1.ScalableApp)
		want   string
	}{
		"it can be made":      {func(*v1alpha1.ScalableApp) {}, ""},
		"after another":       {asked("a:full"), ""},
		"the last one failed": {trouble(v1alpha1.ReasonBackupFailed), ""},
		"before the first":    {func(app *v1alpha1.ScalableApp) { app.Status.Database.Backup = nil }, ""},
		"no database":         {func(app *v1alpha1.ScalableApp) { app.Spec.Database = nil }, "has no database that the operator runs"},
		"external": {func(app *v1alpha1.ScalableApp) {
			app.Spec.Database = &v1alpha1.DatabaseSpec{External: &v1alpha1.ExternalDatabaseSpec{SecretName: "mine"}}
		}, "its backups are its owner's"},
		"no backups": {func(app *v1alpha1.ScalableApp) { app.Spec.Database.Postgres.Backup = nil }, "set spec.database.postgres.backup"},
		"one is being made": {func(app *v1alpha1.ScalableApp) { app.Status.Database.Backup.Running = "diff" },
			"a differential backup of shop is being made already"},
		"one was asked for": {asked("b:diff"), "was asked for already (b:diff)"},
		"the repository is full": {trouble(v1alpha1.ReasonRepositoryFull),
			"BackupReady is False (RepositoryFull): no room; see docs/runbooks/x.md"},
		"the keys are wrong": {trouble(v1alpha1.ReasonCredentialsRefused), "BackupReady is False (CredentialsRefused)"},
		"it is deleted":      {func(app *v1alpha1.ScalableApp) { deleted(app) }, "is being deleted"},
	} {
		got := ""
		if err := canBackUp(changed(backedUp(), c.change)); err != nil {
			got = err.Error()
		}
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestBackupIsWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		have v1alpha1.BackupStatus
		over bool
		want string
	}{
		"asked for": {v1alpha1.BackupStatus{LastBackup: "1F", HandledRequest: "a:full"}, false, "is waited for"},
		"under way": {v1alpha1.BackupStatus{LastBackup: "1F", Running: "diff"}, false, "a differential backup is being made"},
		"made": {v1alpha1.BackupStatus{LastBackup: "2D", HandledRequest: "w:diff", Message: "the diff backup was made: 9.0 MB of database in 2 s"},
			true, "2D: the diff backup was made: 9.0 MB of database in 2 s.\n"},
		"failed": {v1alpha1.BackupStatus{LastBackup: "1F", HandledRequest: "w:diff", Message: "the diff backup failed: [082]"}, true, "shop failed: the diff backup failed: [082]"},
	} {
		app := backedUp()
		app.Annotations = map[string]string{naming.AnnotationBackup: "w:diff"}
		app.Status.Database.Backup = &c.have
		over, got, err := backupProgress(app, "w:diff", "1F")
		if err != nil {
			got = err.Error()
		}
		if over != c.over || !strings.Contains(got, c.want) {
			t.Errorf("%s: over %v, %q, want %q", name, over, got, c.want)
		}
	}
	if over, _, err := backupProgress(backedUp(), "w:diff", "1F"); !over || err == nil {
		t.Error("another backup was asked for, and this one is waited for")
	}
}

func TestRestoreIsRefused(t *testing.T) {
	now := dawn.Add(5 * time.Hour)
	for name, c := range map[string]struct {
		change func(*v1alpha1.ScalableApp)
		to     *metav1.Time
		want   string
	}{
		"all":                  {to: nil},
		"inside":               {to: hours(2)},
		"not archived yet":     {to: hours(4)},
		"too early":            {to: hours(-1), want: "from 2026-11-28T06:00:00Z to 2026-11-28T09:00:00Z, not to 2026-11-28T05:00:00Z"},
		"in the future":        {to: hours(6), want: "from 2026-11-28T06:00:00Z to 2026-11-28T09:00:00Z; 2026-11-28T12:00:00Z is in the future"},
		"no backups":           {change: func(app *v1alpha1.ScalableApp) { app.Spec.Database.Postgres.Backup = nil }, want: "has no backups"},
		"before the first one": {change: func(app *v1alpha1.ScalableApp) { app.Status.Database.Backup.RestorableFrom = nil }, want: "no backup yet"},
	} {
		app := backedUp()
		if c.change != nil {
			c.change(app)
		}
		got := ""
		if err := canRestore(app, c.to, now); err != nil {
			got = err.Error()
		}
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	for _, c := range []struct {
		text   string
		latest bool
		want   string
	}{
		{"", false, "say to which time"}, {"2026-11-28T07:00:00Z", true, "exclude each other"}, {"yesterday", false, "is no time such as"},
	} {
		if _, err := restoreTime(c.text, c.latest); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, %v: %v, want %q", c.text, c.latest, err, c.want)
		}
	}
}

// The copy has the source's database and settings, and takes nothing from it: no traffic, no pods beside.
func TestRestored(t *testing.T) {
	source := changed(backedUp(), func(app *v1alpha1.ScalableApp) {
		app.Labels, app.Annotations = map[string]string{"team": "a"}, map[string]string{naming.AnnotationUndo: "x:y"}
		app.Spec.App.Replicas, app.Spec.Paused = new(int32(3)), new(true)
		app.Spec.Traffic.Gateway = &v1alpha1.GatewaySpec{Hostnames: []string{"shop.example"}}
		app.Spec.Cache = &v1alpha1.CacheSpec{External: &v1alpha1.ExternalServiceSpec{SecretName: "mine"}}
	})
	source.Spec.App.Migration = &v1alpha1.MigrationSpec{Command: []string{"sh", "-c", "migrate --to 'now'"}}
	before := source.DeepCopy()
	made, said := restored(source, "copy", hours(4))
	if r := made.Spec.Database.Postgres.Restore; r == nil || r.FromApp != "shop" || !r.Time.Equal(hours(4)) {
		t.Errorf("it is restored from %+v", r)
	}
	if made.Name != "copy" || made.Namespace != source.Namespace || len(made.Labels)+len(made.Annotations) > 0 ||
		*made.Spec.App.Replicas != 0 || made.Spec.Traffic.Gateway != nil || made.Spec.Paused != nil ||
		made.Spec.App.Image != "shop:1" || made.Spec.Database.Postgres.Backup == nil {
		t.Errorf("the copy is %+v", made)
	}
	if made.Spec.App.Migration != nil {
		t.Errorf("its migration runs on the copy before anybody has looked: %+v", made.Spec.App.Migration)
	}
	for _, text := range []string{"as it was at 2026-11-28T10:00:00Z; the log is archived up to 2026-11-28T09:00:00Z", "--replicas=3",
		"shop.example", "it is not paused", "the same external cache", "it has no app.migration",
		`kubectl patch scalableapp copy --type=merge -p '{"spec":{"app":{"migration":{"command":["sh","-c","migrate --to '\''now'\''"]}}}}'`} {
		if !strings.Contains(said, text) {
			t.Errorf("%q is not said:\n%s", text, said)
		}
	}
	source.Spec.App.Migration, before.Spec.App.Migration = nil, nil
	if _, said := restored(source, "copy", hours(4)); strings.Contains(said, "migration") {
		t.Errorf("without a migration: %s", said)
	}
	if !equality.Semantic.DeepEqual(source, before) {
		t.Errorf("the source is changed: %+v", source.Spec)
	}
}
