package testkit

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// Nobody is the user that runs servers and programs when the test is root: PostgreSQL's and PgBouncer refuse to
// run as root.
const Nobody = 65534

// ServerDir is a directory that the user running the servers can reach and write.
func ServerDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if os.Getuid() == 0 {
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, Nobody, Nobody); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// FreePort is a port of the loopback address at which nobody listens.
func FreePort(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
