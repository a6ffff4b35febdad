// Package testserver runs real PostgreSQL and Redis servers of a test's own, on the loopback interface, from
// the machine's packages (Debian: postgresql, redis-server). Only tests import it.
package testserver

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// nobody runs the servers when the test is root: PostgreSQL refuses to be.
const nobody = 65534

// Server is a running server with its data on disk, so that it can be stopped and started again.
type Server struct {
	// URL is how clients reach it.
	URL string

	t      *testing.T
	argv   []string
	ready  func(context.Context) error
	cmd    *exec.Cmd
	output *bytes.Buffer
}

// Postgres starts a server with an empty database.
func Postgres(t *testing.T) *Server {
	t.Helper()
	bin := postgresBin(t)
	dir, port := workDir(t), freePort(t)
	data := filepath.Join(dir, "data")
	initdb := command(filepath.Join(bin, "initdb"), "--pgdata", data, "--username", "shop", "--auth", "trust",
		"--no-sync", "--encoding", "UTF8", "--locale", "C.UTF-8")
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	url := fmt.Sprintf("postgres://shop@127.0.0.1:%d/postgres?sslmode=disable", port)
	s := &Server{URL: url, t: t,
		argv: []string{filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1",
			"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=16MB"},
		ready: func(ctx context.Context) error {
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return err
			}
			return conn.Close(ctx)
		}}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// Redis starts a server whose data outlives a restart.
func Redis(t *testing.T) *Server {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is not installed: apt-get install redis-server")
	}
	dir, port := workDir(t), freePort(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	s := &Server{URL: "redis://" + address + "/0", t: t,
		argv: []string{bin, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--appendonly", "yes",
			"--appendfsync", "always", "--save", ""},
		ready: func(ctx context.Context) error {
			client := redis.NewClient(&redis.Options{Addr: address})
			defer func() { _ = client.Close() }()
			return client.Ping(ctx).Err()
		}}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// Start starts the server and waits until it answers.
func (s *Server) Start() {
	s.t.Helper()
	s.output = &bytes.Buffer{}
	s.cmd = command(s.argv[0], s.argv[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("%s: %v", s.argv[0], err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		err := s.ready(ctx)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			s.Stop()
			s.t.Fatalf("%s did not answer: %v\n%s", s.argv[0], err, s.output)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Stop ends the server at once, as a crash would; connections break.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	// PostgreSQL ends its children on SIGQUIT; Redis has none and knows no better than SIGKILL.
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	force := time.AfterFunc(2*time.Second, func() { _ = s.cmd.Process.Kill() })
	_ = s.cmd.Wait()
	force.Stop()
	s.cmd = nil
}

// Freeze stops the server's processes without ending them: connections stay open and nothing answers.
func (s *Server) Freeze() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGSTOP) }

// Thaw ends Freeze.
func (s *Server) Thaw() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGCONT) }

func command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return cmd
}

func postgresBin(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		t.Fatal("PostgreSQL is not installed: apt-get install postgresql")
	}
	return filepath.Dir(slices.Max(found))
}

// workDir makes a directory that the user running the servers can reach and write.
func workDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if os.Getuid() == 0 {
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}
