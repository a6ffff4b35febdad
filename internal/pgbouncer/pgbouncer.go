// Package pgbouncer talks to the consoles of PgBouncer pods: to hold clients back during a switchover, and to
// have pools leave a server that is no longer theirs.
package pgbouncer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// console is the database whose statements are commands.
	console = "pgbouncer"
	// user is the console's user.
	user = "pgbouncer"

	connectTimeout = 2 * time.Second
	// commandTimeout ends a command, and with it the wait of a pause for the transactions under way: a
	// pause that one long transaction holds up holds up everybody.
	commandTimeout = 5 * time.Second
)

// Client sends commands to the pods of a pooler, to all of them at once. Each method returns when all have
// answered, with the errors of those that did not obey.
type Client struct {
	// Database is the name under which the poolers offer the database.
	Database string
}

// Pause lets the transactions under way end and holds all others back. Where one of the pods cannot, none is
// left paused.
func (c *Client) Pause(ctx context.Context, addresses []string, password string) error {
	err := each(ctx, addresses, password, "PAUSE "+c.name())
	if err != nil {
		// Whatever ended ctx must not keep the clients waiting.
		err = errors.Join(err, c.Resume(context.WithoutCancel(ctx), addresses, password))
	}
	return err
}

// Resume lets the clients go on. A pooler that is not paused is content.
func (c *Client) Resume(ctx context.Context, addresses []string, password string) error {
	return each(ctx, addresses, password, "RESUME "+c.name())
}

// Reconnect has each connection to the database end with its transaction; the next one makes a new one.
func (*Client) Reconnect(ctx context.Context, addresses []string, password string) error {
	return each(ctx, addresses, password, "RECONNECT")
}

func (c *Client) name() string { return pgx.Identifier{c.Database}.Sanitize() }

func each(ctx context.Context, addresses []string, password, command string) error {
	errs := make(chan error, len(addresses))
	for _, address := range addresses {
		go func() { errs <- send(ctx, address, password, command) }()
	}
	var all []error
	for range addresses {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

func send(ctx context.Context, address, password, command string) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout+commandTimeout)
	defer cancel()
	config, err := settings(address, password)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("pooler at %s: %w", address, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	commandCtx, cancelCommand := context.WithTimeout(ctx, commandTimeout)
	defer cancelCommand()
	if _, err := conn.Exec(commandCtx, command); err != nil && !already(err) {
		return fmt.Errorf("pooler at %s: %s: %w", address, command, err)
	}
	return nil
}

// already says whether a pooler only complains that it is so already: an action may be carried out twice.
func already(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) &&
		(strings.Contains(refused.Message, "is not paused") || strings.Contains(refused.Message, "already suspended/paused"))
}

func settings(address, password string) (*pgx.ConnConfig, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("pooler at %s: %w", address, err)
	}
	config, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, err
	}
	// Whatever the environment says (PGHOST, PGUSER, …), it is not meant.
	config.Host, config.Port, config.Database, config.User, config.Password = host, uint16(number), console, user, password
	config.Fallbacks, config.TLSConfig = nil, nil
	config.RuntimeParams = map[string]string{"application_name": "scalableapp-operator"}
	config.ConnectTimeout = connectTimeout
	// The console knows the simple protocol alone.
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	return config, nil
}
