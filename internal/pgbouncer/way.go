package pgbouncer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Login is a user of the poolers and its password.
type Login struct{ User, Password string }

const (
	// wayConnections are asked one after the other, each a new one: a node's proxy may still know two servers
	// behind the Service, and lead to one of them at random.
	wayConnections = 3
	// wayTimeout bounds one question. A proxy may lead to a server that no longer answers.
	wayTimeout = 2 * time.Second
)

// errReadOnly says that a pooler leads to a server that takes no writes.
var errReadOnly = errors.New("it leads to a server that takes no writes")

// Writable says whether new connections of each of the pods lead to a server that takes writes: nil is yes. It
// asks by the way that the pods themselves take to the database, through their node's proxy, and asks nobody
// else, because nobody else knows what that proxy does. The pods may be paused.
func (c *Client) Writable(ctx context.Context, addresses []string, password string, login Login) error {
	return all(addresses, func(address string) error { return c.writable(ctx, address, password, login) })
}

func (c *Client) writable(ctx context.Context, address, password string, login Login) error {
	ctx, cancel := context.WithTimeout(ctx, wayConnections*wayTimeout)
	defer cancel()
	admin, err := open(ctx, address, console, Login{User: user, Password: password})
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close(context.WithoutCancel(ctx)) }()
	// Each question is to have a connection of its own, and the last one is not to be left open.
	anew := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, wayTimeout)
		defer cancel()
		_, err := admin.Exec(ctx, "RECONNECT "+pgx.Identifier{c.Way}.Sanitize())
		return err
	}
	defer func() { _ = anew(context.WithoutCancel(ctx)) }()
	conn, err := open(ctx, address, c.Way, login)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for range wayConnections {
		err := anew(ctx)
		if err == nil {
			err = ask(ctx, conn)
		}
		if err != nil {
			return fmt.Errorf("pooler at %s: %w", address, err)
		}
	}
	return nil
}

func ask(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, wayTimeout)
	defer cancel()
	recovers := true
	if err := conn.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&recovers); err != nil {
		return err
	}
	if recovers {
		return errReadOnly
	}
	return nil
}
