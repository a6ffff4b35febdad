package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func leaf(t *testing.T, d Dir, name string) *x509.Certificate {
	t.Helper()
	content, err := os.ReadFile(d.Cert(name))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestIssuedCertificateVerifiesAgainstItsAuthorityOnly(t *testing.T) {
	d := Dir(t.TempDir())
	ca, err := d.NewAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	other, err := d.NewAuthority("other")
	if err != nil {
		t.Fatal(err)
	}
	subject := Subject{Name: "system:node:n1", Organization: "system:nodes", DNSNames: []string{"n1"}, IPs: []string{"10.89.0.11"}}
	if err := d.Issue(ca, "kubelet", subject); err != nil {
		t.Fatal(err)
	}
	cert := leaf(t, d, "kubelet")
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca.PEM)
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: "10.89.0.11", KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("the certificate does not verify for usage %v: %v", usage, err)
		}
	}
	wrong := x509.NewCertPool()
	wrong.AppendCertsFromPEM(other.PEM)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: wrong}); err == nil {
		t.Error("the certificate verifies against another authority")
	}
	if cert.VerifyHostname("10.89.0.12") == nil {
		t.Error("the certificate is valid for another node's address")
	}
	if cert.Subject.CommonName != "system:node:n1" || cert.Subject.Organization[0] != "system:nodes" {
		t.Errorf("subject is %v", cert.Subject)
	}
	if _, err := tls.LoadX509KeyPair(d.Cert("kubelet"), d.Key("kubelet")); err != nil {
		t.Errorf("key and certificate do not match: %v", err)
	}
}

func TestIssueRefusesWhatIsNoAddress(t *testing.T) {
	d := Dir(t.TempDir())
	ca, err := d.NewAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Issue(ca, "x", Subject{IPs: []string{"localhost"}}); err == nil {
		t.Error("localhost was taken for an IP address: " + net.ParseIP("localhost").String())
	}
}

func TestKubeconfigIsPrivateAndNamesTheServer(t *testing.T) {
	d := Dir(t.TempDir())
	ca, err := d.NewAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Issue(ca, "admin", Subject{Name: "admin"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := d.Kubeconfig(path, "https://10.89.0.1:6443", "ca", "admin"); err != nil {
		t.Fatal(err)
	}
	content, _ := os.ReadFile(path)
	if !strings.Contains(string(content), "server: https://10.89.0.1:6443\n") {
		t.Errorf("no server in:\n%s", content)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v", info.Mode())
	}
}
