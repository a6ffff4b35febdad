// Package pki makes the cluster's keys, certificates and kubeconfigs.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// validity is long enough for any cluster of a developer and short enough not to be forever.
const validity = 365 * 24 * time.Hour

// Authority signs certificates.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	PEM  []byte
}

// Dir holds keys and certificates as NAME.key and NAME.crt.
type Dir string

// Cert is the path of a certificate.
func (d Dir) Cert(name string) string { return filepath.Join(string(d), name+".crt") }

// Key is the path of a private key.
func (d Dir) Key(name string) string { return filepath.Join(string(d), name+".key") }

// Pub is the path of a public key.
func (d Dir) Pub(name string) string { return filepath.Join(string(d), name+".pub") }

// Subject says whom a certificate is for.
type Subject struct {
	Name         string // Kubernetes user
	Organization string // Kubernetes group
	DNSNames     []string
	IPs          []string
}

// NewAuthority makes a certificate authority and writes it.
func (d Dir) NewAuthority(name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := template(name, "")
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	if err := d.write(name, der, key); err != nil {
		return nil, err
	}
	return d.LoadAuthority(name)
}

// LoadAuthority reads an authority that NewAuthority wrote.
func (d Dir) LoadAuthority(name string) (*Authority, error) {
	certPEM, err := os.ReadFile(d.Cert(name))
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(d.Key(name))
	if err != nil {
		return nil, err
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return nil, fmt.Errorf("authority %s: no PEM data", name)
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an ECDSA key")
	}
	return &Authority{cert: cert, key: ec, PEM: certPEM}, nil
}

// Issue makes a key and a certificate that serves for servers and clients, and writes both.
func (d Dir) Issue(a *Authority, name string, s Subject) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := template(s.Name, s.Organization)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.DNSNames = s.DNSNames
	for _, address := range s.IPs {
		ip := net.ParseIP(address)
		if ip == nil {
			return fmt.Errorf("%q is no IP address", address)
		}
		template.IPAddresses = append(template.IPAddresses, ip)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return err
	}
	return d.write(name, der, key)
}

// KeyPair makes the pair that service account tokens are signed with.
func (d Dir) KeyPair(name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := writePEM(d.Pub(name), "PUBLIC KEY", public, 0o644); err != nil {
		return err
	}
	return writeKey(d.Key(name), key)
}

func template(name, organization string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	subject := pkix.Name{CommonName: name}
	if organization != "" {
		subject.Organization = []string{organization}
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-time.Hour), // a clock may be set back a little
		NotAfter:     now.Add(validity),
	}, nil
}

func (d Dir) write(name string, der []byte, key *ecdsa.PrivateKey) error {
	if err := writePEM(d.Cert(name), "CERTIFICATE", der, 0o644); err != nil {
		return err
	}
	return writeKey(d.Key(name), key)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "PRIVATE KEY", der, 0o600)
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}
