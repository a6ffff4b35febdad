package components

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"
)

// The exporter asks a real Redis with the users that the operator makes: none of its commands is refused, it
// comes back when it is killed, and it takes up another password, all without the end of its container.
func TestRedisExporter(t *testing.T) {
	for _, program := range []string{"redis-server", "prometheus-redis-exporter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v; install it with hack/test-servers.sh", err)
		}
	}
	dir, port, metrics := t.TempDir(), freePort(t), freePort(t)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	users := write("users.acl", redisACL(redisHash("one"), redisHash("app"))+"user test on #"+redisHash("test")+" +@all ~*\n")
	password := write("password", "one")
	address := fmt.Sprintf("127.0.0.1:%d", port)
	background(t, nil, "redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--aclfile", users)
	loop := background(t, []string{"MONITOR_PASSWORD_FILE=" + password, "HA_EVERY=0.1",
		fmt.Sprintf("HA_EXPORTER_ARGS=-redis.addr redis://%s -web.listen-address 127.0.0.1:%d", address, metrics)},
		"sh", "-c", strings.ReplaceAll(redisExporterLoop, "redis-ha", "../../images/redis/redis-ha"))
	up := func() error { return scrapeUp(t.Context(), metrics) }
	await(t, "the first scrape", up)

	test := client.NewClient(&client.Options{Addr: address, Username: "test", Password: "test"})
	defer func() { _ = test.Close() }()
	log, err := test.Do(t.Context(), "acl", "log").Slice()
	if err != nil || len(log) > 0 {
		t.Errorf("refused: %v %v", log, err)
	}

	// It is killed. The group is the loop's, with all that it has started.
	if out, err := exec.CommandContext(t.Context(), "pkill", "-9", "-g", fmt.Sprint(loop.Process.Pid), "-f", "^prometheus-redis-exporter").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	await(t, "a scrape after the exporter was killed", up)

	if err := test.Do(t.Context(), "acl", "setuser", redisMonitor, "resetpass", ">two").Err(); err != nil {
		t.Fatal(err)
	}
	write("password", "two")
	await(t, "a scrape with the other password", up)
	if err := loop.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the loop has ended: %v", err)
	}
}

// With an image that knows no exporter the container stays, and ends when it is told to.
func TestRedisExporterWithAnOlderImage(t *testing.T) {
	loop := background(t, nil, "sh", "-c", strings.ReplaceAll(redisExporterLoop, "redis-ha", "false"))
	time.Sleep(300 * time.Millisecond) // long enough for a loop that ends to have ended
	if err := loop.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := loop.Wait(); err != nil {
		t.Errorf("it did not end by itself when told to: %v", err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// background starts a program that ends, with all that it has started, when the test does.
func background(t *testing.T, env []string, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program, args...) //nolint:noctx // it is ended by Cleanup
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return cmd
}

func await(t *testing.T, what string, do func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := do()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// scrapeUp says whether the exporter reached its Redis.
func scrapeUp(ctx context.Context, port int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", port), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if !strings.Contains(string(body), "\nredis_up 1\n") {
		return fmt.Errorf("no redis_up 1 in %d bytes", len(body))
	}
	return nil
}
