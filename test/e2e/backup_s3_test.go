package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/pki"
)

// TestBackupS3 keeps the backups in a bucket of a real S3 server on this machine: first with a key that it
// refuses, then with the right one.
func TestBackupS3(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca := w.startS3("s3", "backups", "AKIDEXAMPLE", "the right key")
	keys := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys", Namespace: w.namespace},
		StringData: map[string]string{"access-key-id": "AKIDEXAMPLE", "secret-access-key": "a wrong key", "ca.crt": ca}}
	w.create(keys)
	old := w.bare("old", 0)
	old.Spec.Database = postgres(1)
	old.Spec.Database.Postgres.Backup = &v1alpha1.BackupSpec{S3: &v1alpha1.BackupS3Spec{
		Endpoint: "s3." + w.namespace + ".svc", Bucket: "backups", SecretName: "keys"}}
	w.create(old)
	w.eventually(readyWithin, "the database is there", func() error {
		return isCondition(w.app("old"), v1alpha1.ConditionDatabaseReady, metav1.ConditionTrue, "")
	})
	w.waitStalled("old", v1alpha1.ReasonCredentialsRefused, "SignatureDoesNotMatch")
	change(w, "keys", &corev1.Secret{}, func(secret *corev1.Secret) { secret.Data["secret-access-key"] = []byte("the right key") })
	w.restoresTo("old", "new", func(*v1alpha1.ScalableApp) {})
}

// startS3 starts an S3 server on this machine under the name of a Service and returns the certificate of its
// authority.
func (w *world) startS3(service, bucket, id, key string) string {
	w.Helper()
	entropy := make([]byte, 64)
	copy(entropy, w.namespace)
	authority, err := pki.NewAuthority(entropy, "s3 authority", time.Now())
	w.must(err)
	leaf, err := pki.Issue(authority, entropy, pki.Request{Name: service, Hosts: []string{service + "." + w.namespace + ".svc"}}, time.Now())
	w.must(err)
	folder := w.TempDir()
	w.must(os.WriteFile(filepath.Join(folder, "tls.crt"), leaf.Certificate, 0o600))
	w.must(os.WriteFile(filepath.Join(folder, "tls.key"), leaf.Key, 0o600))
	w.must(os.MkdirAll(filepath.Join(folder, "data", bucket), 0o700))

	address := w.ownAddress()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	w.must(err)
	port := listener.Addr().(*net.TCPAddr).Port
	w.must(listener.Close())
	server := exec.CommandContext(context.Background(), "../../hack/tool.sh", "versitygw",
		"--port", fmt.Sprintf("%s:%d", address, port), "--cert", filepath.Join(folder, "tls.crt"), "--key", filepath.Join(folder, "tls.key"),
		"--quiet", "posix", filepath.Join(folder, "data"))
	server.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+id, "ROOT_SECRET_KEY="+key)
	w.must(server.Start())
	w.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	w.eventually(15*time.Minute, "the S3 server answers (it is built once)", func() error {
		answer, err := client.Get(fmt.Sprintf("https://%s:%d/", address, port))
		if err == nil {
			err = answer.Body.Close()
		}
		return err
	})

	w.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: service, Namespace: w.namespace},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 443, TargetPort: intstr.FromInt(port)}}}})
	target := int32(port)
	w.create(&discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: service, Namespace: w.namespace, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Port: &target}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{address}}}})
	return string(authority.Certificate)
}

// ownAddress is this machine's address as the nodes see it.
func (w *world) ownAddress() string {
	w.Helper()
	nodes := &corev1.NodeList{}
	w.must(api.List(w.ctx, nodes))
	for _, a := range nodes.Items[0].Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			conn, err := net.Dial("udp", net.JoinHostPort(a.Address, "9"))
			w.must(err)
			defer func() { _ = conn.Close() }()
			return conn.LocalAddr().(*net.UDPAddr).IP.String()
		}
	}
	w.Fatal("the first node has no address")
	return ""
}
