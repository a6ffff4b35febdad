package images

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// nobody runs the servers and the programs when the test is root: PostgreSQL will not run as root.
const nobody = 65534

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
	m := &member{T: t, dir: t.TempDir(), bin: filepath.Dir(slices.Max(found)), port: freePort(t)}
	for _, dir := range []string{"programs", "credentials", "patroni"} {
		if err := os.Mkdir(filepath.Join(m.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range []string{"sync-roles", "follow-credentials"} {
		text, err := os.ReadFile(filepath.Join("postgres", program))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(m.dir, "programs", program), text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() == 0 {
		if err := os.Chmod(filepath.Dir(m.dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(m.dir, nobody, nobody); err != nil {
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
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
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
func (m *member) serve() {
	m.Helper()
	m.start(m.command("postgres", "-D", filepath.Join(m.dir, "data"), "-p", m.port, "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories="+m.dir, "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "wal_level=replica"))
	m.await("PostgreSQL", func() error { _, err := m.sql("SELECT 1"); return err })
}

func primary(t *testing.T) *member {
	m := newMember(t)
	m.run("initdb", "--pgdata", filepath.Join(m.dir, "data"), "--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync")
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

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

// Roles take turns. What people gave the one, the other has; who has no password any more is shut out.
func TestRolesTakeTurns(t *testing.T) {
	t.Parallel()
	m := primary(t)
	m.mount(first)
	m.run("sync-roles")
	m.letsIn("app", "app1", "CREATE TABLE things (id int)", "INSERT INTO things VALUES (1)")
	m.letsIn("app_ro", "ro1", "SELECT id FROM things")
	if roles, err := m.sql(`SELECT count(*) FROM pg_roles WHERE rolname LIKE '%\_b'`); err != nil || roles != "0" {
		t.Errorf("%s second roles before a rotation: %v", roles, err)
	}
	for _, statement := range []string{
		"ALTER ROLE app SET statement_timeout = '42s'", "ALTER ROLE app SET application_name = 'it''s, me'",
		`ALTER ROLE app IN DATABASE app SET search_path = "a b", public`, "GRANT pg_read_all_stats TO app",
	} {
		if _, err := m.sql(statement); err != nil {
			t.Fatal(err)
		}
	}

	both := with(first, "APP_B_PASSWORD", "app2", "APP_RO_B_PASSWORD", "ro2", "REPLICATION_B_PASSWORD", "repl2", "REWIND_B_PASSWORD", "rewind2")
	m.mount(both)
	m.run("sync-roles")
	m.letsIn("app", "app1")
	m.letsIn("app_b", "app2", "INSERT INTO things VALUES (2)", "ALTER TABLE things ADD COLUMN name text", "CREATE TABLE more (id int)")
	m.letsIn("app", "app1", "DROP TABLE more", "CREATE TABLE other (id int)")
	m.letsIn("app_ro_b", "ro2", "SELECT id FROM things", "SELECT id FROM other")
	settings := `SELECT coalesce(datname, '') || ' ' || unnest(setconfig)
		FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase WHERE setrole = '%s'::regrole ORDER BY 1`
	app, err := m.sql(fmt.Sprintf(settings, "app"))
	second, err2 := m.sql(fmt.Sprintf(settings, "app_b"))
	if err != nil || err2 != nil || !strings.Contains(app, `app search_path="a b", public`) || app != second {
		t.Errorf("app has\n%s\nand app_b\n%s", app, second)
	}
	if both, err := m.sql("SELECT pg_has_role('app_b', 'pg_read_all_stats', 'USAGE')"); err != nil || both != "t" {
		t.Errorf("a membership of app's is not app_b's: %s %v", both, err)
	}
	again := m.run("sync-roles")
	if strings.Contains(again, "password set") || strings.Contains(again, "as app") {
		t.Errorf("a second run changes something:\n%s", again)
	}

	conn, err := m.login("app", "app1")
	if err != nil {
		t.Fatal(err)
	}
	m.mount(with(both, "APP_PASSWORD", "", "APP_RO_PASSWORD", "", "REPLICATION_PASSWORD", "", "REWIND_PASSWORD", "", "APP_ACTIVE", "app_b"))
	m.run("sync-roles")
	m.refuses("app", "app1")
	m.refuses("app_ro", "ro1")
	m.letsIn("app_b", "app2", "INSERT INTO things VALUES (3)")
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a session of a role that was shut out goes on")
	}
	if shut, err := m.sql("SELECT string_agg(rolname || ' ' || rolcanlogin, ', ' ORDER BY rolname) FROM pg_authid "+
		"WHERE rolname IN ('standby', 'app', 'app_ro') AND rolpassword IS NULL"); err != nil || shut != "app false, app_ro false, standby true" {
		t.Errorf("shut out are %s: %v", shut, err) // standby may be asked for its position by the socket
	}

	m.mount(with(both, "APP_PASSWORD", "app3", "APP_RO_PASSWORD", "ro3", "APP_ACTIVE", "app_b"))
	m.run("sync-roles")
	m.letsIn("app", "app3", "INSERT INTO things VALUES (4)")
	m.refuses("app", "app1")
	m.letsIn("app_b", "app2")
}

// An empty Secret is no reason to shut anybody out.
func TestNobodyIsShutOutByNothing(t *testing.T) {
	t.Parallel()
	m := primary(t)
	m.mount(first)
	m.run("sync-roles")
	m.mount(map[string]string{})
	m.run("sync-roles")
	m.letsIn("app", "app1")
}

// reports is where the members' reports arrive.
type reports struct {
	*httptest.Server
	mu   sync.Mutex
	last map[string]report
}

type report struct {
	Generation int64             `json:"generation"`
	Roles      map[string]string `json:"roles"`
	Replicates string            `json:"replicates"`
	Error      string            `json:"error"`
}

func listen(t *testing.T) *reports {
	r := &reports{last: map[string]report{}}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		var patch struct {
			Metadata struct {
				Annotations map[string]string `json:"annotations"`
			} `json:"metadata"`
		}
		raw, err := io.ReadAll(request.Body)
		var said report
		if err == nil {
			err = json.Unmarshal(raw, &patch)
		}
		if err == nil {
			err = json.Unmarshal([]byte(patch.Metadata.Annotations["apps.scalableapp.dev/credentials-report"]), &said)
		}
		if err != nil || request.Method != http.MethodPatch || request.Header.Get("Authorization") != "Bearer of-the-pod" {
			t.Errorf("%s %s: %v %s", request.Method, request.URL, err, raw)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.last[filepath.Base(request.URL.Path)] = said
	}))
	t.Cleanup(r.Close)
	return r
}

// follow runs the member's follow-credentials beside a Patroni that counts what it is told.
func (m *member) follow(r *reports, name string) {
	m.Helper()
	account := filepath.Join(m.dir, "account")
	if err := os.Mkdir(account, 0o755); err != nil {
		m.Fatal(err)
	}
	m.write(filepath.Join(account, "token"), "of-the-pod")
	m.write(filepath.Join(account, "namespace"), "prod")
	m.write(filepath.Join(account, "ca.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})))
	patroni := m.start(m.command("sh", "-c", `trap 'echo >>told' HUP; echo >ready; while :; do sleep 0.1; done`))
	m.await("the shell", func() error { _, err := os.Stat(filepath.Join(m.dir, "ready")); return err })
	host, port, _ := net.SplitHostPort(r.Listener.Addr().String())
	cmd := m.command(filepath.Join(m.dir, "programs", "follow-credentials"))
	cmd.Env = append(cmd.Env, "PATRONI_NAME="+name, "PATRONI_PID="+strconv.Itoa(patroni.Pid), "FOLLOW_SECONDS=0.1",
		"KUBERNETES_SERVICE_HOST="+host, "KUBERNETES_SERVICE_PORT="+port, "ACCOUNT_DIR="+account, "PATRONI_DIR="+filepath.Join(m.dir, "patroni"))
	cmd.Env = append(cmd.Env, "CREDENTIALS_DIR="+filepath.Join(m.dir, "credentials"))
	m.start(cmd)
}

func (r *reports) await(m *member, name string, wanted func(report) bool) {
	m.Helper()
	m.await(name, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if said := r.last[name]; !wanted(said) {
			return fmt.Errorf("%+v", said)
		}
		return nil
	})
}

// A primary and its standby take up what changes in their Secret, and say so.
func TestMembersFollowTheirSecret(t *testing.T) {
	t.Parallel()
	one := primary(t)
	one.mount(first)
	one.run("sync-roles")
	two := standby(t, one)
	two.mount(first)
	listener := listen(t)
	both := []*member{one, two}
	mount := func(files map[string]string, authentication string) {
		files = with(files, "authentication.yml", authentication)
		for _, m := range both {
			m.mount(files)
			m.write(filepath.Join(m.dir, "patroni", "authentication.yml"), authentication)
		}
	}
	mount(first, "standby")
	one.follow(listener, "db-0")
	two.follow(listener, "db-1")

	second := with(first, "APP_B_PASSWORD", "app2", "APP_RO_B_PASSWORD", "ro2", "REPLICATION_B_PASSWORD", "repl2", "REWIND_B_PASSWORD", "rewind2",
		"SUPERUSER_PASSWORD", "super2", "ROTATION", `{"generation": 7, "rotating": true}`)
	mount(second, "standby again")
	in := func(said report, roles ...string) bool {
		return said.Generation == 7 && said.Error == "" && !slices.ContainsFunc(roles, func(role string) bool { return said.Roles[role] != "in" })
	}
	for i, name := range []string{"db-0", "db-1"} {
		listener.await(both[i], name, func(said report) bool {
			return in(said, "app", "app_b", "app_ro", "app_ro_b", "standby", "standby_b", "rewind_b", "postgres") &&
				said.Replicates == map[string]string{"db-1": "standby"}[name]
		})
		both[i].await("Patroni is told", func() error { _, err := os.Stat(filepath.Join(both[i].dir, "told")); return err })
		both[i].refuses("postgres", "super1")
	}

	if _, err := two.sql(fmt.Sprintf("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=%s user=standby_b password=repl2'", one.port)); err != nil {
		t.Fatal(err) // as Patroni does
	}
	if _, err := two.sql("SELECT pg_reload_conf()"); err != nil {
		t.Fatal(err)
	}
	listener.await(two, "db-1", func(said report) bool { return said.Replicates == "standby_b" })

	reader, err := two.login("app_ro", "ro1")
	if err != nil {
		t.Fatal(err)
	}
	mount(with(second, "APP_PASSWORD", "", "APP_RO_PASSWORD", "", "REPLICATION_PASSWORD", "", "REWIND_PASSWORD", "", "APP_ACTIVE", "app_b",
		"ROTATION", `{"generation": 8, "rotating": true}`), "standby_b")
	for i, name := range []string{"db-0", "db-1"} {
		listener.await(both[i], name, func(said report) bool {
			return said.Generation == 8 && said.Roles["app"] == "out" && said.Roles["app_ro"] == "out" && said.Roles["standby"] == "out" &&
				said.Roles["app_b"] == "in"
		})
		both[i].refuses("app", "app1")
		both[i].letsIn("app_ro_b", "ro2")
	}
	if err := reader.Ping(t.Context()); err == nil {
		t.Error("a session on the standby of a role that was shut out goes on")
	}
	if streams, err := one.sql("SELECT string_agg(usename, ',') FROM pg_stat_replication"); err != nil || streams != "standby_b" {
		t.Errorf("%s streams: %v", streams, err)
	}
}
