// Package pgbouncer talks to PgBouncer pods: to their consoles, to hold clients back during a switchover and to
// have pools leave a server that is no longer theirs, and through them, to see where they lead.
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
	// Lookup is the name of the poolers' own way to ask who may log in, if they have one. It is paused with the
	// database: while there is no primary a login would be refused, not wait.
	Lookup string
	// Way is the name under which the poolers offer the same server to Writable alone, which is never paused.
	Way string
}

// Pause lets the transactions under way end and holds all others back, and logins with them. Where one of the
// pods cannot, none is left paused.
func (c *Client) Pause(ctx context.Context, addresses []string, password string) error {
	err := each(ctx, addresses, password, c.commands("PAUSE")...)
	if err != nil {
		// Whatever ended ctx must not keep the clients waiting.
		err = errors.Join(err, c.Resume(context.WithoutCancel(ctx), addresses, password))
	}
	return err
}

// Resume lets the clients go on. A pooler that is not paused is content.
func (c *Client) Resume(ctx context.Context, addresses []string, password string) error {
	return each(ctx, addresses, password, c.commands("RESUME")...)
}

// Reconnect has each connection to the database end with its transaction; the next one makes a new one.
//
// A connection that is just being made ends, too, and PgBouncer takes that for a database that lets nobody in:
// it refuses the clients that wait. So a moment is waited for in which none is being made, if there is one.
func (*Client) Reconnect(ctx context.Context, addresses []string, password string) error {
	return all(addresses, func(address string) error {
		ctx, cancel := context.WithTimeout(ctx, connectTimeout+commandTimeout)
		defer cancel()
		conn, err := open(ctx, address, console, Login{User: user, Password: password})
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		for began := time.Now(); time.Since(began) < calmWithin; time.Sleep(5 * time.Millisecond) {
			if n, err := loggingIn(ctx, conn); err != nil || n == 0 {
				break
			}
		}
		if _, err := conn.Exec(ctx, "RECONNECT"); err != nil {
			return fmt.Errorf("pooler at %s: RECONNECT: %w", address, err)
		}
		return nil
	})
}

// calmWithin bounds the wait for a moment without a login. While the database is away there is always one.
const calmWithin = time.Second

// loggingIn is the number of connections to the database that are being made.
func loggingIn(ctx context.Context, conn *pgx.Conn) (n int64, err error) {
	rows, err := conn.Query(ctx, "SHOW POOLS")
	if err != nil {
		return 0, err
	}
	pools, err := pgx.CollectRows(rows, pgx.RowToMap)
	for _, pool := range pools {
		logins, err := strconv.ParseInt(fmt.Sprint(pool["sv_login"]), 10, 64) // of the columns, versions have others
		if err != nil {
			return 0, fmt.Errorf("SHOW POOLS: sv_login is %v", pool["sv_login"])
		}
		n += logins
	}
	return n, err
}

// commands are a command for each database that clients may have to wait for.
func (c *Client) commands(verb string) []string {
	var commands []string
	for _, name := range []string{c.Database, c.Lookup} {
		if name != "" {
			commands = append(commands, verb+" "+pgx.Identifier{name}.Sanitize())
		}
	}
	return commands
}

func each(ctx context.Context, addresses []string, password string, commands ...string) error {
	return all(addresses, func(address string) error { return send(ctx, address, password, commands...) })
}

// all does work for all addresses at once.
func all(addresses []string, work func(address string) error) error {
	errs := make(chan error, len(addresses))
	for _, address := range addresses {
		go func() { errs <- work(address) }()
	}
	var failed []error
	for range addresses {
		failed = append(failed, <-errs)
	}
	return errors.Join(failed...)
}

func send(ctx context.Context, address, password string, commands ...string) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout+commandTimeout)
	defer cancel()
	conn, err := open(ctx, address, console, Login{User: user, Password: password})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	commandCtx, cancelCommand := context.WithTimeout(ctx, commandTimeout)
	defer cancelCommand()
	var failed []error
	for _, command := range commands { // one that fails keeps no other from being sent
		if _, err := conn.Exec(commandCtx, command); err != nil && !already(err) {
			failed = append(failed, fmt.Errorf("pooler at %s: %s: %w", address, command, err))
		}
	}
	return errors.Join(failed...)
}

func open(ctx context.Context, address, database string, login Login) (*pgx.Conn, error) {
	config, err := settings(address, database, login)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("pooler at %s: %w", address, err)
	}
	return conn, nil
}

// already says whether a pooler only complains that it is so already: an action may be carried out twice.
func already(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) &&
		(strings.Contains(refused.Message, "is not paused") || strings.Contains(refused.Message, "already suspended/paused"))
}

func settings(address, database string, login Login) (*pgx.ConnConfig, error) {
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
	config.Host, config.Port, config.Database = host, uint16(number), database
	config.User, config.Password = login.User, login.Password
	config.Fallbacks, config.TLSConfig = nil, nil
	config.RuntimeParams = map[string]string{"application_name": "scalableapp-operator"}
	config.ConnectTimeout = connectTimeout
	// The console knows the simple protocol alone.
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	return config, nil
}
