package redisclient

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A server takes up another password while it runs, then refuses the old one, and who is logged in stays so.
func TestLoadUsers(t *testing.T) {
	g := newGroup(t, "") // for its folder and its net
	users := func(app ...Login) {
		text := "user default off\nuser app on"
		for _, l := range app {
			text += " #" + hash(l)
		}
		text += " ~* &* +@all -@admin -@dangerous +info\n"
		g.write("users.acl", text+"user monitor on #"+hash(monitor)+" -@all +ping +info +acl|load\n", 0o600)
	}
	users(app)
	host := g.node(0)
	args := []string{"--port", "6379", "--bind", host, "--dir", g.dir, "--save", "", "--aclfile", g.path("users.acl")}
	server := exec.Command("redis-server", args...) //nolint:noctx // it is ended by Cleanup
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })

	other, address := Login{User: "app", Password: "another"}, host+":6379"
	lets := func(first, second bool) {
		t.Helper()
		for login, want := range map[Login]bool{app: first, other: second} {
			if in, err := g.client.LetsIn(t.Context(), address, login); err != nil || in != want {
				t.Errorf("%s is let in: %v (%v), want %v", login.Password, in, err, want)
			}
		}
	}
	g.eventually("the server answers", func() error {
		_, err := g.client.LetsIn(t.Context(), address, app)
		return err
	})
	lets(true, false)
	session := redis.NewClient(&redis.Options{Addr: address, Username: app.User, Password: app.Password, PoolSize: 1, MaxRetries: -1,
		ConnMaxIdleTime: time.Hour, DisableIdentity: true})
	defer func() { _ = session.Close() }()
	version, err := exec.CommandContext(t.Context(), "redis-server", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	old := strings.Contains(string(version), "v=7.0.")
	id := fmt.Sprint(session.ClientID(t.Context()).Val())

	for _, step := range []struct {
		logins        []Login
		first, second bool
	}{{[]Login{app, other}, true, true}, {[]Login{other}, false, true}} {
		users(step.logins...)
		if err := g.client.LoadUsers(t.Context(), address, monitor); err != nil {
			t.Fatal(err)
		}
		lets(step.first, step.second)
		// Redis 7.0 sends everybody away; the image's Redis 8 does not.
		if now, err := session.ClientID(t.Context()).Result(); !old && (err != nil || fmt.Sprint(now) != id) {
			t.Errorf("who was logged in is client %d now, not %s: %v", now, id, err)
		}
	}
	if err := g.client.LoadUsers(t.Context(), address, other); err == nil {
		t.Error("the app may load users")
	}
	if _, err := g.client.LetsIn(t.Context(), g.node(1)+":6379", app); err == nil {
		t.Error("a server that is not there answers")
	}
}
