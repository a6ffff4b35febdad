package plan

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// The volume of the backups grows as the database's own do, and with them where the spec gives it no size.
func TestTheVolumeOfTheBackupsGrows(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spec, claim, has, template string
		fixed, warning             string
		action, trouble            string
	}{
		"as it is":                   {spec: "2Gi", claim: "2Gi", has: "2Gi", template: "2Gi"},
		"the claim first":            {spec: "3Gi", claim: "2Gi", has: "2Gi", template: "2Gi", action: "grow data-shop-db-backup-0 to 3Gi"},
		"then the StatefulSet":       {spec: "3Gi", claim: "3Gi", has: "2Gi", template: "2Gi", action: "delete StatefulSet shop-db-backup and leave its pods"},
		"with the database's own":    {claim: "5Gi", has: "5Gi", template: "5Gi", action: "grow data-shop-db-backup-0 to 10Gi"},
		"a larger one that was kept": {spec: "2Gi", claim: "4Gi", has: "4Gi", template: "2Gi"},
		"its class does not let it": {spec: "3Gi", claim: "2Gi", has: "2Gi", template: "2Gi", fixed: "the class is fixed",
			trouble: "data-shop-db-backup-0 cannot grow from 2Gi to 3Gi: the class is fixed"},
		"its driver cannot": {spec: "3Gi", claim: "3Gi", has: "2Gi", template: "3Gi", warning: "no room",
			trouble: "data-shop-db-backup-0 does not grow from 2Gi to 3Gi: no room"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := &v1alpha1.ScalableApp{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
			postgres := &v1alpha1.PostgresSpec{Backup: &v1alpha1.BackupSpec{}, Storage: v1alpha1.StorageSpec{Size: resource.MustParse("10Gi")}}
			if test.spec != "" {
				postgres.Backup.Volume = &v1alpha1.StorageSpec{Size: resource.MustParse(test.spec)}
			}
			app.Spec.Database = &v1alpha1.DatabaseSpec{Postgres: postgres}
			claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data-shop-db-backup-0"}}
			claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(test.claim)}
			claim.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(test.has)}
			template := corev1.PersistentVolumeClaim{}
			template.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(test.template)}
			set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: naming.Backup(app)}}
			set.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{template}
			seen := &state.Observed{Volumes: []*corev1.PersistentVolumeClaim{claim}, StatefulSets: []*appsv1.StatefulSet{set},
				FixedVolumes: map[string]string{}, Warnings: map[string]string{}}
			if test.fixed != "" {
				seen.FixedVolumes[claim.Name] = test.fixed
			}
			if test.warning != "" {
				seen.Warnings["PersistentVolumeClaim/"+claim.Name] = test.warning
			}
			p := Build(app, seen, Config{})
			got := ""
			for _, a := range p.Actions {
				got += a.String()
			}
			if got != test.action {
				t.Errorf("it would %q, want %q", got, test.action)
			}
			i := slices.IndexFunc(p.Status.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.ConditionBackupReady })
			if i < 0 || test.trouble != "" && !strings.Contains(p.Status.Conditions[i].Message, test.trouble) {
				t.Errorf("it says %+v", p.Status.Conditions)
			}
		})
	}
}
