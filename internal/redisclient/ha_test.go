package redisclient

import (
	"context"
	"errors"
	"fmt"
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

// label is what the API server has as a pod's role.
func (g *group) label(i int) string {
	text, _ := os.ReadFile(g.path(fmt.Sprintf("label-%s-%d", name, i)))
	return strings.TrimSpace(string(text))
}

func (g *group) labelled(what string, i int, want string) {
	g.Helper()
	g.eventually(what, func() error {
		if got := g.label(i); got != want {
			return fmt.Errorf("%s-%d has the label %q", name, i, got)
		}
		return nil
	})
}

func (g *group) recorded() bool {
	text, _ := os.ReadFile(g.path("api.log"))
	return strings.Contains(string(text), "configmaps/")
}

// The label of the master is taken from the others, whatever it takes: the Service leads to all that have it.
func TestRole(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "")
	master := g.startAll()
	dead, gone := (master+1)%3, (master+2)%3
	g.write(fmt.Sprintf("label-%s-%d", name, dead), "master", 0o600)
	refuse := func(i int, code string) { g.write(fmt.Sprintf("refuse-%s-%d", name, i), code, 0o600) }
	refuse(dead, "500")
	refuse(gone, "404")
	g.start("role", master, "HA_LOOK=1")
	g.labelled("the master has the label", master, "master")
	time.Sleep(time.Second)
	if g.recorded() {
		t.Error("it rests while another still has the label")
	}
	if err := os.Remove(g.path(fmt.Sprintf("refuse-%s-%d", name, dead))); err != nil {
		t.Fatal(err)
	}
	g.labelled("the label is taken from the other", dead, "replica")
	g.eventually("the record is written, though one pod is gone", func() error {
		if !g.recorded() {
			return errors.New("it is not")
		}
		return nil
	})
	g.write(fmt.Sprintf("label-%s-%d", name, dead), "master", 0o600)
	g.labelled("the label that came back is taken again", dead, "replica")

	// A new pod of the master, while most Sentinels are away: the record names it, and the one that is left does too.
	g.kill("role", master)
	g.kill("sentinel", 0)
	g.kill("sentinel", 1)
	g.write(fmt.Sprintf("label-%s-%d", name, master), "", 0o600)
	g.write("record/master", fmt.Sprintf("%s-%d", name, (master+1)%3), 0o600)
	g.start("role", master)
	time.Sleep(2 * time.Second)
	if g.label(master) == "master" {
		t.Error("one Sentinel is enough, though the record names another")
	}
	g.write("record/master", fmt.Sprintf("%s-%d", name, master), 0o600)
	g.labelled("the record and one Sentinel name it", master, "master")
}

// Without a disk nothing is kept, and so no old copy is loaded by a server that is started again.
func TestNoDisk(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "")
	g.cache = true
	g.env = append(g.env, "HA_DOWN_AFTER=60000") // the Sentinels do nothing by themselves
	left := []string{"dump.rdb", "temp-17.rdb", "temp-1764300000.17.rdb", "temp-rewriteaof-17.aof", "temp-rewriteaof-bg-17.aof"}
	for i := range 3 {
		for _, file := range left {
			g.write(fmt.Sprintf("node-%d/data/%s", i, file), "half made", 0o600)
		}
	}
	master := g.startAll()
	g.put(master, "session")
	files, err := filepath.Glob(g.path("node-*", "data", "*"))
	if err != nil || len(files) > 0 {
		t.Errorf("left on the disk: %v (%v)", files, err)
	}

	// A master that is started again and reaches nobody but the Sentinels: it does not become an empty master.
	g.write("record/seeded", "true", 0o600)
	g.kill("node", master)
	nodes := []string{g.net + "90", g.net + "91", g.net + "92"}
	nodes[master] = g.node(master)
	g.start("node", master, "HA_NODES="+strings.Join(nodes, " "))
	before := master
	if master = g.whole(); master == before {
		t.Errorf("node %d is master, and empty", master)
	}
	for i := range 3 {
		g.has(i, "session")
	}
	if files, err = filepath.Glob(g.path("node-*", "data", "*")); err != nil || len(files) > 0 {
		t.Errorf("left on the disk: %v (%v)", files, err)
	}

	// All started again: nobody has anything, so it begins empty.
	for i := range 3 {
		g.kill("node", i)
	}
	for i := range 3 {
		g.start("node", i)
	}
	g.put(g.whole(), "another")
}

func (g *group) signal(i int, s syscall.Signal) {
	if cmd := g.procs[fmt.Sprintf("node-%d", i)]; cmd != nil {
		_ = syscall.Kill(cmd.Process.Pid, s)
	}
}

// held is a client of the master that asks and never writes: it is not held up, and knows when it is sent away.
type held struct {
	*redis.Client
	id int64
}

func (g *group) reader(node int) held {
	g.Helper()
	client := redis.NewClient(&redis.Options{Addr: g.node(node) + ":6379", Username: app.User, Password: app.Password, Protocol: 2,
		PoolSize: 1, MaxRetries: -1, DisableIdentity: true, ConnMaxIdleTime: time.Hour})
	g.Cleanup(func() { _ = client.Close() })
	id, err := client.ClientID(g.Context()).Result()
	if err != nil {
		g.Fatal(err)
	}
	return held{client, id}
}

func (h held) stays(t *testing.T) {
	t.Helper()
	if id, err := h.ClientID(t.Context()).Result(); err != nil || id != h.id {
		t.Errorf("a client was sent away though nobody took over: it is %d now, not %d: %v", id, h.id, err)
	}
}

// writesHeld says whether a write waits.
func (g *group) writesHeld(node int) bool {
	client := &Client{Timeout: 700 * time.Millisecond}
	c := client.open(g.node(node)+":6379", app)
	defer func() { _ = c.Close() }()
	err := c.Set(g.Context(), "written", "here", 0).Err()
	_, answered := errors.AsType[redis.Error](err)
	return err != nil && !answered
}

// asBefore: nobody was sent away, and writes go on.
func (g *group) asBefore(master int, reader held) {
	g.Helper()
	reader.stays(g.T)
	if g.writesHeld(master) {
		g.Error("writes are held up still")
	}
}

// freeze stops the replicas, so that a hand-over begins and nobody takes over.
func (g *group) freeze(master int) {
	for i := range 3 {
		if i != master {
			g.signal(i, syscall.SIGSTOP)
			g.Cleanup(func() { g.signal(i, syscall.SIGCONT) })
		}
	}
}

// A hand-over that does not come about: as long as somebody may still be promoted no write is taken, for it would be
// lost, and after that all is as before, also when the operator is to end.
func TestHandOverFails(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "")
	g.cache = true
	g.env = append(g.env, "HA_DOWN_AFTER=60000")
	master := g.startAll()
	g.put(master, "first")
	h := g.handOver(master)
	time.Sleep(2 * time.Second) // the Sentinels look at the replicas once a second
	reader := g.reader(master)
	g.freeze(master)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- g.client.HandOver(ctx, h, sentinel) }()
	time.Sleep(7 * time.Second)
	select {
	case err := <-ended:
		t.Fatalf("it ended early: %v", err)
	default:
	}
	if !g.writesHeld(master) {
		t.Error("writes are taken while a replica may be promoted")
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("nobody took over, and that is no error")
	}
	g.asBefore(master, reader)
}

// The same when the master's pod ends: it is over in time, and nobody is sent away for nothing.
func TestStopFails(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "")
	g.cache = true
	g.env = append(g.env, "HA_DOWN_AFTER=60000")
	master := g.startAll()
	time.Sleep(2 * time.Second)
	reader := g.reader(master)
	g.freeze(master)
	began := time.Now()
	stop := g.stop(master, "HA_STOP_SECONDS=8")
	time.Sleep(7 * time.Second)
	if !g.writesHeld(master) {
		t.Error("writes are taken while a replica may be promoted")
	}
	if err := stop.Wait(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s, longer than a pod is given to end", took)
	}
	g.asBefore(master, reader)
}

// A master's pod that ends hands over.
func TestStop(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "")
	master := g.startAll()
	g.put(master, "first")
	time.Sleep(2 * time.Second)
	if err := g.stop(master).Wait(); err != nil {
		t.Error(err)
	}
	next := g.whole()
	if next == master {
		t.Error("the master is the same")
	}
	g.has(next, "first")
}

func (g *group) stop(i int, env ...string) *exec.Cmd {
	g.Helper()
	cmd := exec.CommandContext(g.Context(), "../../images/redis/redis-ha", "stop")
	cmd.Env = append(append(g.env, "HA_HOST="+g.node(i), fmt.Sprintf("POD_NAME=%s-%d", name, i)), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		g.Fatal(err)
	}
	return cmd
}

// A member whose disk is full says so, lets users in, and is not restarted for it.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "")
	host := g.node(0)
	g.write("users.acl", "user default off\nuser app on #"+hash(app)+" ~* &* +@all\nuser monitor on #"+hash(monitor)+" -@all +ping +info\n", 0o600)
	// No file may have more than a MB, which stands for a full disk.
	server := exec.CommandContext(t.Context(), "sh", "-c", fmt.Sprintf("trap '' XFSZ; ulimit -f 2048; exec redis-server --port 6379 --bind %s "+
		"--dir %s --save '' --appendonly yes --aclfile %s >/dev/null", host, g.dir, g.path("users.acl")))
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	said := func() (m [2]bool) {
		g.eventually("it answers", func() error {
			member, err := g.client.Member(t.Context(), host+":6379", monitor)
			m = [2]bool{member.WriteFails, member.RewriteFails}
			return err
		})
		return m
	}
	if got := said(); got != [2]bool{} {
		t.Errorf("it has room: %v", got)
	}
	client := g.client.open(host+":6379", app)
	defer func() { _ = client.Close() }()
	g.eventually("writes are refused", func() error {
		err := client.Set(t.Context(), "large", strings.Repeat("x", 300_000), 0).Err()
		if err == nil || !strings.HasPrefix(err.Error(), "MISCONF") {
			return fmt.Errorf("it says %w", err)
		}
		return nil
	})
	if got := said(); !got[0] {
		t.Error("it does not say that it cannot write")
	}
	if in, err := g.client.LetsIn(t.Context(), host+":6379", app); !in || err != nil {
		t.Errorf("it lets the app in: %v %v", in, err)
	}
	for _, probe := range []string{"alive", "ready"} {
		cmd := exec.CommandContext(t.Context(), "../../images/redis/redis-ha", probe)
		cmd.Env = append(slices.Clone(g.env), "HA_HOST="+host, "HA_RUN="+g.dir)
		if err := cmd.Run(); err != nil {
			t.Errorf("%s: %v", probe, err)
		}
	}
}

// A master whose server is started again at once has a replica take over that stands by: its own file may lack what was
// acknowledged last, and Sentinel waits as long as it loads.
func TestMasterThatIsBackAtOnce(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "")
	g.env = append(g.env, "HA_DOWN_AFTER=60000")
	master := g.startAll()
	g.put(master, "session")
	time.Sleep(2 * time.Second) // the Sentinels look at the replicas once a second
	g.write("record/seeded", "true", 0o600)
	g.kill("node", master)
	g.start("node", master)
	next := g.whole()
	if next == master {
		t.Error("the master is the same, and goes on with its own file")
	}
	g.has(next, "session")

	time.Sleep(3 * time.Second) // the fail-over ends

	// All at once: nobody has followed since it was started, so nobody may be ahead of the master's own file.
	g.put(next, "another")
	for i := range 3 {
		g.kill("node", i)
	}
	if err := os.RemoveAll(g.path(fmt.Sprintf("node-%d", (next+1)%3), "data")); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		g.start("node", i)
	}
	if again := g.whole(); again != next {
		t.Errorf("node %d is master now, though nobody knew whether it has all", again)
	}
	g.has(next, "session", "another")
}

// While one Sentinel has a replica promoted no other is asked: two promotions at once have them disagree.
func TestOnePromotionAtATime(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "")
	g.cache = true
	g.env = append(g.env, "HA_DOWN_AFTER=60000", "HA_STOP_SECONDS=1")
	master := g.startAll()
	time.Sleep(2 * time.Second) // the Sentinels look at the replicas once a second
	g.freeze(master)
	first := g.client.open(g.net+"20:26379", sentinel)
	defer func() { _ = first.Close() }()
	if err := first.Do(t.Context(), "sentinel", "failover", name).Err(); err != nil {
		t.Fatal(err)
	}
	if err := g.client.HandOver(t.Context(), g.handOver(master), sentinel); err == nil || !strings.Contains(err.Error(), "INPROG") {
		t.Errorf("the operator: %v", err)
	}
	if err := g.stop(master).Wait(); err != nil {
		t.Error(err)
	}
	for i := range 3 {
		log, err := os.ReadFile(g.path(fmt.Sprintf("sentinel-%d", i), "log"))
		if n := strings.Count(string(log), "+try-failover"); err != nil || n != map[int]int{0: 1}[i] {
			t.Errorf("Sentinel %d began %d promotions (%v)", i, n, err)
		}
	}
}
