package pgbouncer

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// slow, as the first of the ports, has a proxy take its time.
const slow = "slow"

// proxy leads to one of several ports by turns, as a node's proxy does for a Service, and returns its own.
func proxy(t *testing.T) (port string, lead func(ports ...string)) {
	t.Helper()
	var ports atomic.Pointer[[]string]
	var turn atomic.Int64
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			all := *ports.Load()
			if all[0] == slow {
				time.Sleep(300 * time.Millisecond)
				all = all[1:]
			}
			port := all[int(turn.Add(1))%len(all)]
			to, err := new(net.Dialer).DialContext(context.Background(), "tcp", "127.0.0.1:"+port)
			if err != nil {
				_ = from.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					_ = pair[0].Close()
				}()
			}
		}
	}()
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return port, func(to ...string) { ports.Store(&to) }
}

// RECONNECT in the middle of a login would have PgBouncer refuse those who come next.
func TestReconnectWaitsForLogins(t *testing.T) {
	primary := postgres(t)
	way, lead := proxy(t)
	lead(primary)
	address := pooler(t, way)
	client, next := connect(t, address), connect(t, address)
	before := backend(t, client)
	if err := consoles.Reconnect(t.Context(), []string{address}, password); err != nil {
		t.Fatal(err)
	}
	lead(slow, primary) // the next connection takes a while to be made
	answered := make(chan error, 1)
	go func() {
		_, err := client.Exec(t.Context(), "SELECT 1")
		answered <- err
	}()
	admin, err := open(t.Context(), address, console, Login{User: user, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.Background()) }()
	await(t, "a login", func(ctx context.Context) error {
		n, err := loggingIn(ctx, admin)
		if err == nil && n == 0 {
			err = errors.New("none is under way")
		}
		return err
	})
	if err := consoles.Reconnect(t.Context(), []string{address}, password); err != nil {
		t.Fatal(err)
	}
	serves(t, next)
	if err := <-answered; err != nil {
		t.Errorf("the client that waited for its connection was refused: %v", err)
	}
	lead(primary)
	if after := backend(t, client); after == before {
		t.Error("the pool stays with its connection")
	}
}

func TestWritableAsksByTheWayOfThePoolers(t *testing.T) {
	primary, replica := postgres(t), standby(t)
	way, lead := proxy(t)
	lead(primary)
	right, other := pooler(t, primary), pooler(t, way)
	both := []string{right, other}
	c := &Client{Database: "app", Lookup: "lookup", Way: "way"}
	writable := func() error { return c.Writable(t.Context(), both, password, Login{User: "app", Password: password}) }

	if err := c.Pause(t.Context(), both, password); err != nil {
		t.Fatal(err)
	}
	if err := writable(); err != nil {
		t.Errorf("both lead to the primary, but: %v", err)
	}
	lead(replica)
	if err := writable(); !errors.Is(err, errReadOnly) {
		t.Errorf("one leads to a replica: got %v", err)
	}
	lead(primary, replica)
	if err := writable(); !errors.Is(err, errReadOnly) {
		t.Errorf("one leads to both by turns: got %v", err)
	}
	lead("1")
	if err := writable(); err == nil {
		t.Error("one leads to nobody, and it is found to be writable")
	}
	lead(primary)
	deadline := time.Now().Add(30 * time.Second)
	for err := writable(); err != nil; err = writable() { // PgBouncer remembers a server that did not answer
		if time.Now().After(deadline) {
			t.Fatalf("both lead to the primary again, but: %v", err)
		}
	}
	if err := c.Resume(t.Context(), both, password); err != nil {
		t.Fatal(err)
	}
	serves(t, connect(t, other))
}

// Clients that come while there is no primary wait as the others do: PgBouncer has to ask the database who they
// are, and would refuse them if it could not.
func TestLoginsWaitThroughAPause(t *testing.T) {
	primary, starting := postgres(t), refusing(t)
	way, lead := proxy(t)
	lead(primary)
	address := pooler(t, way)
	admin := connect(t, address)
	if _, err := admin.Exec(t.Context(), "CREATE ROLE guest LOGIN PASSWORD '"+password+"'"); err != nil {
		t.Fatal(err)
	}
	c := &Client{Database: "app", Lookup: "lookup", Way: "way"}
	if err := c.Pause(t.Context(), []string{address}, password); err != nil {
		t.Fatal(err)
	}
	lead(starting)
	if err := c.Writable(t.Context(), []string{address}, password, Login{User: "app", Password: password}); err == nil {
		t.Fatal("it leads to a server that refuses logins, and is found to be writable")
	}
	_, port, _ := net.SplitHostPort(address)
	const guests = 3
	answered := make(chan error, guests)
	for range guests { // the first meets the refusal, and those after it what PgBouncer remembers of it
		go func() {
			conn, err := pgx.Connect(t.Context(), urlOf("guest", port, "app"))
			if err == nil {
				_, err = conn.Exec(t.Context(), "SELECT 1")
				_ = conn.Close(t.Context())
			}
			answered <- err
		}()
		select {
		case err := <-answered:
			t.Fatalf("a login was answered while there was nobody to ask: %v", err)
		case <-time.After(500 * time.Millisecond):
		}
	}
	lead(primary)
	if err := c.Resume(t.Context(), []string{address}, password); err != nil {
		t.Fatal(err)
	}
	for range guests {
		select {
		case err := <-answered:
			if err != nil {
				t.Errorf("a login that waited failed: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("a login that waited is not answered after the resume")
		}
	}
}
