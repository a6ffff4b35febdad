package images

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// names are the settings that the members' pods have in their environment.
var names = []string{
	"SUPERUSER_NAME=postgres", "APP_DATABASE=app", "APP_OWNER=app_owner",
	"APP_USER=app", "APP_B_USER=app_b", "APP_RO_USER=app_ro", "APP_RO_B_USER=app_ro_b", "MONITOR_USER=monitor",
	"REPLICATION_NAME=standby", "REPLICATION_B_NAME=standby_b", "REWIND_NAME=rewind", "REWIND_B_NAME=rewind_b",
}

// first are the passwords before any rotation.
var first = map[string]string{
	"SUPERUSER_PASSWORD": "super1", "APP_PASSWORD": "app1", "APP_RO_PASSWORD": "ro1", "REPLICATION_PASSWORD": "repl1",
	"REWIND_PASSWORD": "rewind1", "MONITOR_PASSWORD": "monitor1", "APP_ACTIVE": "app",
}

func with(base map[string]string, pairs ...string) map[string]string {
	out := maps.Clone(base)
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
	}
	return out
}

// member is a PostgreSQL of the test's own with a mounted Secret and the programs of the image.
type member struct {
	*testing.T
	dir, bin, port string
	mounts         int
}

func newMember(t *testing.T) *member {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		t.Fatal("PostgreSQL is not installed: run hack/test-servers.sh")
	}
	m := &member{T: t, dir: testkit.ServerDir(t), bin: filepath.Dir(slices.Max(found)), port: testkit.FreePort(t)}
	for _, dir := range []string{"programs", "credentials", "patroni"} {
		if err := os.Mkdir(filepath.Join(m.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range []string{
		"sync-roles", "follow-credentials", "restore-backup", "backup-agent", "clear-unfinished", "new-database", "copy-database",
	} {
		text, err := os.ReadFile(filepath.Join("postgres", program))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(m.dir, "programs", program), text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// mount puts a Secret there as the kubelet does: a new directory, and then the link to it.
func (m *member) mount(files map[string]string) {
	m.Helper()
	m.mounts++
	name := fmt.Sprintf("..v%d", m.mounts)
	dir := filepath.Join(m.dir, "credentials", name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		m.Fatal(err)
	}
	for file, text := range files {
		m.write(filepath.Join(dir, file), text)
	}
	link := filepath.Join(m.dir, "credentials", "..new")
	if err := os.Symlink(name, link); err != nil {
		m.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(m.dir, "credentials", "..data")); err != nil {
		m.Fatal(err)
	}
}

func (m *member) write(path, text string) {
	m.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		m.Fatal(err)
	}
}

func (m *member) command(name string, args ...string) *exec.Cmd {
	for _, dir := range []string{filepath.Join(m.dir, "programs"), m.bin} {
		if path := filepath.Join(dir, filepath.Base(name)); !strings.Contains(name, "/") {
			if _, err := os.Stat(path); err == nil {
				name = path
			}
		}
	}
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Dir = m.dir
	cmd.Env = append(slices.Clone(names), "PATH="+filepath.Join(m.dir, "programs")+":"+m.bin+":/usr/bin:/bin",
		"PGHOST="+m.dir, "PGPORT="+m.port, "CREDENTIALS_DIR="+filepath.Join(m.dir, "credentials", "..data"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: testkit.Nobody, Gid: testkit.Nobody}
	}
	return cmd
}

func (m *member) run(name string, args ...string) string {
	m.Helper()
	out, err := m.command(name, args...).CombinedOutput()
	if err != nil {
		m.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// start starts a program until the end of the test.
func (m *member) start(cmd *exec.Cmd) *os.Process {
	m.Helper()
	output := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		force := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		force.Stop()
		if m.Failed() {
			m.Logf("%s:\n%s", cmd.Path, output)
		}
	})
	return cmd.Process
}

// serve starts the server.
func (m *member) serve(settings ...string) {
	m.Helper()
	m.start(m.command("postgres", append([]string{"-D", filepath.Join(m.dir, "data"), "-p", m.port, "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=" + m.dir, "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "wal_level=replica"}, settings...)...))
	m.await("PostgreSQL", func() error { _, err := m.sql("SELECT 1"); return err })
}

func primary(t *testing.T) *member {
	m := newMember(t)
	m.run("initdb", "--pgdata", filepath.Join(m.dir, "data"), "--username=postgres", "--auth-local=trust",
		"--auth-host=scram-sha-256", "--no-sync")
	m.serve()
	return m
}

// standby follows another member as the role standby.
func standby(t *testing.T, of *member) *member {
	m := newMember(t)
	m.run("pg_basebackup", "-D", filepath.Join(m.dir, "data"), "-R", "--checkpoint=fast", "--no-sync",
		"-d", "host=127.0.0.1 port="+of.port+" user=standby password=repl1")
	m.serve()
	return m
}

// sql runs statements as the superuser.
func (m *member) sql(statement string) (string, error) {
	out, err := m.command("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-c", statement).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// login is a session as a role over TCP; the words after it are its settings.
func (m *member) login(role, password string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(m.Context(), 10*time.Second)
	defer cancel()
	return pgx.Connect(ctx, fmt.Sprintf("postgres://%s:%s@127.0.0.1:%s/app?sslmode=disable", role, password, m.port))
}

func (m *member) letsIn(role, password string, statements ...string) {
	m.Helper()
	conn, err := m.login(role, password)
	if err != nil {
		m.Errorf("%s: %v", role, err)
		return
	}
	defer func() { _ = conn.Close(m.Context()) }()
	for _, statement := range statements {
		if _, err := conn.Exec(m.Context(), statement); err != nil {
			m.Errorf("%s: %s: %v", role, statement, err)
		}
	}
}

func (m *member) refuses(role, password string) {
	m.Helper()
	if conn, err := m.login(role, password); err == nil {
		_ = conn.Close(m.Context())
		m.Errorf("%s is let in", role)
	}
}

func (m *member) await(what string, ready func() error) {
	m.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := ready()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			m.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
