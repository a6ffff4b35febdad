package e2e

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rotation"
)

// rotationWithin is how long a rotation may take: most of it is the rollout of the app.
const rotationWithin = 5 * time.Minute

// Passwords are exchanged under load: no request fails, no database pod restarts, and who had an old password
// is let in no more.
func TestRotation(t *testing.T) {
	w := newWorld(t)
	app := w.sample()
	app.Spec.Cache = nil
	w.create(app)
	w.waitReady("shop")
	before, lives := w.passwords("shop"), (&failovers{world: w, name: "shop"}).lives()
	traffic := w.startTraffic("shop", w.rate(), true)

	w.rotate("shop", "app,replication,superuser:one", rotation.App, rotation.Replication, rotation.Superuser)
	after := w.passwords("shop")
	w.letsIn("postgres", after["SUPERUSER_PASSWORD"])
	w.refuses("postgres", before["SUPERUSER_PASSWORD"])
	w.letsIn("app_b", after["APP_B_PASSWORD"])
	w.letsIn("app_ro_b", after["APP_RO_B_PASSWORD"])
	w.refuses("app", before["APP_PASSWORD"])
	w.refuses("app_ro", before["APP_RO_PASSWORD"])
	if streams := w.superuser("shop", after["SUPERUSER_PASSWORD"], "SELECT string_agg(DISTINCT usename || ' ' || state, ',') FROM pg_stat_replication"); streams != "standby_b streaming" {
		t.Errorf("replication: %s", streams)
	}
	shut := "SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_authid WHERE rolname !~ '^pg_' AND rolpassword IS NULL"
	if roles := w.superuser("shop", after["SUPERUSER_PASSWORD"], shut); roles != "app,app_owner,app_ro,rewind,standby" {
		t.Errorf("shut out are %s", roles)
	}
	traffic.finish()
	w.stays(time.Second, "no database pod is restarted", func() error {
		if now := (&failovers{world: w, name: "shop"}).lives(); fmt.Sprint(now) != fmt.Sprint(lives) {
			return fmt.Errorf("before %v, now %v", lives, now)
		}
		return nil
	})
}

// The same with a pooler between, there and back again: PgBouncer learns of each role when it comes.
func TestRotationThroughPooler(t *testing.T) {
	w := newWorld(t)
	app := w.sample()
	app.Spec.Cache = nil
	app.Spec.Database.Postgres.Pooler = &v1alpha1.PoolerSpec{Instances: 1, PoolSize: 10}
	w.create(app)
	w.waitReady("shop")
	traffic := w.startTraffic("shop", w.rate(), true)
	for _, turn := range []struct{ request, user, key string }{
		{"app:one", "app_b", "APP_B_PASSWORD"}, {"app:two", "app", "APP_PASSWORD"},
	} {
		before := w.binding("shop")
		w.rotate("shop", turn.request, rotation.App)
		conn, err := w.connectAs(naming.Pooler(w.app("shop"), naming.PoolerReadWrite), turn.user, w.passwords("shop")[turn.key])
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close(w.ctx)
		w.refuses(before["username"], before["password"])
	}
	traffic.finish()
}

// rotate asks for a rotation and waits for its end; it prints how long each phase took.
func (w *world) rotate(name, request string, names ...string) {
	w.Helper()
	began := time.Now()
	w.changeApp(name, func(app *v1alpha1.ScalableApp) {
		metav1.SetMetaDataAnnotation(&app.ObjectMeta, naming.AnnotationRotate, request)
	})
	_, token, _ := strings.Cut(request, ":")
	since := map[string]string{}
	w.eventually(rotationWithin, "the rotation "+request+" is done", func() error {
		app, waits := w.app(name), []string{}
		for _, c := range app.Status.Credentials {
			if !slices.Contains(names, c.Name) {
				continue
			}
			if phases := since[c.Name]; !strings.Contains(phases, c.Phase) && c.Token == token {
				since[c.Name] += fmt.Sprintf(" %s %s", c.Phase, seconds(time.Since(began)))
			}
			if c.Token != token || c.Phase != rotation.PhaseDone {
				waits = append(waits, fmt.Sprintf("%s %s: %s", c.Name, c.Phase, c.Message))
			}
		}
		if len(waits) > 0 || len(app.Status.Credentials) < len(names) {
			return fmt.Errorf("%s; %+v", strings.Join(waits, "; "), app.Status.Rotation)
		}
		return nil
	})
	for _, what := range names {
		w.Logf("rotation | %s | %s", row(request, what), strings.TrimSpace(since[what]))
	}
	w.waitReady(name)
}

// passwords are those that the database's Secret holds.
func (w *world) passwords(name string) map[string]string {
	w.Helper()
	return w.secret(naming.DatabaseCredentials(w.app(name)))
}

func (w *world) binding(name string) map[string]string {
	w.Helper()
	return w.secret(naming.DatabaseBinding(w.app(name)))
}

func (w *world) secret(name string) map[string]string {
	w.Helper()
	secret, out := &corev1.Secret{}, map[string]string{}
	w.must(w.read(name, secret))
	for key, value := range secret.Data {
		out[key] = string(value)
	}
	return out
}

// connectAs logs in to the app's database by a Service.
func (w *world) connectAs(service, user, password string) (*pgx.Conn, error) {
	w.Helper()
	s := &corev1.Service{}
	w.must(w.read(service, s))
	return pgx.Connect(w.ctx, fmt.Sprintf("postgres://%s:%s@%s/app?sslmode=prefer&connect_timeout=5", user, password, net.JoinHostPort(s.Spec.ClusterIP, "5432")))
}

// letsIn and refuses ask every member.
func (w *world) letsIn(user, password string) { w.Helper(); w.logins(user, password, true) }

func (w *world) refuses(user, password string) { w.Helper(); w.logins(user, password, false) }

func (w *world) logins(user, password string, wanted bool) {
	w.Helper()
	for _, pod := range w.podsOf(naming.Selector(w.app("shop"), naming.ComponentDatabase)) {
		dsn := fmt.Sprintf("postgres://%s:%s@%s/app?sslmode=prefer&connect_timeout=5", user, password, net.JoinHostPort(pod.Status.PodIP, "5432"))
		if in, err := w.answersLogin(dsn); in != wanted {
			w.Errorf("%s lets %s in: %v (%v)", pod.Name, user, in, err)
		}
	}
}

// answersLogin asks until there is an answer: in, or refused with what was said. No answer in time is none.
func (w *world) answersLogin(dsn string) (in bool, refused error) {
	w.Helper()
	w.eventually(time.Minute, "the login is answered", func() error {
		conn, err := pgx.Connect(w.ctx, dsn)
		var said *pgconn.PgError
		switch {
		case err == nil:
			in = true
			return conn.Close(w.ctx)
		case errors.As(err, &said) && strings.HasPrefix(said.Code, "28"): // invalid authorization
			refused = err
			return nil
		default:
			return err
		}
	})
	return in, refused
}

// superuser has the primary carry out a statement of the superuser, and returns its first value, if it has one.
func (w *world) superuser(name, password, statement string) string {
	w.Helper()
	conn, err := w.connectAs(naming.DatabaseReadWrite(w.app(name)), "postgres", password)
	w.must(err)
	defer func() { _ = conn.Close(w.ctx) }()
	return w.first(conn, statement)
}
