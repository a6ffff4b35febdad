package integration

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// A backup is one annotation; a restore is one new app, and what would go wrong later is refused now.
func TestCLIBackupAndRestore(t *testing.T) {
	t.Parallel()
	c := newTool(t, newStack(t))
	c.deploy(`app: {image: one, replicas: 2}
database: {postgres: {storage: {size: 1Gi}, backup: {}}}`)
	from, to := metav1.NewTime(time.Now().Add(-2*time.Hour)), metav1.NewTime(time.Now().Add(-time.Hour))
	report := func(ready metav1.ConditionStatus, reason string) {
		t.Helper()
		app := c.app()
		app.Status.Database = &v1alpha1.DatabaseStatus{Instances: 1, ReadyInstances: 1, Primary: "shop-db-0",
			Backup: &v1alpha1.BackupStatus{LastBackup: "1F", RestorableFrom: &from, ArchivedTime: &to}}
		meta.SetStatusCondition(&app.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionBackupReady, Status: ready, Reason: reason, Message: "no room"})
		c.must(c.api.Status().Update(c.ctx, app))
	}
	report(metav1.ConditionFalse, v1alpha1.ReasonRepositoryFull)
	c.want(1, []string{"BackupReady is False (RepositoryFull): no room"}, "backup", "shop")
	report(metav1.ConditionTrue, v1alpha1.ReasonReady)
	c.want(1, []string{"full or diff"}, "backup", "shop", "--type=some")
	c.want(0, []string{"/shop backup requested (dry run)"}, "backup", "shop", "--dry-run=client")
	if word := c.app().Annotations[naming.AnnotationBackup]; word != "" {
		t.Errorf("what was refused or a dry run has written %s", word)
	}
	c.want(0, []string{"/shop backup requested", "A full backup is made"}, "backup", "shop", "--type=full")
	word := c.app().Annotations[naming.AnnotationBackup]
	if !strings.HasSuffix(word, ":full") {
		t.Errorf("the annotation is %q", word)
	}
	c.want(1, []string{"was asked for already (" + word + ")"}, "backup", "shop")
	app := c.app()
	app.Status.Database.Backup.HandledRequest = word
	c.must(c.api.Status().Update(c.ctx, app))
	c.want(2, []string{"A differential backup is made", "the backup is waited for", "it goes on"}, "backup", "shop", "--wait=10s")
}

// The copy is what the API server takes: defaults and rules hold for it.
func TestCLIRestore(t *testing.T) {
	t.Parallel()
	c := newTool(t, newStack(t))
	c.deploy(`app: {image: one, replicas: 2}
database: {postgres: {storage: {size: 1Gi}, backup: {}}}`)
	c.want(1, []string{"no backup yet"}, "restore", "shop", "copy", "--latest")
	from, to := metav1.NewTime(time.Now().Add(-2*time.Hour)), metav1.NewTime(time.Now().Add(-time.Hour))
	app := c.app()
	app.Status.Database = &v1alpha1.DatabaseStatus{Backup: &v1alpha1.BackupStatus{LastBackup: "1F", RestorableFrom: &from, ArchivedTime: &to}}
	c.must(c.api.Status().Update(c.ctx, app))

	window := "from " + from.UTC().Format(time.RFC3339) + " to " + to.UTC().Format(time.RFC3339)
	c.want(1, []string{"say to which time"}, "restore", "shop", "copy")
	c.want(1, []string{window}, "restore", "shop", "copy", "--time="+from.Add(-time.Minute).UTC().Format(time.RFC3339))
	c.want(1, []string{window, "in the future"}, "restore", "shop", "copy", "--time="+time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	c.want(1, []string{"there is a ScalableApp shop already"}, "restore", "shop", "shop", "--latest")
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data-old-db-0", Namespace: c.namespace}}
	claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	c.must(c.api.Create(c.ctx, claim))
	c.want(1, []string{"data-old-db-0", "restore nothing"}, "restore", "shop", "old", "--latest")

	at := to.Add(-time.Minute).UTC().Format(time.RFC3339)
	for _, dry := range []string{"client", "server"} {
		c.want(0, []string{"fromApp: shop", `time: "` + at + `"`, "replicas: 0", "name: copy"},
			"restore", "shop", "copy", "--time="+at, "--dry-run="+dry, "-o", "yaml")
	}
	c.want(0, []string{"/copy created", "as it was at " + at, "--replicas=2"}, "restore", "shop", "copy", "--time="+at)
	made := &v1alpha1.ScalableApp{}
	c.must(c.api.Get(c.ctx, c.key("copy"), made))
	if r := made.Spec.Database.Postgres.Restore; r == nil || r.FromApp != "shop" || *made.Spec.App.Replicas != 0 {
		t.Errorf("the copy is %+v", made.Spec)
	}
	c.want(1, []string{"there is a ScalableApp copy already"}, "restore", "shop", "copy", "--latest")
}

func (c *tool) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}
