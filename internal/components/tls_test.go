package components

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// seeSecrets lets the operator see what it has made.
func seeSecrets(t *testing.T, in Input, objects []Object) {
	t.Helper()
	for _, name := range []string{"shop-db-ca", "shop-db-tls", "shop-db-backup-tls"} {
		if !strings.Contains(kinds(t, objects), "Secret/"+name) {
			continue
		}
		secret := secretOf(t, objects, name)
		in.Observed.Secrets = append(in.Observed.Secrets, secret)
	}
	state.SortByName(in.Observed.Secrets)
}

func TestCertificatesAreRenewed(t *testing.T) {
	in := testInput(withPostgres)
	in.Observed.Now = born.Time
	seeSecrets(t, in, Certificates(in))
	first := secretOf(t, Certificates(in), "shop-db-tls")

	in.Observed.Entropy = []byte("another pass has other random bytes, and 32 of them")
	in.Observed.Now = born.Add(59 * 24 * time.Hour)
	if same := secretOf(t, Certificates(in), "shop-db-tls"); string(same.Data["tls.crt"]) != string(first.Data["tls.crt"]) {
		t.Error("a good certificate was replaced")
	}
	if wake := RenewCertificates(in); wake < time.Hour || wake > 25*time.Hour {
		t.Errorf("it is looked at in %s", wake)
	}
	in.Observed.Now = born.Add(61 * 24 * time.Hour)
	if other := secretOf(t, Certificates(in), "shop-db-tls"); string(other.Data["tls.crt"]) == string(first.Data["tls.crt"]) {
		t.Error("a certificate in the last third of its life was kept")
	}
	if all := kinds(t, Certificates(in)); strings.Contains(all, "shop-db-ca") {
		t.Errorf("the authority is made once: %s", all)
	}
	in.Observed.Entropy = nil
	in.Observed.Secrets = nil
	if all := Certificates(in); len(all) != 0 {
		t.Error("keys were made from nothing")
	}
}

func TestTheAppAsksForTLSWhenEveryMemberHasIt(t *testing.T) {
	member := func(name string, volumes ...string) *corev1.Pod {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			naming.LabelInstance: "shop", naming.LabelComponent: naming.ComponentDatabase}}}
		for _, v := range volumes {
			pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: v})
		}
		return pod
	}
	poolerPod := func(annotations map[string]string) *corev1.Pod {
		labels := naming.PoolerSelector(testInput(withPostgres).App, naming.PoolerReadOnly)
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pooler", Labels: labels, Annotations: annotations}}
	}
	started := map[string]string{naming.AnnotationTLS: "started-with"}
	bound := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "shop-db-app"}, Data: map[string][]byte{"ca.crt": []byte("x")}}
	pooler := func(in Input) { in.App.Spec.Database.Postgres.Pooler = &v1alpha1.PoolerSpec{} }
	for name, test := range map[string]struct {
		pods    []*corev1.Pod
		secrets []*corev1.Secret
		change  func(Input)
		want    bool
	}{
		"a new database":                   {want: true},
		"every member":                     {pods: []*corev1.Pod{member("a", tlsVolume), member("b", tlsVolume)}, want: true},
		"one that was not restarted":       {pods: []*corev1.Pod{member("a", tlsVolume), member("b")}},
		"one that was not, but it is told": {pods: []*corev1.Pod{member("a")}, secrets: []*corev1.Secret{bound}, want: true},
		"a new pooler":                     {change: pooler, want: true},
		"a pooler that has it":             {change: pooler, pods: []*corev1.Pod{member("a", tlsVolume), poolerPod(started)}, want: true},
		"a pooler of an older operator":    {change: pooler, pods: []*corev1.Pod{member("a", tlsVolume), poolerPod(nil)}, secrets: []*corev1.Secret{bound}},
		"a member of one, with a pooler":   {change: pooler, pods: []*corev1.Pod{member("a"), poolerPod(started)}},
	} {
		t.Run(name, func(t *testing.T) {
			in := settle(t, testInput(withPostgres))
			in.Observed.Pods, in.Observed.Secrets = test.pods, append(in.Observed.Secrets, test.secrets...)
			state.SortByName(in.Observed.Secrets)
			if test.change != nil {
				test.change(in)
			}
			uri := string(secretOf(t, Bindings(in), "shop-db-app").Data["uri"])
			if got := strings.HasSuffix(uri, "?sslmode=verify-full&sslrootcert=/bindings/database/ca.crt"); got != test.want {
				t.Errorf("the uri is %s", uri)
			}
		})
	}
}

// PgBouncer keeps the certificate that it has when the servers' own is about to be made anew, and asks the
// database for its own once every member has one.
func TestThePoolersTLS(t *testing.T) {
	in := testInput(withPostgres)
	in.App.Spec.Database.Postgres.Pooler = &v1alpha1.PoolerSpec{Instances: 2, PoolSize: 20, MaxClientConnections: 1000}
	in = settle(t, in)
	lines := func() string { return pgbouncerINI(in, naming.PoolerReadWrite) }
	if ini := lines(); !strings.Contains(ini, "client_tls_sslmode = allow\n") || !strings.Contains(ini, "server_tls_sslmode = verify-full\n") {
		t.Errorf("a new database and its pooler:\n%s", ini)
	}
	old := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "shop-db-0", Labels: naming.Selector(in.App, naming.ComponentDatabase)}}
	in.Observed.Pods = []*corev1.Pod{old}
	if ini := lines(); !strings.Contains(ini, "server_tls_sslmode = prefer\n") {
		t.Errorf("a member has no certificate yet:\n%s", ini)
	}
	users := secretOf(t, Pooler(in), naming.PoolerUsers(in.App))
	if string(users.Data[keyTLSCertificate]) != string(in.Observed.Secret(naming.DatabaseTLS(in.App)).Data[keyTLSCertificate]) {
		t.Error("the poolers have another certificate than the servers")
	}
	in.Observed.Secrets = slices.DeleteFunc(append(in.Observed.Secrets, users), func(s *corev1.Secret) bool {
		return s.Name == naming.DatabaseTLS(in.App)
	})
	state.SortByName(in.Observed.Secrets)
	if again := secretOf(t, Pooler(in), naming.PoolerUsers(in.App)); string(again.Data[keyTLSKey]) != string(users.Data[keyTLSKey]) {
		t.Error("the poolers lost their certificate with that of the servers")
	}
	if !strings.Contains(lines(), "client_tls_sslmode = allow\n") {
		t.Error("clients cannot ask for TLS any more")
	}
}
