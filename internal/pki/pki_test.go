package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"
)

var (
	entropy = bytes.Repeat([]byte("0123456789abcdef"), 16)
	now     = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want    = Request{Name: "shop-db", Hosts: []string{"shop-db-rw.prod.svc", "*.shop-db-pods.prod.svc"}}
)

func authority(t *testing.T, seed string) Pair {
	t.Helper()
	made, err := NewAuthority(append([]byte(seed), entropy...), "shop-db-ca", now)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// A real handshake, each side checking the other.
func TestHandshake(t *testing.T) {
	ca := authority(t, "a")
	leaf, err := Issue(ca, entropy, want, now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(leaf.Certificate, leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.Certificate)
	clock := func() time.Time { return now.Add(time.Hour) }
	for host, ok := range map[string]bool{
		"shop-db-rw.prod.svc": true, "shop-db-1.shop-db-pods.prod.svc": true, "other-db-rw.prod.svc": false,
	} {
		here, there := net.Pipe()
		go func() {
			_ = tls.Server(there, &tls.Config{
				Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, Time: clock,
			}).HandshakeContext(t.Context())
			_ = there.Close()
		}()
		err := tls.Client(here, &tls.Config{RootCAs: pool, ServerName: host, Certificates: []tls.Certificate{pair}, Time: clock}).
			HandshakeContext(t.Context())
		if (err == nil) != ok {
			t.Errorf("%s: %v", host, err)
		}
		_ = here.Close()
	}
}

func TestTheSameInputMakesTheSameCertificate(t *testing.T) {
	ca := authority(t, "a")
	one, _ := Issue(ca, entropy, want, now)
	two, _ := Issue(authority(t, "a"), entropy, want, now)
	if !bytes.Equal(one.Certificate, two.Certificate) || !bytes.Equal(one.Key, two.Key) {
		t.Error("they differ")
	}
	if other, _ := Issue(ca, append([]byte("x"), entropy...), want, now); bytes.Equal(one.Key, other.Key) {
		t.Error("another entropy made the same key")
	}
	if _, err := Issue(ca, nil, want, now); err == nil {
		t.Error("a key was made from nothing")
	}
}

func TestRenewAt(t *testing.T) {
	ca := authority(t, "a")
	leaf, _ := Issue(ca, entropy, want, now)
	if at := RenewAt(leaf.Certificate, ca.Certificate, want); at.Before(now.Add(59*24*time.Hour)) || at.After(now.Add(61*24*time.Hour)) {
		t.Errorf("renewed at %v", at)
	}
	more := want
	more.Hosts = append(more.Hosts, "shop-db-pooler.prod.svc")
	for name, at := range map[string]time.Time{
		"unreadable":        RenewAt(nil, ca.Certificate, want),
		"another authority": RenewAt(leaf.Certificate, authority(t, "b").Certificate, want),
		"more hosts":        RenewAt(leaf.Certificate, ca.Certificate, more),
		"another name":      RenewAt(leaf.Certificate, ca.Certificate, Request{Name: "x", Hosts: want.Hosts}),
	} {
		if !at.IsZero() {
			t.Errorf("%s: renewed at %v only", name, at)
		}
	}
}
