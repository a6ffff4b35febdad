package components

import (
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/backup"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/pki"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

const (
	pgbackrestPort  = 8432
	pgbackrestDir   = "/etc/pgbackrest"
	repositoryDir   = "/var/lib/pgbackrest"
	memberConfigKey = "pgbackrest.conf"
	agentConfigKey  = "agent.conf"
	storeCAKey      = "store-ca.crt"

	// What a member restores from; there until its database is.
	sourceConfigKey = "source.conf"
	sourceStanzaKey = "source-stanza"
	sourceTargetKey = "restore-target"
	sourcePrefix    = "source-"
)

// backupConfig is pgBackRest's configuration, for the members and for the pod that makes the backups. The
// members have it with and without backups, so that switching those on changes no pod: a mounted Secret
// follows by itself. It is a Secret because it may hold the keys of an object store.
func backupConfig(in Input) Object {
	app := in.App
	data := map[string][]byte{memberConfigKey: []byte(memberConfig(in))}
	if spec := backup.Spec(app); spec != nil {
		data[agentConfigKey] = []byte(agentConfig(in))
		if spec.S3 != nil {
			data[storeCAKey] = []byte(in.Observed.BackupStore.CA) // there even if empty: it is mounted by its name
		}
	}
	maps.Copy(data, restoreConfig(in))
	return Object{Intent: corev1ac.Secret(naming.BackupConfig(app), app.Namespace).
		WithLabels(labels(app, naming.ComponentDatabase)).
		WithOwnerReferences(owner(app)).
		WithType(corev1.SecretTypeOpaque).
		WithData(data)}
}

// ini is a configuration file of pgBackRest.
type ini struct{ strings.Builder }

func (f *ini) section(name string) { fmt.Fprintf(f, "[%s]\n", name) }

// set writes options in pairs of name and value.
func (f *ini) set(pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(f, "%s=%s\n", pairs[i], pairs[i+1])
	}
}

// common is what all of pgBackRest's hosts have alike. It writes no log file: what it says goes to the pod's
// log. The server answers whoever has the backup certificate, and about this database alone.
func (f *ini) common(app *v1alpha1.ScalableApp) {
	f.section("global")
	f.set("log-level-console", "warn", "log-level-file", "off",
		"lock-path", "/tmp/pgbackrest", "compress-type", "zst", "process-max", "2", "io-timeout", "15",
		"tls-server-address", "*", "tls-server-port", strconv.Itoa(pgbackrestPort),
		"tls-server-cert-file", pgbackrestTLSDir+"/"+keyTLSCertificate,
		"tls-server-key-file", pgbackrestTLSDir+"/"+keyTLSKey,
		"tls-server-ca-file", pgbackrestTLSDir+"/"+keyAuthority,
		"tls-server-auth", naming.BackupClient(app)+"="+naming.Stanza(app))
}

func memberConfig(in Input) string {
	app, f := in.App, &ini{}
	f.WriteString("# Written by scalableapp-operator; changes are undone.\n")
	f.common(app)
	if spec := backup.Spec(app); spec != nil {
		if spec.S3 != nil {
			f.objectStore(app, spec.S3, in.Observed.BackupStore, pgbackrestDir+"/"+storeCAKey)
		} else {
			f.repositoryHost(app, pgbackrestTLSDir+"/")
		}
		// A repository that is away must not fill the database's volume: beyond this the log is given up,
		// and the agent says so and makes another backup.
		f.set("archive-push-queue-max", strconv.FormatInt(share(app.Spec.Database.Postgres.Storage.Size, 40), 10))
	}
	f.section(naming.Stanza(app))
	f.set("pg1-path", pgData, "pg1-socket-path", postgresRunDir)
	return f.String()
}

// agentConfig is for the pod that makes the backups: it reads the members' files through their servers, from
// a standby where there is one.
func agentConfig(in Input) string {
	app, f, spec := in.App, &ini{}, backup.Spec(in.App)
	f.common(app)
	if spec.S3 != nil {
		f.objectStore(app, spec.S3, in.Observed.BackupStore, pgbackrestDir+"/"+storeCAKey)
	} else {
		f.set("tls-server-auth", naming.RestoreClient(app)+"="+naming.Stanza(app), "repo1-path", repositoryDir+"/repo")
	}
	f.set("repo1-retention-full", strconv.Itoa(int(max(spec.RetainFull, 1))), "start-fast", "y")
	instances := int(app.Spec.Database.Postgres.Instances)
	if instances > 1 {
		f.set("backup-standby", "prefer")
	}
	f.section(naming.Stanza(app))
	for i := range instances {
		pg := fmt.Sprintf("pg%d-", i+1)
		f.set(pg+"host", fmt.Sprintf("%s-%d.%s", naming.Database(app), i, serviceHost(app, naming.DatabasePods(app))),
			pg+"host-type", "tls",
			pg+"host-cert-file", pgbackrestTLSDir+"/"+keyTLSCertificate,
			pg+"host-key-file", pgbackrestTLSDir+"/"+keyTLSKey,
			pg+"host-ca-file", pgbackrestTLSDir+"/"+keyAuthority,
			pg+"path", pgData, pg+"socket-path", postgresRunDir)
	}
	return f.String()
}

// repositoryHost leads to the pod that keeps an app's backups on a volume; files is where the certificate
// for it lies.
func (f *ini) repositoryHost(app *v1alpha1.ScalableApp, files string) {
	f.set("repo1-host", fmt.Sprintf("%s-0.%s", naming.Backup(app), serviceHost(app, naming.Backup(app))),
		"repo1-host-type", "tls",
		"repo1-host-port", strconv.Itoa(pgbackrestPort),
		"repo1-host-cert-file", files+keyTLSCertificate,
		"repo1-host-key-file", files+keyTLSKey,
		"repo1-host-ca-file", files+keyAuthority)
}

// objectStore leads to an app's backups in a bucket, in a folder of the namespace's and the app's name.
func (f *ini) objectStore(app *v1alpha1.ScalableApp, s3 *v1alpha1.BackupS3Spec, keys state.StoreSecret, caFile string) {
	host, port := splitEndpoint(s3.Endpoint)
	style := "path"
	if strings.HasSuffix(host, ".amazonaws.com") {
		style = "host"
	}
	f.set("repo1-type", "s3", "repo1-path", "/"+app.Namespace+"/"+app.Name,
		"repo1-s3-endpoint", host, "repo1-s3-bucket", s3.Bucket, "repo1-s3-region", s3.Region, "repo1-s3-uri-style", style,
		"repo1-s3-key", oneLine(keys.AccessKeyID), "repo1-s3-key-secret", oneLine(keys.SecretAccessKey))
	if port != "" {
		f.set("repo1-storage-port", port)
	}
	if keys.CA != "" {
		f.set("repo1-storage-ca-file", caFile)
	}
}

// splitEndpoint parts an endpoint into host and port; the port is "" where it names none.
func splitEndpoint(endpoint string) (host, port string) {
	endpoint = strings.TrimSuffix(strings.TrimPrefix(endpoint, "https://"), "/")
	if _, err := netip.ParseAddr(endpoint); err == nil {
		return endpoint, "" // an IPv6 address has colons of its own
	}
	if i := strings.LastIndex(endpoint, ":"); i >= 0 {
		return endpoint[:i], endpoint[i+1:]
	}
	return endpoint, ""
}

// oneLine keeps a value of the user's from becoming another option.
func oneLine(value string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(value), "\n")
	return strings.TrimSpace(line)
}

// restoreConfig is what the first member of a restored database reads: the other app's repository, with a
// certificate of the other app's authority for those who restore, and the time to go back to.
func restoreConfig(in Input) map[string][]byte {
	source, restore := in.Observed.Source, backup.RestoreSpec(in.App)
	if source == nil || source.App == nil || source.Authority == nil || backup.Spec(source.App) == nil {
		return nil
	}
	data := map[string][]byte{
		sourceStanzaKey: []byte(naming.Stanza(source.App)),
		sourceTargetKey: []byte(backup.Target(restore)),
	}
	f := &ini{}
	f.section("global")
	f.set("log-level-console", "warn", "log-level-file", "off", "lock-path", "/tmp/pgbackrest-source", "process-max", "2")
	files := pgbackrestDir + "/" + sourcePrefix
	if s3 := backup.Spec(source.App).S3; s3 != nil {
		f.objectStore(source.App, s3, source.Store, files+storeCAKey)
		if source.Store.CA != "" {
			data[sourcePrefix+storeCAKey] = []byte(source.Store.CA)
		}
	} else {
		pair, ok := restoreCertificate(in)
		if !ok {
			return nil
		}
		f.repositoryHost(source.App, files)
		data[sourcePrefix+keyTLSCertificate], data[sourcePrefix+keyTLSKey] = pair.Certificate, pair.Key
		data[sourcePrefix+keyAuthority] = source.Authority.Data[keyAuthority]
	}
	data[sourceConfigKey] = []byte(f.String())
	return data
}

func restoreCertificate(in Input) (pki.Pair, bool) {
	source := in.Observed.Source
	want := pki.Request{Name: naming.RestoreClient(source.App)}
	if have := in.Observed.Secret(naming.BackupConfig(in.App)); have != nil {
		leaf := have.Data[sourcePrefix+keyTLSCertificate]
		if pki.RenewAt(leaf, source.Authority.Data[keyAuthority], want).After(in.Observed.Now) {
			return pki.Pair{Certificate: leaf, Key: have.Data[sourcePrefix+keyTLSKey]}, true
		}
	}
	ca := pki.Pair{Certificate: source.Authority.Data[keyAuthority], Key: source.Authority.Data[keyAuthorityKey]}
	pair, err := pki.Issue(ca, in.Observed.Entropy, want, in.Observed.Now)
	return pair, err == nil
}
