// Package db is the shop's way to PostgreSQL: one pool for writes, one for reads, and patience in a failover.
package db

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/dep"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/telemetry"
)

// attemptTimeout ends one attempt: a connection to a node that fell silent never fails by itself.
const attemptTimeout = 2 * time.Second

// DB is one pool of connections. A nil *DB is a database that is not configured.
type DB struct {
	name     string
	pool     *pgxpool.Pool
	retryFor time.Duration
	metrics  *telemetry.Metrics
}

// Open prepares a pool; it connects when it is first used, so the shop starts without its database.
func Open(name, url string, retryFor time.Duration, metrics *telemetry.Metrics) (*DB, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("%s: the URL cannot be used: %w", name, err)
	}
	config.MaxConnIdleTime = time.Minute
	// After a failover, and when replicas come, connections must spread again.
	config.MaxConnLifetime = 5 * time.Minute
	config.MaxConnLifetimeJitter = time.Minute
	config.ConnConfig.ConnectTimeout = attemptTimeout
	if !strings.Contains(url, "default_query_exec_mode") {
		// A pooler in transaction mode may give each statement another server connection, where a
		// statement prepared before does not exist.
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	metrics.WatchPostgres(name, pool)
	return &DB{name: name, pool: pool, retryFor: retryFor, metrics: metrics}, nil
}

// Close ends all connections.
func (d *DB) Close() {
	if d != nil {
		d.pool.Close()
	}
}

// Ping asks the database for an answer, once.
func (d *DB) Ping(ctx context.Context) error {
	_, err := d.pool.Exec(ctx, "SELECT 1")
	return err
}

// Do runs work, and runs it again when the database fails in a way that passes (a failover, a restart, a
// serialisation conflict), until it succeeds or the time for retries is over. An attempt whose outcome
// is unknown is repeated too, so work must be idempotent.
func (d *DB) Do(ctx context.Context, variable string, work func(context.Context, *pgxpool.Pool) error) error {
	if d == nil {
		return dep.NotConfigured(dep.Database, variable)
	}
	ctx, cancel := context.WithTimeout(ctx, d.retryFor)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := d.attempt(ctx, work)
		if err == nil || !Passing(err) {
			return err
		}
		d.metrics.DependencyError(d.name)
		// Half of the pause is random, so that the pods do not come back all at once.
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-timer.C:
			d.metrics.Retry()
		case <-ctx.Done():
			timer.Stop()
			return dep.Failed(d.name, err)
		}
	}
}

func (d *DB) attempt(ctx context.Context, work func(context.Context, *pgxpool.Pool) error) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	err := work(ctx, d.pool)
	var pgErr *pgconn.PgError
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &pgErr) && pgErr.Code == "25006" {
		// The pool holds connections to a node that is silent, or no primary any more: the
		// others would find out one by one.
		d.pool.Reset()
	}
	return err
}

// Passing tells whether the error is one that a failover or a restart makes and another attempt may not meet.
func Passing(err error) bool {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch pgErr.Code {
		case "57P01", "57P02", "57P03", // shutdown, crash, not yet accepting
			"25006",          // read-only: a primary that is none any more
			"40001", "40P01", // serialisation failure, deadlock
			"53300": // too many connections
			return true
		}
		return strings.HasPrefix(pgErr.Code, "08") // connection exceptions, also a pooler's
	}
	var netErr net.Error
	var connectErr *pgconn.ConnectError
	return errors.As(err, &netErr) || errors.As(err, &connectErr) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded)
}
