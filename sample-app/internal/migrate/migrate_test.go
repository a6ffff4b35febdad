package migrate

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/testserver"
)

var quiet = slog.New(slog.DiscardHandler)

func count(t *testing.T, url, table string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestManyAtOnceAndAgainMigrateOnce(t *testing.T) {
	server := testserver.Postgres(t)
	server.Stop() // migrate may well be there before its database
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if err := Run(t.Context(), server.URL, 30*time.Second, quiet); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	server.Start()
	wg.Wait()
	if err := Run(t.Context(), server.URL, time.Second, quiet); err != nil {
		t.Error(err)
	}
	if n := count(t, server.URL, "schema_migrations"); n != 2 {
		t.Errorf("%d migrations are recorded, want 2", n)
	}
	if n := count(t, server.URL, "products"); n != 18 {
		t.Errorf("%d products, want 18", n)
	}
}

func TestAFailedMigrationLeavesNothing(t *testing.T) {
	server := testserver.Postgres(t)
	broken := []migration{
		{1, "0001_good", "CREATE TABLE good (a int)"},
		{2, "0002_broken", "CREATE TABLE half (a int); SELECT * FROM nothing"},
	}
	err := apply(t.Context(), server.URL, broken, quiet)
	if err == nil || !strings.Contains(err.Error(), "0002_broken") {
		t.Fatalf("got %v", err)
	}
	if n := count(t, server.URL, "schema_migrations"); n != 1 {
		t.Errorf("%d migrations are recorded, want 1", n)
	}
	if n := count(t, server.URL, "pg_class WHERE relname = 'half'"); n != 0 {
		t.Error("a table of the failed migration is there")
	}
	broken[1].sql = "CREATE TABLE half (a int)"
	if err := apply(t.Context(), server.URL, broken, quiet); err != nil {
		t.Errorf("after it was mended: %v", err)
	}
}

func TestTheWaitIsBounded(t *testing.T) {
	began := time.Now()
	err := Run(t.Context(), "postgres://shop@127.0.0.1:1/shop", 500*time.Millisecond, quiet)
	if err == nil || time.Since(began) > 3*time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
}

func TestNumbersHaveNoGaps(t *testing.T) {
	for name, fs := range map[string]fstest.MapFS{
		"gap":      {"sql/0001_a.sql": {}, "sql/0003_b.sql": {}},
		"double":   {"sql/0001_a.sql": {}, "sql/0001_b.sql": {}},
		"nameless": {"sql/first.sql": {}},
		"empty":    {},
	} {
		if _, err := load(fs); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
