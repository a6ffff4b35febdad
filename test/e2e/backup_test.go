package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rotation"
)

// backupsWithin is how long the first backup, and the log's way into the repository, may take: a segment is
// closed after a minute.
const backupsWithin = 4 * time.Minute

// TestBackup loses rows by mistake and gets them back in a new app, out of a backup on a volume and the log
// up to the moment before. The roles have taken turns before that, so the copy has others than a new app's.
func TestBackup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.bare("old", 0)
	old.Spec.Database = postgres(2)
	old.Spec.Database.Postgres.Backup = &v1alpha1.BackupSpec{
		Volume: &v1alpha1.StorageSpec{Size: resource.MustParse("96Mi"), StorageClassName: new("sized")}}
	w.create(old)
	w.waitReady("old")
	w.rotate("old", "app,replication,superuser:one", rotation.App, rotation.Replication, rotation.Superuser)
	w.superuser("old", w.passwords("old")["SUPERUSER_PASSWORD"], "GRANT pg_monitor TO app_b")
	w.restoresTo("old", "new", func(made *v1alpha1.ScalableApp) { // and what is restored is killed in the middle of it
		t.Logf("killed while it replayed the log: %v", w.killMaker(made, "postgres -D /var/lib/postgresql/data/pgdata.restore"))
	})
	if has := w.sql("new", "SELECT session_user || ' ' || pg_has_role(session_user, 'pg_monitor', 'member')"); has != "app true" {
		t.Errorf("the new app's user, and whether it has what the old one was granted: %s", has)
	}
	w.changeApp("new", func(app *v1alpha1.ScalableApp) { app.Spec.Database.Postgres.Instances = 2 })
	w.waitReady("new") // its replica logs in with the new app's password
	w.fillsAndGrows("old")

	t.Log("a time before the first backup is refused, with the times that can be had")
	early := w.bare("early", 0)
	early.Spec.Database = postgres(1)
	before := metav1.NewTime(time.Now().Add(-24 * time.Hour).Truncate(time.Second))
	early.Spec.Database.Postgres.Restore = &v1alpha1.RestoreSpec{FromApp: "old", Time: &before}
	w.create(early)
	from := w.app("old").Status.Database.Backup.RestorableFrom.UTC().Format(time.RFC3339)
	w.waitStalled("early", v1alpha1.ReasonRestoreImpossible, "old can be restored to times from "+from)
	if n := len(w.podsOf(map[string]string{naming.LabelInstance: "early"})); n > 0 {
		t.Errorf("%d pods of an app that cannot be restored", n)
	}
}

// fillsAndGrows writes more log than the volume of the backups holds: it is said, nothing is lost, and a larger
// volume mends it, with no pod made anew.
func (w *world) fillsAndGrows(name string) {
	w.Helper()
	app := w.app(name)
	pods := func() string {
		var uids []string
		for _, component := range []string{naming.ComponentDatabase, naming.ComponentBackup} {
			for _, pod := range w.podsOf(naming.Selector(app, component)) {
				uids = append(uids, string(pod.UID))
			}
		}
		return strings.Join(uids, " ")
	}
	before := pods()
	w.sql(name, `CREATE TABLE noise AS SELECT string_agg(encode(sha512(random()::text::bytea), 'hex'), '') AS body
		FROM generate_series(1, 1800000) i GROUP BY i % 450000`) // some 230 MB that hardly get smaller
	w.eventually(backupsWithin, "the volume of the backups is full", func() error {
		return isCondition(w.app(name), v1alpha1.ConditionBackupReady, metav1.ConditionFalse, v1alpha1.ReasonRepositoryFull)
	})
	w.changeApp(name, func(app *v1alpha1.ScalableApp) {
		app.Spec.Database.Postgres.Backup.Volume.Size = resource.MustParse("512Mi")
	})
	w.eventually(backupsWithin, "with a larger one the log gets there again", func() error {
		return isCondition(w.app(name), v1alpha1.ConditionBackupReady, metav1.ConditionTrue, "")
	})
	if after := pods(); after != before {
		w.Errorf("pods were made anew: %s, before: %s", after, before)
	}
}

// TestTLS asks a database for TLS as the app is told to, and renews its certificate under an open connection.
func TestTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := w.bare("secure", 0)
	app.Spec.Database = postgres(1)
	w.create(app)
	w.waitReady("secure")
	bound := &corev1.Secret{}
	w.must(w.read("secure-db-app", bound))
	if uri := string(bound.Data["uri"]); !strings.HasSuffix(uri, "?sslmode=verify-full&sslrootcert=/bindings/database/ca.crt") {
		t.Errorf("the app is not told to ask for TLS: …%s", uri[strings.LastIndex(uri, "?"):])
	}
	w.renewsTLS("secure-db-tls", w.databaseURI("secure"), bound)
}

// renewsTLS has a certificate made anew under an open connection.
func (w *world) renewsTLS(secret, uri string, bound *corev1.Secret) {
	w.Helper()
	conn, first := w.connectTLS(uri, bound)
	certificate := &corev1.Secret{}
	w.must(w.read(secret, certificate))
	w.must(api.Delete(w.ctx, certificate))
	w.eventually(3*time.Minute, "another certificate is served", func() error {
		other, now := w.connectTLS(uri, bound)
		defer func() { _ = other.Close(w.ctx) }()
		if now == first {
			return fmt.Errorf("it is still %s", now)
		}
		return nil
	})
	var one int
	w.must(conn.QueryRow(w.ctx, "SELECT 1").Scan(&one)) // the old connection lives: nothing was restarted
}

// connectTLS connects by the app's binding, sure of the server, and returns the serial number of its certificate.
func (w *world) connectTLS(uri string, bound *corev1.Secret) (*pgx.Conn, string) {
	w.Helper()
	config, err := pgx.ParseConfig(uri)
	w.must(err)
	serial := ""
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bound.Data["ca.crt"])
	config.Fallbacks = nil
	config.TLSConfig = &tls.Config{RootCAs: pool, ServerName: string(bound.Data["host"]), VerifyConnection: func(s tls.ConnectionState) error {
		serial = s.PeerCertificates[0].SerialNumber.String()
		return nil
	}}
	conn := w.connectSoon(config)
	w.Cleanup(func() { _ = conn.Close(w.ctx) })
	return conn, serial
}

// restoresTo makes rows in one app, spoils them, and has them back in another, whatever is done to that one when
// it was created.
func (w *world) restoresTo(source, target string, disturb func(made *v1alpha1.ScalableApp)) {
	w.Helper()
	w.waitReady(source)
	w.sql(source, `CREATE TABLE kept AS SELECT i AS id, md5(i::text) AS body FROM generate_series(1, 100000) i`)
	began := time.Now()
	w.eventually(backupsWithin, "the first backup is made", func() error {
		return isCondition(w.app(source), v1alpha1.ConditionBackupReady, metav1.ConditionTrue, "")
	})
	w.Logf("the first backup: %.0f s", time.Since(began).Seconds())

	w.changeApp(source, func(app *v1alpha1.ScalableApp) { annotate(app, naming.AnnotationBackup, "e2e:diff") })
	w.eventually(backupsWithin, "the backup that was asked for is made", func() error {
		if b := w.app(source).Status.Database.Backup; b.HandledRequest != "e2e:diff" || !strings.HasSuffix(b.LastBackup, "D") {
			return fmt.Errorf("%+v", *b)
		}
		return nil
	})

	w.sql(source, `INSERT INTO kept SELECT i, md5(i::text) FROM generate_series(100001, 150000) i`)
	want := w.sql(source, checksum)
	at := metav1.NewTime(time.Now().Add(time.Second).Truncate(time.Second).Add(time.Second))
	time.Sleep(time.Until(at.Add(time.Second)))
	w.sql(source, `DELETE FROM kept WHERE id % 3 = 0`)
	if w.sql(source, checksum) == want {
		w.Fatal("the mistake changed nothing")
	}

	app := w.bare(target, 0)
	app.Spec.Database = postgres(1)
	app.Spec.Database.Postgres.Restore = &v1alpha1.RestoreSpec{FromApp: source, Time: &at}
	began = time.Now()
	w.create(app)
	disturb(app)
	w.waitReady(target)
	w.Logf("restored in %.0f s, with the wait for the log up to %s", time.Since(began).Seconds(), at.UTC().Format(time.RFC3339))
	if got := w.sql(target, checksum); got != want {
		w.Errorf("%s has %s, want %s", target, got, want)
	}
	c := meta.FindStatusCondition(w.app(source).Status.Conditions, v1alpha1.ConditionDatabaseReady)
	if c == nil || c.Status != metav1.ConditionTrue {
		w.Errorf("the source is not as it was: %+v", c)
	}
}

const checksum = `SELECT count(*) || ' rows, ' || md5(string_agg(id || body, ',' ORDER BY id)) FROM kept`

// sql runs a statement as the app's user and returns its first value, if it has one.
func (w *world) sql(name, statement string) string {
	w.Helper()
	var conn *pgx.Conn
	w.eventually(30*time.Second, "the way to the database is open", func() (err error) { // a node takes up a new Service in its time
		conn, err = pgx.Connect(w.ctx, w.databaseURI(name))
		return err
	})
	defer func() { _ = conn.Close(w.ctx) }()
	return w.first(conn, statement)
}

// first is the first value that a statement returns, if it returns any.
func (w *world) first(conn *pgx.Conn, statement string) (value string) {
	w.Helper()
	rows, err := conn.Query(w.ctx, statement)
	w.must(err)
	for rows.Next() {
		w.must(rows.Scan(&value))
	}
	w.must(rows.Err())
	return value
}
