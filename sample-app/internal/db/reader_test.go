package db

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/dep"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/telemetry"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/testserver"
)

// reading is a reader of two real servers, each of which knows what it is.
func reading(t *testing.T) (reader *Reader, replica *testserver.Server, reads func() string) {
	t.Helper()
	primary, replica := testserver.Postgres(t), testserver.Postgres(t)
	metrics := telemetry.New("", "")
	open := func(name string, server *testserver.Server) *DB {
		d, err := Open(name, server.URL, 10*time.Second, metrics)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		if _, err := d.pool.Exec(t.Context(), "CREATE TABLE role AS SELECT '"+name+"'::text AS name"); err != nil {
			t.Fatal(err)
		}
		return d
	}
	reader = &Reader{Primary: open(dep.Database, primary), Replica: open(dep.DatabaseRO, replica)}
	return reader, replica, func() string {
		recorder := httptest.NewRecorder()
		metrics.Handler().ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
		return recorder.Body.String()
	}
}

// from is the name of the server that answers.
func from(t *testing.T, r *Reader) (name string) {
	t.Helper()
	err := r.Do(t.Context(), "DATABASE_RO_URL", func(ctx context.Context, pool *pgxpool.Pool) error {
		return pool.QueryRow(ctx, "SELECT name FROM role").Scan(&name)
	})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestReadsComeFromTheReplicaWhileItAnswers(t *testing.T) {
	reader, replica, metrics := reading(t)
	if got := from(t, reader); got != dep.DatabaseRO {
		t.Errorf("read from %s", got)
	}
	replica.Stop()
	for range 3 {
		if got := from(t, reader); got != dep.Database {
			t.Errorf("read from %s, which is away", got)
		}
	}
	if until := reader.restsUntil.Load(); until <= time.Now().UnixNano() {
		t.Error("a replica that is away is asked again at once")
	}
	for _, want := range []string{`shop_database_reads_total{from="replica"} 1`, `shop_database_reads_total{from="primary"} 3`} {
		if !strings.Contains(metrics(), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	replica.Start()
	reader.restsUntil.Store(0)
	if got := from(t, reader); got != dep.DatabaseRO {
		t.Errorf("the replica is back, but %s answers", got)
	}
}

func TestASilentReplicaIsWaitedForOnce(t *testing.T) {
	reader, replica, _ := reading(t)
	from(t, reader)
	replica.Freeze()
	defer replica.Thaw()
	reader.Replica.pool.Reset() // backends are processes of their own, and still answer
	began := time.Now()
	for range 5 {
		if got := from(t, reader); got != dep.Database {
			t.Errorf("read from %s, which is silent", got)
		}
	}
	if took := time.Since(began); took > attemptTimeout+2*time.Second {
		t.Errorf("five reads took %s: each waited for the silent replica", took)
	}
}

func TestAReplicaThatLagsBehindAMigrationIsPassedOver(t *testing.T) {
	reader, _, _ := reading(t)
	if _, err := reader.Replica.pool.Exec(t.Context(), "DROP TABLE role"); err != nil {
		t.Fatal(err)
	}
	if got := from(t, reader); got != dep.Database {
		t.Errorf("read from %s", got)
	}
	if reader.restsUntil.Load() != 0 {
		t.Error("a replica that answers is left alone for one table")
	}
}

func TestNothingFoundIsAnAnswer(t *testing.T) {
	reader, _, metrics := reading(t)
	err := reader.Do(t.Context(), "DATABASE_RO_URL", func(ctx context.Context, pool *pgxpool.Pool) error {
		var name string
		return pool.QueryRow(ctx, "SELECT name FROM role WHERE false").Scan(&name)
	})
	if !errors.Is(err, pgx.ErrNoRows) || strings.Contains(metrics(), `from="primary"`) {
		t.Errorf("%v, and the primary was asked, too", err)
	}
}
