package redisclient

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// group is a Redis of three with its Sentinels: real servers on addresses of the loopback net, started by the
// image's redis-ha, without Kubernetes.
type group struct {
	*testing.T
	dir    string
	net    string
	env    []string
	procs  map[string]*exec.Cmd
	client *Client
	// cache says that it is one: the members keep nothing on a disk, and take writes that no replica has.
	cache bool
}

const name = "shop-sessions"

var (
	monitor  = Login{User: "monitor", Password: "monitor-password"}
	sentinel = Login{User: "sentinel", Password: "sentinel-password"}
	app      = Login{User: "app", Password: "app-password"}
)

// apiServer stands for Kubernetes': it keeps the pods' labels in files, and refuses what there is a file for.
const apiServer = `#!/bin/sh
echo "$@" >>DIR/api.log
pod=${1#pods/}
case $* in
*PATCH*)
    ! cat "DIR/refuse-$pod" 2>/dev/null || exit 22
    case $* in *'role":"master'*) echo master >"DIR/label-$pod" ;; *'role":"replica'*) echo replica >"DIR/label-$pod" ;; esac
    printf 200 ;;
*) printf '{"labels": {"apps.scalableapp.dev/role": "%s"}}' "$(cat "DIR/label-$pod")" ;;
esac
`

func newGroup(t *testing.T, seeded string) *group {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatalf("%v; install it with hack/test-servers.sh", err)
	}
	// A net of its own for each process and test, so that tests can run beside each other.
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", os.Getpid(), t.Name()))
	g := &group{T: t, dir: t.TempDir(), net: fmt.Sprintf("127.%d.%d.", 20+sum[0]%200, sum[1]),
		procs: map[string]*exec.Cmd{}, client: &Client{}}
	hosts := func(from int) string {
		return fmt.Sprintf("%s%d %s%d %s%d", g.net, from, g.net, from+1, g.net, from+2)
	}
	g.env = append(os.Environ(), "HA_NAME="+name, "POD_NAMESPACE=prod", "HA_NODES="+hosts(10), "HA_SENTINELS="+hosts(20),
		"MONITOR_PASSWORD="+monitor.Password, "SENTINEL_PASSWORD="+sentinel.Password, "REPLICATION_PASSWORD=replication-password",
		"HA_RECORD="+g.path("record"), "HA_API="+g.path("api"), "HA_DOWN_AFTER=1500")
	g.write("record/master", name+"-0\n", 0o600)
	if seeded != "" {
		g.write("record/seeded", seeded, 0o600)
	}
	g.write("api", strings.ReplaceAll(apiServer, "DIR", g.dir), 0o700)
	t.Cleanup(g.killAll)
	return g
}

func (g *group) path(parts ...string) string {
	return filepath.Join(append([]string{g.dir}, parts...)...)
}

func (g *group) write(path, text string, mode os.FileMode) {
	g.Helper()
	path = g.path(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		g.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		g.Fatal(err)
	}
}

func hash(l Login) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(l.Password))) }

func (g *group) node(i int) string { return fmt.Sprintf("%s%d", g.net, 10+i) }

// start starts a node, a Sentinel, or the role beside a node.
func (g *group) start(kind string, i int, env ...string) {
	g.Helper()
	id, host, pod := fmt.Sprintf("%s-%d", kind, i), g.node(i), fmt.Sprintf("%s-%d", name, i)
	if kind == "sentinel" {
		host, pod = fmt.Sprintf("%s%d", g.net, 20+i), fmt.Sprintf("%s-sentinel-%d", name, i)
	}
	g.write(id+"/run/more.conf", "bind "+host+"\n", 0o600)
	// The same rules as in internal/components.
	g.write(id+"/users.acl", "user default off\n"+
		"user app on #"+hash(app)+" ~* &* +@all -@admin -@dangerous +info\n"+
		"user monitor on #"+hash(monitor)+" -@all +ping +info +acl|load +latency|latest +latency|histogram +slowlog|len +slowlog|get\n"+
		"user replication on #"+hash(Login{Password: "replication-password"})+" -@all +psync +replconf +ping\n"+
		"user sentinel on #"+hash(sentinel)+" allchannels -@all +multi +exec +ping +info +role +slaveof +replicaof"+
		" +config|rewrite +publish +subscribe +script|kill +client|setname +client|kill +client|pause +client|unpause\n", 0o600)
	settings, disk := "appendonly yes\nmin-replicas-to-write 1\nmin-replicas-max-lag 5", "yes"
	if g.cache {
		settings, disk = "appendonly no\nrdb-del-sync-files yes", "no"
	}
	if err := os.MkdirAll(g.path(id, "data"), 0o700); err != nil {
		g.Fatal(err)
	}
	g.write(id+"/redis.conf", fmt.Sprintf("port 6379\ndir %s\naclfile %s\n%s\nsave \"\"\nrepl-diskless-sync-delay 0\n",
		g.path(id, "data"), g.path(id, "users.acl"), settings), 0o600)
	log, err := os.OpenFile(g.path(id, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		g.Fatal(err)
	}
	cmd := exec.Command("../../images/redis/redis-ha", kind) //nolint:noctx // it is ended by Cleanup
	cmd.Env = append(slices.Clone(g.env), "HA_DISK="+disk, "POD_NAME="+pod, "HA_HOST="+host, "HA_RUN="+g.path(id, "run"),
		"HA_DATA="+g.path(id, "data"), "HA_CONFIG="+g.path(id, "redis.conf"))
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		g.Fatal(err)
	}
	_ = log.Close()
	g.procs[id] = cmd
}

// kill ends one as a power cut does.
func (g *group) kill(kind string, i int) {
	id := fmt.Sprintf("%s-%d", kind, i)
	if cmd := g.procs[id]; cmd != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		delete(g.procs, id)
	}
}

func (g *group) killAll() {
	for i := range 3 {
		g.kill("node", i)
		g.kill("sentinel", i)
		g.kill("role", i)
	}
	if g.Failed() {
		logs, _ := filepath.Glob(g.path("*", "log"))
		for _, path := range logs {
			file, err := os.Open(path)
			if err != nil {
				continue
			}
			for lines := bufio.NewScanner(file); lines.Scan(); {
				if strings.Contains(lines.Text(), "redis-ha") || strings.Contains(lines.Text(), "#") {
					g.Log(filepath.Base(filepath.Dir(path)), lines.Text())
				}
			}
			_ = file.Close()
		}
	}
}

// startAll starts all and returns the master when two replicas follow it and all Sentinels could replace it.
func (g *group) startAll() int {
	g.Helper()
	for i := range 3 {
		g.start("node", i)
		g.start("sentinel", i)
	}
	return g.whole()
}

func (g *group) whole() int {
	g.Helper()
	master := -1
	g.eventually("one master, two replicas that follow it, three Sentinels that agree", func() error {
		found := -1
		for i := range 3 {
			said, err := g.client.Member(g.Context(), g.node(i)+":6379", monitor)
			switch {
			case err != nil:
				return err
			case said.Master && (found >= 0 || said.Replicas != 2):
				return fmt.Errorf("node %d is master with %d replicas, and so is %d", i, said.Replicas, found)
			case said.Master:
				found = i
			case !said.InSync:
				return fmt.Errorf("node %d does not follow", i)
			}
		}
		for i := range 3 {
			said, err := g.client.Sentinel(g.Context(), fmt.Sprintf("%s%d:26379", g.net, 20+i), name, monitor)
			if err != nil || !said.Quorum || found < 0 || said.Master != g.node(found) {
				return fmt.Errorf("Sentinel %d says %+v, %w", i, said, err)
			}
		}
		master = found
		return nil
	})
	return master
}

func (g *group) eventually(what string, check func() error) {
	g.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			g.Fatalf("not within a minute: %s: %v", what, err)
		}
	}
}

// put writes keys to a master, which may have to wait for its replicas.
func (g *group) put(master int, keys ...string) {
	g.Helper()
	client := g.client.open(g.node(master)+":6379", app)
	defer func() { _ = client.Close() }()
	for _, key := range keys {
		g.eventually("the master takes "+key, func() error { return client.Set(g.Context(), key, "here", 0).Err() })
	}
	if n, err := client.Do(g.Context(), "wait", 2, 5000).Int(); err == nil && n != 2 {
		g.Fatalf("%d replicas have it", n)
	}
}

func (g *group) has(node int, keys ...string) {
	g.Helper()
	client := g.client.open(g.node(node)+":6379", app)
	defer func() { _ = client.Close() }()
	for _, key := range keys {
		if _, err := client.Get(g.Context(), key).Result(); err != nil {
			g.Errorf("node %d: %s: %v", node, key, err)
		}
	}
}

func TestGroupSurvives(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "")
	master := g.startAll()
	if master != 0 {
		t.Errorf("node %d is master; the record names 0", master)
	}
	g.put(master, "session")

	// The classic loss: a master that comes back at once, but with an empty disk, wipes its replicas.
	g.kill("node", master)
	if err := os.RemoveAll(g.path(fmt.Sprintf("node-%d", master), "data")); err != nil {
		t.Fatal(err)
	}
	g.start("node", master)
	reborn := master
	if master = g.whole(); master == reborn {
		t.Errorf("node %d has lost its data and is master all the same", master)
	}
	for i := range 3 {
		g.has(i, "session")
	}
	g.put(master, "another")

	// All at once, and the Sentinels forget everything.
	g.write("record/master", fmt.Sprintf("%s-%d\n", name, master), 0o600)
	g.write("record/seeded", "true", 0o600)
	for i := range 3 {
		g.kill("node", i)
		g.kill("sentinel", i)
		if err := os.RemoveAll(g.path(fmt.Sprintf("sentinel-%d", i))); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(g.path(fmt.Sprintf("node-%d", i), "run")); err != nil {
			t.Fatal(err)
		}
	}
	if again := g.startAll(); again != master {
		t.Errorf("node %d is master; the record names %d", again, master)
	}
	g.has(master, "session", "another")
}

// Nobody knows a master, and the one that the record names has lost its disk.
func TestGroupNamedOneIsEmpty(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "")
	g.put(g.startAll(), "session")
	for i := range 3 {
		g.kill("node", i)
		g.kill("sentinel", i)
		for _, forget := range []string{fmt.Sprintf("sentinel-%d", i), fmt.Sprintf("node-%d/run", i)} {
			if err := os.RemoveAll(g.path(forget)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.RemoveAll(g.path("node-0", "data")); err != nil {
		t.Fatal(err)
	}
	g.write("record/seeded", "true", 0o600)
	if master := g.startAll(); master == 0 {
		t.Error("node 0 is master without data")
	}
	for i := range 3 {
		g.has(i, "session")
	}
}

func (g *group) handOver(master int) HandOver {
	h := HandOver{Name: name, Pod: fmt.Sprintf("%s-%d", name, master), Members: map[string]string{},
		Sentinels: map[string]string{}, Hosts: map[string]string{}}
	for i := range 3 {
		h.Members[fmt.Sprintf("%s-%d", name, i)] = g.node(i) + ":6379"
		h.Hosts[fmt.Sprintf("%s-%d", name, i)] = g.node(i)
		h.Sentinels[fmt.Sprint(i)] = fmt.Sprintf("%s%d:26379", g.net, 20+i)
	}
	return h
}

// A hand-over loses no write that was acknowledged, and takes a moment.
func TestHandOver(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "")
	master := g.startAll()
	g.put(master, "first")
	h := g.handOver(master)
	ctx, stop := context.WithCancel(t.Context())
	acked, begun := make(chan []string), make(chan struct{})
	go func() {
		client := redis.NewClient(&redis.Options{Addr: g.node(master) + ":6379", Username: app.User, Password: app.Password,
			Protocol: 2, MaxRetries: -1})
		defer func() { _ = client.Close() }()
		var keys []string
		for i := 0; ctx.Err() == nil; i++ {
			if key := fmt.Sprint("key-", i); client.Set(ctx, key, "here", 0).Err() == nil {
				if keys = append(keys, key); len(keys) == 50 {
					close(begun)
				}
			}
		}
		acked <- keys
	}()
	<-begun
	g.eventually("the Sentinels have looked at the replicas", func() error { return g.client.HandOver(t.Context(), h, sentinel) })
	stop()
	keys := <-acked
	next := g.whole()
	if next == master {
		t.Error("the master is the same")
	}
	t.Logf("%d writes were acknowledged before node %d handed over to %d", len(keys), master, next)
	g.has(next, append(keys, "first")...)
	if err := g.client.HandOver(t.Context(), h, sentinel); err != nil {
		t.Errorf("once more: %v", err)
	}
	if again := g.whole(); again != next {
		t.Errorf("the second time it was handed over again, to %d", again)
	}
}

func TestNobodyThere(t *testing.T) {
	client := &Client{Timeout: 200 * time.Millisecond}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it only takes a port
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if _, err := client.Member(t.Context(), address, monitor); err == nil {
		t.Error("a server that says nothing is no error")
	}
	_ = listener.Close()
	if _, err := client.Sentinel(t.Context(), address, name, monitor); err == nil {
		t.Error("a server that is not there is no error")
	}
}
