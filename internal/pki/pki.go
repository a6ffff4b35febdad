// Package pki makes the certificates of one app's data tier. It is pure: keys come out of the entropy that
// it is given, and signatures are deterministic (RFC 6979), so the same input gives the same certificate.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

const (
	// authorityLife outlives any database that nobody looks after.
	authorityLife = 10 * 365 * 24 * time.Hour
	// leafLife is renewed after two thirds, so a month is left to notice that renewal does not work.
	leafLife = 90 * 24 * time.Hour
	// backdate lets clocks differ.
	backdate = 5 * time.Minute
	// minEntropy is what a key is at least made from.
	minEntropy = 32
)

// Pair is a certificate and its private key in PEM.
type Pair struct{ Certificate, Key []byte }

// NewAuthority makes a certificate authority that signs what Issue makes. Its names do not leave the app.
func NewAuthority(entropy []byte, name string, now time.Time) (Pair, error) {
	key, serial, err := draw(entropy, "authority/"+name)
	if err != nil {
		return Pair{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return sign(template, template, key, key)
}

// Request is what a certificate shall be for.
type Request struct {
	// Name is the common name, by which a server that asks for a certificate knows its client.
	Name string
	// Hosts are the DNS names that it serves under. Without any it is a client's alone.
	Hosts []string
}

// Issue makes a certificate for a server that may be a client too.
func Issue(authority Pair, entropy []byte, want Request, now time.Time) (Pair, error) {
	parent, err := certificate(authority.Certificate)
	if err != nil {
		return Pair{}, fmt.Errorf("the authority's certificate: %w", err)
	}
	signer, err := privateKey(authority.Key)
	if err != nil {
		return Pair{}, fmt.Errorf("the authority's key: %w", err)
	}
	key, serial, err := draw(entropy, "leaf/"+want.Name)
	if err != nil {
		return Pair{}, err
	}
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(want.Hosts) > 0 {
		usage = append(usage, x509.ExtKeyUsageServerAuth)
	}
	end := now.Add(leafLife)
	if parent.NotAfter.Before(end) {
		end = parent.NotAfter
	}
	return sign(&x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: want.Name}, DNSNames: want.Hosts,
		NotBefore: now.Add(-backdate), NotAfter: end, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: usage,
	}, parent, key, signer)
}

// RenewAt is when a certificate is to be renewed, at two thirds of its life; or the zero time if it does
// not do at all: unreadable, of another authority, or for something else than wanted.
func RenewAt(leaf, authority []byte, want Request) time.Time {
	have, err := certificate(leaf)
	if err != nil {
		return time.Time{}
	}
	parent, err := certificate(authority)
	if err != nil || have.CheckSignatureFrom(parent) != nil {
		return time.Time{}
	}
	if have.Subject.CommonName != want.Name || !slices.Equal(have.DNSNames, want.Hosts) {
		return time.Time{}
	}
	return have.NotBefore.Add(have.NotAfter.Sub(have.NotBefore) / 3 * 2)
}

// draw makes a P-256 key and a serial number out of entropy.
func draw(entropy []byte, purpose string) (*ecdsa.PrivateKey, *big.Int, error) {
	if len(entropy) < minEntropy {
		return nil, nil, errors.New("there is not enough entropy for a key")
	}
	derive := func(what string) []byte {
		mac := hmac.New(sha256.New, entropy)
		mac.Write([]byte(purpose + "/" + what))
		return mac.Sum(nil)
	}
	serial := new(big.Int).SetBytes(derive("serial")[:15])
	for i := range 100 { // one in 2^32 numbers is no key of the curve
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), derive(fmt.Sprint(i))); err == nil {
			return key, serial, nil
		}
	}
	return nil, nil, errors.New("no key of the curve was found")
}

func sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (Pair, error) {
	der, err := x509.CreateCertificate(nil, template, parent, &key.PublicKey, signer) // without random bytes: RFC 6979
	if err != nil {
		return Pair{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, nil
}

func certificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is not PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func privateKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("it is a %T", key)
	}
	return private, nil
}
