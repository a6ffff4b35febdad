// Package migrate brings the database's schema to what this version of the shop needs.
package migrate

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/db"
)

//go:embed sql/*.sql
var files embed.FS

// lockKey is any number that nothing else in this database locks.
const lockKey = 7_266_001

type migration struct {
	version int
	name    string
	sql     string
}

// Run applies the migrations that are not applied yet, in order, each in a transaction of its own. It waits
// for the database for at most wait, may run many times and in many places at once, and does not touch
// what is newer than itself: a rolled-back version finds its schema still there.
func Run(ctx context.Context, url string, wait time.Duration, log *slog.Logger) error {
	migrations, err := load(files)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := apply(ctx, url, migrations, log)
		if err == nil || !db.Passing(err) || ctx.Err() != nil {
			return err
		}
		log.Info("the database does not answer yet", "error", err.Error(), "next", pause.String())
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("gave up after %s: %w", wait, err)
		}
	}
}

func apply(ctx context.Context, url string, migrations []migration, log *slog.Logger) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("DATABASE_URL cannot be used: %w", err)
	}
	config.ConnectTimeout = 5 * time.Second
	// Simple queries may hold several statements, and a pooler in transaction mode passes them on.
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, m := range migrations {
		began := time.Now()
		applied, err := applyOne(ctx, conn, m)
		if err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
		if applied {
			log.Info("migration applied", "name", m.name, "took", time.Since(began).Round(time.Millisecond).String())
		}
	}
	log.Info("schema is up to date", "version", migrations[len(migrations)-1].version)
	return nil
}

func applyOne(ctx context.Context, conn *pgx.Conn, m migration) (applied bool, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// The lock lasts as long as the transaction: one of the session would be left with a
		// pooler's connection.
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lockKey); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS schema_migrations (
			version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`); err != nil {
			return err
		}
		var done bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM schema_migrations WHERE version = $1)", m.version).Scan(&done); err != nil || done {
			return err
		}
		if _, err := tx.Exec(ctx, m.sql); err != nil {
			return err
		}
		applied = true
		_, err := tx.Exec(ctx, "INSERT INTO schema_migrations (version, name) VALUES ($1, $2)", m.version, m.name)
		return err
	})
	return applied && err == nil, err
}

// load reads NNNN_name.sql files in the order of their numbers, which must be 1, 2, 3 and so on.
func load(source fs.FS) ([]migration, error) {
	paths, err := fs.Glob(source, "sql/*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	if len(paths) == 0 {
		return nil, errors.New("no migrations")
	}
	migrations := make([]migration, 0, len(paths))
	for i, path := range paths {
		name := strings.TrimSuffix(strings.TrimPrefix(path, "sql/"), ".sql")
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: want number %d at its front", path, i+1)
		}
		text, err := fs.ReadFile(source, path)
		if err != nil {
			return nil, err
		}
		migrations = append(migrations, migration{version: version, name: name, sql: string(text)})
	}
	return migrations, nil
}
