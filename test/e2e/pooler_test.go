package e2e

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/pgbouncer"
)

// poolerURI is the way to a database through its pooler.
func (w *world) poolerURI(name, kind string) string {
	w.Helper()
	app := w.app(name)
	secret, service := &corev1.Secret{}, &corev1.Service{}
	w.must(w.read(naming.DatabaseCredentials(app), secret))
	w.must(w.read(naming.Pooler(app, kind), service))
	user, key := "app", "APP_PASSWORD"
	if kind == naming.PoolerReadOnly {
		user, key = "app_ro", "APP_RO_PASSWORD"
	}
	return fmt.Sprintf("postgres://%s:%s@%s/app?sslmode=require&connect_timeout=30",
		user, secret.Data[key], net.JoinHostPort(service.Spec.ClusterIP, "5432"))
}

// patientWriters are more than the pool has connections.
const patientWriters = 12

// Writers through the pooler outlive a change of primary: in a planned one they wait and none fails, in a kill
// they go on as soon as there is a new primary. A pooler that somebody paused and forgot resumes by itself.
func TestPooler(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := w.bare("shop", 1)
	app.Spec.Database = postgres(2)
	app.Spec.Database.Postgres.Pooler = &v1alpha1.PoolerSpec{PoolSize: 5}
	w.create(app)
	status := w.waitReady("shop").Status
	if want := "shop-db-pooler-rw." + w.namespace + ".svc:5432"; status.Endpoints.DatabaseReadWrite != want {
		t.Errorf("the endpoint is %s, want %s", status.Endpoints.DatabaseReadWrite, want)
	}
	checkBindings(w)
	checkMetrics(w, "shop")
	f := &failovers{world: w, name: "shop"}
	checkPoolerTLS(f)
	// More than the pool has connections, and as patient as the pooler is.
	load := w.startPatientWriters(w.poolerURI("shop", naming.PoolerReadWrite), patientWriters, 30*time.Second)

	t.Logf("pooler | fault | seconds without writes | transactions that failed")
	for _, fault := range faults {
		switch fault.name {
		case "planned switchover", "pod force-deleted", "container killed":
		default:
			continue
		}
		primary, failed := f.settled(), load.failed()
		began := time.Now()
		if mend := fault.hurt(f, primary); mend != nil {
			defer mend()
		}
		f.takenOver(primary, load)
		checkTold(f)
		w.waitReady("shop")
		gap := load.gap(began, time.Minute)
		failed = load.failed() - failed
		t.Logf("pooler | %s", row(fault.name, seconds(gap), failed))
		// After 18 s without a new primary clients are let go, and then some do fail.
		if fault.name == "planned switchover" && failed > 0 && gap < 18*time.Second {
			t.Errorf("%d transactions failed in a planned switchover; all were to wait: %v", failed, load.errors)
		}
	}
	checkForgottenPause(f, load)
	acknowledged, lost := load.finish()
	t.Logf("pooler | %d commits were acknowledged, %d of them are lost", acknowledged, lost)
	if lost > 0 {
		t.Errorf("%d of %d acknowledged commits are lost", lost, acknowledged)
	}
}

// checkBindings: the app is led through the pooler, and may go past it.
func checkBindings(w *world) {
	w.Helper()
	secret := &corev1.Secret{}
	w.must(w.read(naming.DatabaseBinding(w.app("shop")), secret))
	for key, want := range map[string]string{
		"host": "shop-db-pooler-rw", "host-ro": "shop-db-pooler-ro", "host-direct": "shop-db-rw",
	} {
		if got := string(secret.Data[key]); got != want+"."+w.namespace+".svc" {
			w.Errorf("the binding's %s is %s", key, got)
		}
	}
}

// checkPoolerTLS: both sides of the poolers are encrypted, the app knows the pooler by its name, and a certificate
// made anew reaches it without a restart.
func checkPoolerTLS(f *failovers) {
	w := f.world
	w.Helper()
	secret := &corev1.Secret{}
	w.must(w.read(naming.DatabaseBinding(w.app("shop")), secret))
	for _, key := range []string{"uri", "uri-ro", "uri-direct"} {
		if uri := string(secret.Data[key]); !strings.HasSuffix(uri, "?sslmode=verify-full&sslrootcert=/bindings/database/ca.crt") {
			w.Errorf("the app is not told to ask for TLS by %s: …%s", key, uri[strings.LastIndex(uri, "?"):])
		}
	}
	uri := w.poolerURI("shop", naming.PoolerReadWrite)
	conn, _ := w.connectTLS(uri, secret)
	_, err := conn.Exec(w.ctx, "SELECT 1")
	w.must(err)
	// The app's role itself does not see it: it acts as the owner.
	w.must(f.eachMember(`SELECT coalesce(bool_and(ssl), true)::text FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
		WHERE usename IN ('app', 'app_ro', 'pooler')`, "true"))
	w.renewsTLS(naming.DatabaseTLS(w.app("shop")), uri, secret)
}

// checkTold waits until the poolers were told of the primary that there is now.
func checkTold(f *failovers) {
	f.Helper()
	f.eventually(time.Minute, "the poolers were told of the primary", func() error {
		record := &corev1.ConfigMap{}
		if err := f.read(naming.DatabaseLeader(f.app(f.name)), record); err != nil {
			return err
		}
		for _, kind := range []string{naming.PoolerReadWrite, naming.PoolerReadOnly} {
			told, err := f.told(kind)
			if err != nil {
				return err
			}
			want := fmt.Sprintf("primary %s term %s", record.Annotations["leader"], record.Annotations["transitions"])
			if !strings.HasPrefix(told, want) {
				return fmt.Errorf("%s was told %q, want %q", kind, told, want)
			}
		}
		return nil
	})
}

// checkForgottenPause: what happens when an operator dies between a pause and its end.
func checkForgottenPause(f *failovers, load *writers) {
	f.Helper()
	secret := &corev1.Secret{}
	f.must(f.read(naming.DatabaseCredentials(f.app(f.name)), secret))
	var addresses []string
	for _, pod := range f.podsOf(naming.PoolerSelector(f.app(f.name), naming.PoolerReadWrite)) {
		if address := components.PoolerAddress(&pod); address != "" {
			addresses = append(addresses, address)
		}
	}
	consoles := &pgbouncer.Client{Database: components.PoolerDatabase, Lookup: components.PoolerLookup}
	began := time.Now()
	f.must(consoles.Pause(context.WithoutCancel(f.ctx), addresses, string(secret.Data["POOLER_ADMIN_PASSWORD"])))
	f.eventually(10*time.Second, "nobody writes", func() error {
		if last := load.last(); time.Since(last) < time.Second {
			return fmt.Errorf("there was a commit %s ago", time.Since(last))
		}
		return nil
	})
	gap := load.gap(began, 90*time.Second)
	f.Logf("pooler | a pause that nobody ended lasted %s", seconds(gap))
	if gap > 45*time.Second {
		f.Errorf("a pause that nobody ended lasted %s", gap)
	}
}

// told is what the pods of a pooler were last told.
func (f *failovers) told(kind string) (string, error) {
	pooler := &appsv1.Deployment{}
	err := f.read(naming.Pooler(f.app(f.name), kind), pooler)
	return pooler.Annotations[naming.AnnotationPoolerTold], err
}
