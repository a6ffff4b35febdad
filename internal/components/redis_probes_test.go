package components

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	client "github.com/redis/go-redis/v9"
)

// A lone Redis whose disk is full refuses writes. It is neither restarted, which would not help, nor taken out of the
// Service: it still serves reads.
func TestRedisProbesFullDisk(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatalf("%v; install it with hack/test-servers.sh", err)
	}
	dir, port := t.TempDir(), freePort(t)
	users := filepath.Join(dir, "users.acl")
	if err := os.WriteFile(users, []byte(redisACL(redisHash("monitor"), redisHash("app"))), 0o600); err != nil {
		t.Fatal(err)
	}
	probe := func(script string) error {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(script, "redis-cli", fmt.Sprintf("redis-cli -p %d", port)))
		cmd.Env = append(os.Environ(), "REDISCLI_AUTH=monitor")
		return cmd.Run()
	}
	if probe(redisReady) == nil || probe(redisAlive) == nil {
		t.Fatal("it is well before it runs")
	}
	// No file may have more than a MB, which stands for a full disk.
	background(t, nil, "sh", "-c", fmt.Sprintf("trap '' XFSZ; ulimit -f 2048; exec redis-server --port %d --bind 127.0.0.1 "+
		"--dir %s --save '' --appendonly yes --aclfile %s", port, dir, users))
	await(t, "it is ready", func() error { return probe(redisReady) })
	app := client.NewClient(&client.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port), Username: redisUser, Password: "app", MaxRetries: -1})
	defer func() { _ = app.Close() }()
	if err := app.Set(t.Context(), "session", "here", 0).Err(); err != nil {
		t.Fatal(err)
	}
	await(t, "it refuses writes", func() error {
		err := app.Set(t.Context(), "large", strings.Repeat("x", 300_000), 0).Err()
		if err == nil || !strings.HasPrefix(err.Error(), "MISCONF") {
			return fmt.Errorf("it says %w", err)
		}
		return nil
	})
	if err := probe(redisAlive); err != nil {
		t.Error("it would be restarted")
	}
	if err := probe(redisReady); err != nil {
		t.Error("it would be taken out of the Service")
	}
	if got, err := app.Get(t.Context(), "session").Result(); got != "here" {
		t.Errorf("a read: %q %v", got, err)
	}
}
