package pgbouncer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

const password = "0123456789abcdef"

// postgres runs a PostgreSQL of the test's own with a user app, and returns its port.
func postgres(t *testing.T) string {
	t.Helper()
	return postgresIn(t, "")
}

// standby runs one that never ends its recovery, as a replica does: it takes no writes.
func standby(t *testing.T) string {
	t.Helper()
	return postgresIn(t, "standby.signal")
}

// refusing runs one that answers every login with a refusal, as one does that starts or shuts down.
func refusing(t *testing.T) string {
	t.Helper()
	return postgresIn(t, "standby.signal", "-c", "hot_standby=off")
}

// postgresIn runs a PostgreSQL whose data folder has a file with the given name, if that is not empty.
func postgresIn(t *testing.T, file string, settings ...string) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		t.Fatal("PostgreSQL is not installed: run hack/test-servers.sh")
	}
	bin, dir, port := filepath.Dir(slices.Max(found)), testkit.ServerDir(t), testkit.FreePort(t)
	data := filepath.Join(dir, "data")
	initdb := command(filepath.Join(bin, "initdb"), "--pgdata", data, "--username", "app", "--auth", "trust", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	if file != "" {
		if err := os.WriteFile(filepath.Join(data, file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	start(t, command(filepath.Join(bin, "postgres"), append([]string{"-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=16MB"}, settings...)...))
	await(t, "PostgreSQL", func(ctx context.Context) error {
		err := dial(ctx, port, "postgres")
		var refused *pgconn.PgError
		if len(settings) > 0 && errors.As(err, &refused) {
			return nil
		}
		return err
	})
	return port
}

// pooler runs a PgBouncer of the test's own before it, and returns its address.
func pooler(t *testing.T, server string) string {
	t.Helper()
	bin, err := exec.LookPath("pgbouncer")
	if err != nil {
		t.Fatal("PgBouncer is not installed: run hack/test-servers.sh")
	}
	dir, port := testkit.ServerDir(t), testkit.FreePort(t)
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	users := write("userlist.txt", fmt.Sprintf("%q %q\n%q %q\n", "app", password, "pgbouncer", password))
	config := write("pgbouncer.ini", fmt.Sprintf("[databases]\napp = host=127.0.0.1 port=%[1]s dbname=postgres\n"+
		"lookup = host=127.0.0.1 port=%[1]s dbname=postgres pool_size=1\nway = host=127.0.0.1 port=%[1]s dbname=postgres pool_size=1\n"+
		"[pgbouncer]\nauth_user = app\n%[4]sauth_query = SELECT usename, passwd FROM pg_shadow WHERE usename = $1\n"+
		"listen_addr = 127.0.0.1\nlisten_port = %[2]s\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = %[3]s\n"+
		"admin_users = pgbouncer\npool_mode = transaction\nserver_login_retry = 1\n", server, port, users, lookup(t, bin)))
	start(t, command(bin, config))
	await(t, "PgBouncer", func(ctx context.Context) error { return dial(ctx, port, "app") })
	return "127.0.0.1:" + port
}

// lookup has logins looked up by a way of their own, where PgBouncer can: from 1.19 on.
func lookup(t *testing.T, bin string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), bin, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	major, minor := 0, 0
	if _, err := fmt.Sscanf(string(out), "PgBouncer %d.%d", &major, &minor); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	if major == 1 && minor < 19 {
		return ""
	}
	return "auth_dbname = lookup\n"
}

func url(port, database string) string { return urlOf("app", port, database) }

func urlOf(user, port, database string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%s/%s?sslmode=disable&default_query_exec_mode=exec", user, password, port, database)
}

func dial(ctx context.Context, port, database string) error {
	conn, err := pgx.Connect(ctx, url(port, database))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return conn.Ping(ctx)
}

func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	output := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT) // both end at once, PostgreSQL with its children
		force := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		force.Stop()
		if t.Failed() {
			t.Logf("%s:\n%s", cmd.Path, output)
		}
	})
}

func await(t *testing.T, what string, ready func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: testkit.Nobody, Gid: testkit.Nobody}
	}
	return cmd
}
