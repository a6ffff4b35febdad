package pgbouncer

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// world is a database with two poolers, and a client of the first.
func world(t *testing.T) (client *pgx.Conn, first, second string) {
	t.Helper()
	server := postgres(t)
	first, second = pooler(t, server), pooler(t, server)
	return connect(t, first), first, second
}

func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	_, port, _ := net.SplitHostPort(address)
	conn, err := pgx.Connect(t.Context(), url(port, "app"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// backend is the process of the server that answers.
func backend(t *testing.T, from querier) (pid int) {
	t.Helper()
	if err := from.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

var consoles = &Client{Database: "app"}

func TestReconnectLeavesConnectionsBetweenTransactions(t *testing.T) {
	client, first, second := world(t)
	before := backend(t, client)
	if again := backend(t, client); again != before {
		t.Fatalf("the pool took another connection by itself: %d, %d", before, again)
	}
	tx, err := client.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	during := backend(t, tx)
	if err := consoles.Reconnect(t.Context(), []string{first, second}, password); err != nil {
		t.Fatal(err)
	}
	if after := backend(t, tx); after != during {
		t.Errorf("a transaction was moved from %d to %d", during, after)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Errorf("a transaction was cut off: %v", err)
	}
	if after := backend(t, client); after == during {
		t.Errorf("the pool stays with %d", after)
	}
}

func TestPauseHoldsBackAndResumeLetsGo(t *testing.T) {
	client, first, second := world(t)
	both := []string{first, second}
	for range 2 { // an action may be carried out twice
		if err := consoles.Pause(t.Context(), both, password); err != nil {
			t.Fatal(err)
		}
	}
	answered := make(chan error, 1)
	go func() {
		_, err := client.Exec(t.Context(), "SELECT 1")
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatalf("a statement went through a pause: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	for range 2 {
		if err := consoles.Resume(t.Context(), both, password); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-answered:
		if err != nil {
			t.Errorf("the statement that waited failed: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the statement that waited is not answered after the resume")
	}
}

func TestNothingStaysPausedWhenAPauseFails(t *testing.T) {
	client, first, second := world(t)
	other := connect(t, second)

	t.Run("a transaction does not end", func(t *testing.T) {
		tx, err := client.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(t.Context()) }()
		backend(t, tx)
		err = consoles.Pause(t.Context(), []string{first, second}, password)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want a deadline", err)
		}
		serves(t, other)
		if err := tx.Commit(t.Context()); err != nil {
			t.Errorf("the transaction was cut off: %v", err)
		}
		serves(t, client)
	})
	t.Run("a pod is away", func(t *testing.T) {
		if err := consoles.Pause(t.Context(), []string{first, "127.0.0.1:1", second}, password); err == nil {
			t.Error("no error")
		}
		serves(t, client)
		serves(t, other)
	})
	t.Run("the caller gave up", func(t *testing.T) {
		tx, err := client.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(t.Context()) }()
		backend(t, tx)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := consoles.Pause(ctx, []string{first, second}, password); err == nil {
			t.Error("no error")
		}
		serves(t, other)
	})
}

func serves(t *testing.T, client *pgx.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := client.Exec(ctx, "SELECT 1"); err != nil {
		t.Errorf("a pooler that was to be let go does not answer: %v", err)
	}
}

func TestErrorsNameThePodAndNoPassword(t *testing.T) {
	_, first, _ := world(t)
	err := consoles.Reconnect(t.Context(), []string{first, "127.0.0.1:1"}, "wrong-"+password)
	if err == nil || !strings.Contains(err.Error(), first) || !strings.Contains(err.Error(), "127.0.0.1:1") ||
		strings.Contains(err.Error(), password) {
		t.Errorf("got %v", err)
	}
}
