package db

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/dep"
)

// restFor is how long a replica that failed is left alone: who asks one that fell silent waits each time.
const restFor = 5 * time.Second

// Reader reads what may lag a little: from a replica, and from the primary while no replica answers.
type Reader struct {
	// Primary is where to go when the replica does not answer.
	Primary *DB
	// Replica is where to read; nil reads from the primary always.
	Replica *DB

	// restsUntil is when the replica is asked again, in Unix nanoseconds.
	restsUntil atomic.Int64
}

// Do runs work, which must only read. Variable names what to set when there is no database at all.
func (r *Reader) Do(ctx context.Context, variable string, work func(context.Context, *pgxpool.Pool) error) error {
	if r == nil || r.Primary == nil && r.Replica == nil {
		return dep.NotConfigured(dep.DatabaseRO, variable)
	}
	if r.Replica != nil && time.Now().UnixNano() >= r.restsUntil.Load() {
		err := r.Replica.attempt(ctx, work)
		if err == nil || errors.Is(err, pgx.ErrNoRows) {
			r.Replica.metrics.Read(fromReplica)
			return err
		}
		if ctx.Err() != nil {
			return err // the caller gave up
		}
		// Whatever it says: a replica that lags may lack a table that the primary has.
		if Passing(err) {
			r.Replica.metrics.DependencyError(r.Replica.name)
			r.restsUntil.Store(time.Now().Add(restFor).UnixNano())
		}
		if r.Primary == nil {
			return dep.Failed(r.Replica.name, err)
		}
	}
	r.Primary.metrics.Read(fromPrimary)
	return r.Primary.Do(ctx, variable, work)
}

// Where a read was answered, as the metric says it.
const (
	fromReplica = "replica"
	fromPrimary = "primary"
)
