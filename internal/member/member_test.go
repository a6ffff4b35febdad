package member

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

const password = "0123456789abcdef"

// agent runs the image's agent beside a PostgreSQL of this machine's, and returns its address.
func agent(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		t.Fatal("PostgreSQL is not installed: run hack/test-servers.sh")
	}
	images, err := filepath.Abs("../../images/postgres")
	if err != nil {
		t.Fatal(err)
	}
	dir := testkit.ServerDir(t)
	for _, program := range []string{"member-agent", "check-parameters"} { // the repository may lie where nobody can look
		text, err := os.ReadFile(filepath.Join(images, program))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, program), text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte(password+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	path := dir + ":" + filepath.Dir(slices.Max(found)) + ":" + os.Getenv("PATH")
	port := testkit.FreePort(t)
	template := filepath.Join(dir, "template")
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(context.Background(), name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+path, "CHECK_TEMPLATE="+template, "AGENT_PORT="+port, "TMPDIR="+dir,
			"AGENT_PASSWORD_FILE="+filepath.Join(dir, "password"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if os.Getuid() == 0 {
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: testkit.Nobody, Gid: testkit.Nobody}
		}
		return cmd
	}
	initdb := filepath.Join(filepath.Dir(slices.Max(found)), "initdb")
	if out, err := run(initdb, "--pgdata", template, "--auth", "peer", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	cmd, output := run(filepath.Join(dir, "member-agent")), &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the agent:\n%s", output)
		}
	})
	address := "127.0.0.1:" + port
	for range 600 {
		if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address); err == nil {
			_ = conn.Close()
			return address
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the agent does not listen")
	return ""
}

func TestPostgreSQLJudges(t *testing.T) {
	address, login := agent(t), Login{User: "patroni", Password: password}
	for _, c := range []struct {
		name, value string
		want        string // "" is taken
	}{
		{"work_mem", "16MB", ""},
		{"random_page_cost", "1.1", ""},
		{"my_extension.setting", "whatever it's", ""},
		{"search_path", `a\b'c`, ""},
		{"work_mem", "16QB", `invalid value for parameter "work_mem": "16QB" (Valid units for this parameter are`},
		{"max_connections", "-3", `-3 is outside the valid range for parameter "max_connections"`},
		{"log_min_messages", "loud", `(Available values: debug5`},
		{"wrk_mem", "16MB", `unrecognized configuration parameter "wrk_mem"`},
		{"shared_preload_libraries", "nothere", `shared_preload_libraries: could not access file "nothere"`},
		{"superuser_reserved_connections", "300", `must be less than`},
		{"work_mem", "1MB\nfsync=off", `parameter "work_mem" must be one line`},
		{"fsync = off #", "x", `is no name of a parameter`},
	} {
		said, err := (&Client{}).Check(t.Context(), address, login, map[string]string{c.name: c.value, "shared_buffers": "64MB"})
		if err != nil {
			t.Errorf("%s = %q: %v", c.name, c.value, err)
			continue
		}
		refused := strings.Join(said.Refused, "; ")
		switch {
		case c.want == "" && (refused != "" || said.SharedMemory < 64<<20):
			t.Errorf("%s = %q: refused %q, %d bytes of shared memory", c.name, c.value, refused, said.SharedMemory)
		case c.want != "" && !strings.Contains(refused, c.want):
			t.Errorf("%s = %q: refused %q, want %q", c.name, c.value, refused, c.want)
		}
	}
}

func TestStrangersAreNotAnswered(t *testing.T) {
	_, err := (&Client{}).Check(t.Context(), agent(t), Login{User: "patroni", Password: "guessed"}, map[string]string{"work_mem": "1MB"})
	if err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("err = %v", err)
	}
}
