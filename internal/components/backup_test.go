package components

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

func withBackup(spec *v1alpha1.ScalableAppSpec) {
	withPostgres(spec)
	spec.Database.Postgres.Backup = &v1alpha1.BackupSpec{FullSchedule: "0 2 * * 0", DifferentialSchedule: "0 2 * * 1-6", RetainFull: 2}
}

func withS3(spec *v1alpha1.ScalableAppSpec) {
	withBackup(spec)
	spec.Database.Postgres.Backup.S3 = &v1alpha1.BackupS3Spec{
		Endpoint: "store.example:9000", Bucket: "backups", Region: "eu-central-1", SecretName: "keys"}
}

func withRestore(spec *v1alpha1.ScalableAppSpec) {
	withPostgres(spec)
	at := metav1.NewTime(born.Add(24 * time.Hour))
	spec.Database.Postgres.Restore = &v1alpha1.RestoreSpec{FromApp: "old", Time: &at}
}

// observeSource lets the operator see the app that is restored from, with its backups and its authority.
func observeSource(t *testing.T, in Input, change func(*v1alpha1.ScalableAppSpec)) {
	t.Helper()
	old := testInput(change)
	old.App.Name, old.App.UID, old.Observed.Now = "old", "uid-of-old", born.Time
	from, to := metav1.NewTime(born.Add(time.Hour)), metav1.NewTime(born.Add(48*time.Hour))
	old.App.Status.Database = &v1alpha1.DatabaseStatus{Backup: &v1alpha1.BackupStatus{RestorableFrom: &from, ArchivedTime: &to}}
	authority := secretOf(t, Certificates(old), "old-db-ca")
	in.Observed.Now = born.Add(72 * time.Hour)
	in.Observed.Source = &state.Source{App: old.App, Authority: authority,
		Store: state.StoreSecret{Exists: true, AccessKeyID: "id", SecretAccessKey: "key"}}
}

func secretOf(t *testing.T, objects []Object, name string) *corev1.Secret {
	t.Helper()
	for _, object := range objects {
		secret := &corev1.Secret{}
		if err := json.Unmarshal(marshal(t, object), secret); err == nil && secret.Kind == "Secret" && secret.Name == name {
			return secret
		}
	}
	t.Fatalf("there is no Secret %s", name)
	return nil
}

func kinds(t *testing.T, objects []Object) string {
	t.Helper()
	var names []string
	for _, object := range objects {
		var o metav1.PartialObjectMetadata
		if err := json.Unmarshal(marshal(t, object), &o); err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Kind+"/"+o.Name)
	}
	return strings.Join(names, " ")
}

func TestBackupGolden(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.ScalableAppSpec){"backup_volume": withBackup, "backup_s3": withS3} {
		t.Run(name, func(t *testing.T) {
			in := settle(t, testInput(change))
			in.App.Annotations = map[string]string{naming.AnnotationBackup: "monday:full"}
			in.Observed.BackupStore = state.StoreSecret{Exists: true, AccessKeyID: "id",
				SecretAccessKey: "key\nrepo1-path=/elsewhere", CA: "a certificate"}
			golden(t, name, append(Backup(in), NetworkPolicies(in)...))
			goldenText(t, name+"_config", string(secretOf(t, Postgres(in), "shop-db-pgbackrest").Data[agentConfigKey])+
				"# ---- the members'\n"+string(secretOf(t, Postgres(in), "shop-db-pgbackrest").Data[memberConfigKey]))
		})
	}
}

// goldenText compares a text with that of a golden file.
func goldenText(t *testing.T, name, text string) {
	t.Helper()
	encoded, err := yaml.Marshal(map[string]string{"text": text})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, name, []Object{{Intent: raw(encoded)}})
}

type raw []byte

func (raw) IsApplyConfiguration() {}

func (r raw) MarshalJSON() ([]byte, error) { return yaml.YAMLToJSON(r) }

// Backups that are switched on later change no pod: the members' template is the same with and without.
func TestBackupsChangeNoMember(t *testing.T) {
	template := func(change func(*v1alpha1.ScalableAppSpec)) string {
		return string(marshal(t, databaseStatefulSet(settle(t, testInput(change)))))
	}
	if without := template(withPostgres); template(withBackup) != without || template(withS3) != without {
		t.Error("the members' template differs")
	}
	if !strings.Contains(memberSettings(), `"archive_mode":"on"`) {
		t.Error("archiving must be on from the first boot")
	}
}

// The template of the backup pod must not follow the keys or the schedule: a restart would end a backup.
func TestTheBackupPodStays(t *testing.T) {
	in := settle(t, testInput(withS3))
	before := string(marshal(t, backupStatefulSet(in)))
	in.Observed.BackupStore = state.StoreSecret{Exists: true, AccessKeyID: "other", SecretAccessKey: "other", CA: "another"}
	in.App.Spec.Database.Postgres.Backup.FullSchedule = "0 3 * * *"
	in.App.Annotations = map[string]string{naming.AnnotationBackup: "token"}
	if string(marshal(t, backupStatefulSet(in))) != before {
		t.Error("the template differs")
	}
}

func TestRestore(t *testing.T) {
	t.Run("from a volume", func(t *testing.T) {
		in := settle(t, testInput(withRestore))
		observeSource(t, in, withBackup)
		config := secretOf(t, Postgres(in), "shop-db-pgbackrest")
		for key, part := range map[string]string{
			sourceConfigKey: "repo1-host=old-db-backup-0.old-db-backup.prod.svc", sourceStanzaKey: "old-db",
			sourceTargetKey: "2026-01-03 03:04:05+00", "source-tls.key": "PRIVATE KEY", "source-ca.crt": "CERTIFICATE",
		} {
			if !strings.Contains(string(config.Data[key]), part) {
				t.Errorf("%s does not hold %q: %s", key, part, config.Data[key])
			}
		}
		if text := patroniConfig(in.App, true); !strings.Contains(text, "restore-backup") {
			t.Errorf("Patroni is not told to restore: %s", text)
		}
		if all := kinds(t, NetworkPolicies(in)); !strings.Contains(all, "NetworkPolicy/shop-db-restore") {
			t.Errorf("the other app's repository cannot be reached: %s", all)
		}
		in.Observed.Secrets = append(in.Observed.Secrets, config)
		state.SortByName(in.Observed.Secrets)
		in.Observed.Entropy = []byte("another pass has other random bytes, and 32 of them")
		again := secretOf(t, Postgres(in), "shop-db-pgbackrest")
		if string(again.Data["source-tls.key"]) != string(config.Data["source-tls.key"]) {
			t.Error("each pass makes another certificate")
		}
	})
	t.Run("from an object store", func(t *testing.T) {
		in := settle(t, testInput(withRestore))
		observeSource(t, in, withS3)
		source := string(secretOf(t, Postgres(in), "shop-db-pgbackrest").Data[sourceConfigKey])
		if !strings.Contains(source, "repo1-path=/prod/old\n") || !strings.Contains(source, "repo1-s3-key=id\n") {
			t.Errorf("the source is %s", source)
		}
	})
	t.Run("nothing of it stays", func(t *testing.T) {
		in := settle(t, testInput(withRestore)) // the database is there: observe looks for no source any more
		if data := secretOf(t, Postgres(in), "shop-db-pgbackrest").Data; len(data) != 1 {
			t.Errorf("the configuration holds %d files", len(data))
		}
	})
}

// The way into the other app's repository is a matter of that app's policies, not of the new one's. Where it has none, one
// for the new app alone would shut its own members out.
func TestRestoreThroughTheSourcesPolicies(t *testing.T) {
	const closed, open = v1alpha1.NetworkPolicyEnabled, v1alpha1.NetworkPolicyDisabled
	for _, c := range []struct {
		own, source v1alpha1.NetworkPolicyMode
		want        bool
	}{{closed, closed, true}, {open, closed, true}, {open, open, false}, {closed, open, false}} {
		in := settle(t, testInput(withRestore))
		observeSource(t, in, withBackup)
		in.App.Spec.NetworkPolicy, in.Observed.Source.App.Spec.NetworkPolicy = c.own, c.source
		all := kinds(t, NetworkPolicies(in))
		if got := strings.Contains(all, "NetworkPolicy/shop-db-restore"); got != c.want {
			t.Errorf("its own policies %s, the source's %s: %s", c.own, c.source, all)
		}
		if own := strings.Contains(all+" ", "NetworkPolicy/shop-db "); own != (c.own == closed) {
			t.Errorf("its own policies %s: %s", c.own, all)
		}
	}
}

func TestAnImpossibleRestoreGetsNoPod(t *testing.T) {
	in := settle(t, testInput(withRestore))
	in.Observed.Source = &state.Source{}
	if all := kinds(t, append(Postgres(in), Backup(in)...)); strings.Contains(all, "StatefulSet/") {
		t.Errorf("a database without the wanted data: %s", all)
	}
	// One that is there is kept, whatever is seen of the source.
	in.Observed.StatefulSets = []*appsv1.StatefulSet{{ObjectMeta: metav1.ObjectMeta{Name: "shop-db"}}}
	if all := kinds(t, Postgres(in)); !strings.Contains(all, "StatefulSet/shop-db") {
		t.Errorf("a StatefulSet that is left out is deleted: %s", all)
	}
}

func TestEndpoint(t *testing.T) {
	for endpoint, want := range map[string]string{
		"s3.eu-central-1.amazonaws.com": "s3.eu-central-1.amazonaws.com|", "store:9000": "store|9000",
		"https://store.example/": "store.example|", "fd00::1": "fd00::1|", "[fd00::1]:9000": "[fd00::1]|9000",
	} {
		host, port := splitEndpoint(endpoint)
		if got := fmt.Sprintf("%s|%s", host, port); got != want {
			t.Errorf("%s: %s, want %s", endpoint, got, want)
		}
	}
}
