package db

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/dep"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/telemetry"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/testserver"
)

func open(t *testing.T, url string, retryFor time.Duration) *DB {
	t.Helper()
	d, err := Open(dep.Database, url, retryFor, telemetry.New("", ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func selectOne(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, "SELECT 1")
	return err
}

func TestPassing(t *testing.T) {
	pg := func(code string) error { return fmt.Errorf("query: %w", &pgconn.PgError{Code: code}) }
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"shutdown":             {pg("57P01"), true},
		"not yet accepting":    {pg("57P03"), true},
		"no primary any more":  {pg("25006"), true},
		"serialisation":        {pg("40001"), true},
		"connection exception": {pg("08006"), true},
		"unique violation":     {pg("23505"), false},
		"no such table":        {pg("42P01"), false},
		"wrong password":       {pg("28P01"), false},
		"broken connection":    {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		"attempt timed out":    {context.DeadlineExceeded, true},
		"no rows":              {pgx.ErrNoRows, false},
		"the shop's own":       {errors.New("nothing is ordered"), false},
	} {
		if got := Passing(c.err); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestARestartIsWaitedFor(t *testing.T) {
	server := testserver.Postgres(t)
	d := open(t, server.URL, 10*time.Second)
	if err := d.Do(t.Context(), "DATABASE_URL", selectOne); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	back := make(chan struct{})
	time.AfterFunc(500*time.Millisecond, func() { server.Start(); close(back) })
	if err := d.Do(t.Context(), "DATABASE_URL", selectOne); err != nil {
		t.Error(err)
	}
	<-back
}

func TestTheWaitIsBounded(t *testing.T) {
	d := open(t, "postgres://shop@127.0.0.1:1/shop", 700*time.Millisecond)
	began := time.Now()
	err := d.Do(t.Context(), "DATABASE_URL", selectOne)
	var unavailable *dep.Unavailable
	if !errors.As(err, &unavailable) || unavailable.Dependency != dep.Database {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestAPoolOfAFormerPrimaryIsLeft(t *testing.T) {
	server := testserver.Postgres(t)
	d := open(t, server.URL, 5*time.Second)
	// What an instance says that was demoted under the connection.
	if _, err := d.pool.Exec(t.Context(), "ALTER ROLE shop SET default_transaction_read_only = on"); err != nil {
		t.Fatal(err)
	}
	d.pool.Reset()
	attempts := 0
	err := d.Do(t.Context(), "DATABASE_URL", func(ctx context.Context, pool *pgxpool.Pool) error {
		attempts++
		_, err := pool.Exec(ctx, "CREATE TABLE IF NOT EXISTS written (a int)")
		if err != nil {
			// The failover ends: who connects from now on finds the new primary.
			endFailover(t, server.URL)
		}
		return err
	})
	if err != nil || attempts < 2 {
		t.Errorf("%v after %d attempts", err, attempts)
	}
}

func endFailover(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url+"&default_transaction_read_only=off")
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), "ALTER ROLE shop RESET default_transaction_read_only"); err != nil {
		t.Error(err)
	}
}

func TestASilentNodeIsGivenUp(t *testing.T) {
	server := testserver.Postgres(t)
	d := open(t, server.URL, 10*time.Second)
	if err := d.Do(t.Context(), "DATABASE_URL", selectOne); err != nil {
		t.Fatal(err)
	}
	server.Freeze()
	defer server.Thaw()
	attempts := 0
	began := time.Now()
	err := d.Do(t.Context(), "DATABASE_URL", func(ctx context.Context, pool *pgxpool.Pool) error {
		if attempts++; attempts > 1 {
			return nil
		}
		return selectOne(ctx, pool)
	})
	if took := time.Since(began); err != nil || took > attemptTimeout+time.Second {
		t.Errorf("%v after %s: one attempt must not take all the time", err, took)
	}
}

func TestOtherErrorsAreNotTriedAgain(t *testing.T) {
	d := open(t, testserver.Postgres(t).URL, 5*time.Second)
	attempts := 0
	err := d.Do(t.Context(), "DATABASE_URL", func(ctx context.Context, pool *pgxpool.Pool) error {
		attempts++
		_, err := pool.Exec(ctx, "SELECT * FROM nothing")
		return err
	})
	if err == nil || attempts != 1 {
		t.Errorf("%v after %d attempts", err, attempts)
	}
}

func TestAMissingDatabaseNamesItsVariable(t *testing.T) {
	var none *DB
	var unavailable *dep.Unavailable
	if err := none.Do(t.Context(), "DATABASE_RO_URL", selectOne); !errors.As(err, &unavailable) || unavailable.Variable != "DATABASE_RO_URL" {
		t.Errorf("got %v", err)
	}
}
