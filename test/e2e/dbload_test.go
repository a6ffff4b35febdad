package e2e

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// writers write to a database until they are stopped, one row in each transaction, and keep a record of every
// commit that was acknowledged. After the fault all of these must be there.
type writers struct {
	w    *world
	dsn  string
	stop context.CancelFunc
	// patience is how long a writer waits for a commit.
	patience time.Duration
	done     sync.WaitGroup

	mu     sync.Mutex
	acks   []ack
	errors map[string]int
}

type ack struct {
	id int64
	at time.Time
}

// writePause is between two transactions of a writer. Gaps shorter than a few of these are no outages.
const writePause = 10 * time.Millisecond

// databaseURI is the way to a database: as the app's own, but by the Service's address, because the names of
// the cluster mean nothing on this machine.
func (w *world) databaseURI(name string) string {
	w.Helper()
	app := w.app(name)
	secret, service := &corev1.Secret{}, &corev1.Service{}
	w.must(w.read(naming.DatabaseBinding(app), secret))
	w.must(w.read(naming.DatabaseReadWrite(app), service))
	return fmt.Sprintf("postgres://%s:%s@%s/app?sslmode=prefer&connect_timeout=2",
		secret.Data["username"], secret.Data["password"], net.JoinHostPort(service.Spec.ClusterIP, "5432"))
}

// connectSoon connects as soon as the way is there: a node's proxy learns of a new Service a moment after
// everybody else.
func (w *world) connectSoon(config *pgx.ConnConfig) (conn *pgx.Conn) {
	w.Helper()
	w.eventually(30*time.Second, "the nodes know the way to the database", func() (err error) {
		conn, err = pgx.ConnectConfig(w.ctx, config)
		return err
	})
	return conn
}

// startWriters starts n writers to the database at the address. A commit that takes longer than two seconds is
// none: its writer gives up, as an app would.
func (w *world) startWriters(dsn string, n int) *writers {
	w.Helper()
	return w.startPatientWriters(dsn, n, 2*time.Second)
}

func (w *world) startPatientWriters(dsn string, n int, patience time.Duration) *writers {
	w.Helper()
	config, err := pgx.ParseConfig(dsn)
	w.must(err)
	conn := w.connectSoon(config)
	_, err = conn.Exec(w.ctx, "CREATE TABLE IF NOT EXISTS acknowledged (id bigint PRIMARY KEY, at timestamptz DEFAULT now())")
	w.must(err)
	var first int64
	w.must(conn.QueryRow(w.ctx, "SELECT coalesce(max(id), 0) + 1 FROM acknowledged").Scan(&first))
	w.must(conn.Close(w.ctx))
	ctx, stop := context.WithCancel(w.ctx)
	all := &writers{w: w, dsn: dsn, stop: stop, errors: map[string]int{}, patience: patience}
	for i := range n {
		all.done.Go(func() { all.write(ctx, first+int64(i)*1_000_000_000) })
	}
	w.Cleanup(func() { stop(); all.done.Wait() })
	w.eventually(time.Minute, "every writer writes", func() error {
		all.mu.Lock()
		defer all.mu.Unlock()
		if len(all.acks) < 5*n {
			return fmt.Errorf("%d commits so far; %v", len(all.acks), all.errors)
		}
		return nil
	})
	return all
}

func (a *writers) write(ctx context.Context, id int64) {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.Background())
		}
	}()
	for ctx.Err() == nil {
		try, cancel := context.WithTimeout(ctx, a.patience)
		err := error(nil)
		if conn == nil || conn.IsClosed() {
			conn, err = pgx.Connect(try, a.dsn)
		}
		if err == nil {
			_, err = conn.Exec(try, "INSERT INTO acknowledged (id) VALUES ($1)", id)
		}
		cancel()
		a.mu.Lock()
		if err == nil {
			a.acks = append(a.acks, ack{id, time.Now()})
		} else if ctx.Err() == nil {
			a.errors[fmt.Sprintf("%.60v", err)]++
		}
		a.mu.Unlock()
		if err != nil && conn != nil { // the primary may be another one by now: what is open is given up
			_ = conn.Close(context.Background())
			conn = nil
		}
		id++
		time.Sleep(writePause)
	}
}

// failed is how many transactions failed so far.
func (a *writers) failed() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, count := range a.errors {
		n += count
	}
	return n
}

// last is when the last commit was acknowledged.
func (a *writers) last() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.acks[len(a.acks)-1].at
}

// gap is the longest time without a commit since a time. It waits until commits come again.
func (a *writers) gap(since time.Time, within time.Duration) time.Duration {
	a.w.Helper()
	a.w.eventually(within, "writes are acknowledged again and go on", func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.acks) == 0 || time.Since(a.acks[len(a.acks)-1].at) > 500*time.Millisecond {
			return fmt.Errorf("no commit for a while; %v", a.errors)
		}
		return nil
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	last, longest := since, time.Duration(0)
	for _, ack := range a.acks {
		if ack.at.Before(since) {
			continue
		}
		longest = max(longest, ack.at.Sub(last))
		last = ack.at
	}
	return longest
}

// finish stops the writers and counts the acknowledged commits that are not there.
func (a *writers) finish() (acknowledged, lost int) {
	a.w.Helper()
	a.stop()
	a.done.Wait()
	var ids []int64
	a.w.eventually(time.Minute, "the rows can be read", func() error {
		conn, err := pgx.Connect(a.w.ctx, a.dsn)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(context.Background()) }()
		rows, err := conn.Query(a.w.ctx, "SELECT id FROM acknowledged ORDER BY id")
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	for _, ack := range a.acks {
		if _, found := slices.BinarySearch(ids, ack.id); !found {
			lost++
		}
	}
	return len(a.acks), lost
}
