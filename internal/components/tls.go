package components

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/pki"
)

// The keys of the Secrets with certificates, and where they are mounted.
const (
	keyTLSCertificate = "tls.crt"
	keyTLSKey         = "tls.key"
	keyAuthority      = "ca.crt"
	keyAuthorityKey   = "ca.key"

	postgresTLSDir   = "/etc/postgres-tls"
	pgbackrestTLSDir = "/etc/pgbackrest-tls"
	tlsVolume        = "postgres-tls"
)

// Certificates are the app's own certificate authority, made once, and the certificates that it signs, renewed
// after two thirds of their life.
func Certificates(in Input) []Object {
	if !wantsPostgres(in.App) {
		return nil
	}
	var objects []Object
	var ca pki.Pair
	if seen := in.Observed.Secret(naming.DatabaseAuthority(in.App)); seen != nil {
		ca = pki.Pair{Certificate: seen.Data[keyAuthority], Key: seen.Data[keyAuthorityKey]}
	} else {
		made, err := pki.NewAuthority(in.Observed.Entropy, naming.DatabaseAuthority(in.App), in.Observed.Now)
		if err != nil {
			return nil // without entropy there are no keys
		}
		ca = made
		objects = append(objects, Object{Mode: Created, Intent: corev1ac.Secret(naming.DatabaseAuthority(in.App), in.App.Namespace).
			WithLabels(labels(in.App, naming.ComponentDatabase)).
			WithOwnerReferences(owner(in.App)).
			WithType(corev1.SecretTypeOpaque).
			WithData(map[string][]byte{keyAuthority: ca.Certificate, keyAuthorityKey: ca.Key})})
	}
	for _, leaf := range leaves(in.App) {
		objects = append(objects, certificate(in, ca, leaf)...)
	}
	return objects
}

// leaf is a certificate of the app's authority and the Secret that it is kept in.
type leaf struct {
	secret  string
	request pki.Request
}

// leaves are two, because who may read from the database may not write to its backups: the servers' own is
// given to the pooler too, pgBackRest's hosts know each other by the second.
func leaves(app *v1alpha1.ScalableApp) []leaf {
	var servers []string
	for _, service := range []string{
		naming.DatabaseReadWrite(app), naming.DatabaseReadOnly(app), "*." + naming.DatabasePods(app),
		naming.Database(app) + "-pooler-rw", naming.Database(app) + "-pooler-ro",
	} {
		servers = append(servers, hosts(app, service)...)
	}
	return []leaf{
		{naming.DatabaseTLS(app), pki.Request{Name: naming.Database(app), Hosts: servers}},
		{naming.BackupTLS(app), pki.Request{
			Name:  naming.BackupClient(app),
			Hosts: slices.Concat(hosts(app, "*."+naming.DatabasePods(app)), hosts(app, "*."+naming.Backup(app))),
		}},
	}
}

// hosts are the names of a Service inside the cluster.
func hosts(app *v1alpha1.ScalableApp, service string) []string {
	names := []string{service + "." + app.Namespace + ".svc", service + "." + app.Namespace + ".svc.cluster.local"}
	if !strings.HasPrefix(service, "*") {
		names = append([]string{service, service + "." + app.Namespace}, names...)
	}
	return names
}

// certificate keeps a certificate as long as it does, and makes another one when it is due.
func certificate(in Input, ca pki.Pair, l leaf) []Object {
	secret := func(data map[string][]byte) *corev1ac.SecretApplyConfiguration {
		return corev1ac.Secret(l.secret, in.App.Namespace).
			WithLabels(labels(in.App, naming.ComponentDatabase)).
			WithOwnerReferences(owner(in.App)).
			WithType(corev1.SecretTypeTLS).
			WithData(data)
	}
	have := in.Observed.Secret(l.secret)
	if have != nil && pki.RenewAt(have.Data[keyTLSCertificate], ca.Certificate, l.request).After(in.Observed.Now) {
		return []Object{{Intent: secret(have.Data)}}
	}
	made, err := pki.Issue(ca, in.Observed.Entropy, l.request, in.Observed.Now)
	if err != nil {
		return nil
	}
	object := Object{IfNew: have == nil, Intent: secret(map[string][]byte{
		keyTLSCertificate: made.Certificate, keyTLSKey: made.Key, keyAuthority: ca.Certificate,
	})}
	if have != nil {
		object.IfVersion = have.ResourceVersion // what a newer view may have renewed already is left alone
	}
	return []Object{object}
}

// RenewCertificates is how long the certificates need no look; zero is for ever.
func RenewCertificates(in Input) time.Duration {
	ca := in.Observed.Secret(naming.DatabaseAuthority(in.App))
	if !wantsPostgres(in.App) || ca == nil {
		return 0
	}
	var next time.Duration
	for _, l := range leaves(in.App) {
		if have := in.Observed.Secret(l.secret); have != nil {
			at := pki.RenewAt(have.Data[keyTLSCertificate], ca.Data[keyAuthority], l.request)
			if left := max(at.Sub(in.Observed.Now), time.Second); next == 0 || left < next {
				next = left
			}
		}
	}
	return next
}

// membersTLS says whether every member of the database has the certificate, from when on all clients are told
// to ask for TLS. Members made by an operator that knew no TLS take it up when they are restarted.
func membersTLS(in Input) bool {
	if in.Observed.Secret(naming.DatabaseAuthority(in.App)) == nil {
		return false
	}
	if secretValue(in, naming.DatabaseBinding(in.App), keyAuthority) != "" {
		return true
	}
	for _, pod := range in.Observed.PodsWith(naming.Selector(in.App, naming.ComponentDatabase)) {
		if !slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == tlsVolume }) {
			return false
		}
	}
	return true
}

// poolersTLS says whether every pod of the poolers was started with a certificate. One that was started without
// takes it up, too, but nobody sees when.
func poolersTLS(in Input) bool {
	if len(poolerPair(in)) == 0 {
		return false
	}
	for _, kind := range []string{naming.PoolerReadWrite, naming.PoolerReadOnly} {
		for _, pod := range in.Observed.PodsWith(naming.PoolerSelector(in.App, kind)) {
			if pod.Annotations[naming.AnnotationTLS] == "" {
				return false
			}
		}
	}
	return true
}

// bindsTLS says whether the app is told to ask for TLS where it is led to.
func bindsTLS(in Input) bool { return membersTLS(in) && (!wantsPooler(in.App) || poolersTLS(in)) }

// poolerPair is the certificate that the poolers show to clients, which is that of the servers, or nil while
// there is none. While another one is made they keep theirs.
func poolerPair(in Input) map[string][]byte {
	for _, name := range []string{naming.DatabaseTLS(in.App), naming.PoolerUsers(in.App)} {
		pair := map[string][]byte{}
		for _, key := range []string{keyTLSCertificate, keyTLSKey, keyAuthority} {
			if value := secretValue(in, name, key); value != "" {
				pair[key] = []byte(value)
			}
		}
		if len(pair) == 3 {
			return pair
		}
	}
	return nil
}

// secretVolume mounts a Secret so that the images' user can read it and no key is open to others:
// PostgreSQL and pgBackRest refuse keys that are.
func secretVolume(name, secret string) *corev1ac.VolumeApplyConfiguration {
	return corev1ac.Volume().WithName(name).
		WithSecret(corev1ac.SecretVolumeSource().WithSecretName(secret).WithDefaultMode(0o440))
}

func verifyFull(directory string) string {
	return fmt.Sprintf("sslmode=verify-full&sslrootcert=%s/%s", directory, keyAuthority)
}
