package images

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

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
	m.rewinds("rewind")
	for _, statement := range []string{
		"ALTER ROLE app SET statement_timeout = '42s'", "ALTER ROLE app SET application_name = 'it''s, me'",
		`ALTER ROLE app IN DATABASE app SET search_path = "a b", public`, "GRANT pg_read_all_stats TO app",
	} {
		if _, err := m.sql(statement); err != nil {
			t.Fatal(err)
		}
	}

	both := with(first, "APP_B_PASSWORD", "app2", "APP_RO_B_PASSWORD", "ro2",
		"REPLICATION_B_PASSWORD", "repl2", "REWIND_B_PASSWORD", "rewind2")
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
	m.rewinds("rewind_b")
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
	if shut, err := m.sql("SELECT string_agg(rolname || ' ' || rolcanlogin, ', ' ORDER BY rolname) FROM pg_authid " +
		"WHERE rolname IN ('standby', 'app', 'app_ro') AND rolpassword IS NULL"); err != nil || shut != "app false, app_ro false, standby true" {
		t.Errorf("shut out are %s: %v", shut, err) // standby may be asked for its position by the socket
	}

	m.mount(with(both, "APP_PASSWORD", "app3", "APP_RO_PASSWORD", "ro3", "APP_ACTIVE", "app_b"))
	m.run("sync-roles")
	m.letsIn("app", "app3", "INSERT INTO things VALUES (4)")
	m.refuses("app", "app1")
	m.letsIn("app_b", "app2")
}

// rewinds checks that a role may log in and call what pg_rewind calls.
func (m *member) rewinds(role string) {
	m.Helper()
	may, err := m.sql(fmt.Sprintf(`SELECT rolcanlogin AND rolpassword LIKE 'SCRAM%%'
		AND has_function_privilege(rolname, 'pg_ls_dir(text,boolean,boolean)', 'EXECUTE')
		AND has_function_privilege(rolname, 'pg_read_binary_file(text,bigint,bigint,boolean)', 'EXECUTE')
		FROM pg_authid WHERE rolname = '%s'`, role))
	if err != nil || may != "t" {
		m.Errorf("%s cannot rewind: %q %v", role, may, err)
	}
}

// A restored database, or kept volumes, come with the roles of another life, in which the second of a pair may have
// been in use. The Secret is a new one and names the first.
func TestTheFirstIsAgainInUse(t *testing.T) {
	t.Parallel()
	m := primary(t)
	m.mount(with(first, "APP_PASSWORD", "", "APP_RO_PASSWORD", "",
		"APP_B_PASSWORD", "app2", "APP_RO_B_PASSWORD", "ro2", "APP_ACTIVE", "app_b"))
	m.run("sync-roles")
	for _, statement := range []string{
		"CREATE ROLE app", "CREATE ROLE app_ro", // as shut out
		"GRANT pg_monitor TO app_b", "ALTER ROLE app_b SET statement_timeout = '42s'", "GRANT pg_read_all_stats TO app_ro_b",
	} {
		if _, err := m.sql(statement); err != nil {
			t.Fatal(err)
		}
	}
	m.mount(with(first, "APP_PASSWORD", "app3", "APP_RO_PASSWORD", "ro3"))
	m.run("sync-roles")
	m.letsIn("app", "app3", "CREATE TABLE things (id int)")
	m.letsIn("app_ro", "ro3", "SELECT id FROM things")
	m.refuses("app_b", "app2")
	had, err := m.sql(`SELECT pg_has_role('app', 'pg_monitor', 'MEMBER'), pg_has_role('app_ro', 'pg_read_all_stats', 'MEMBER'),
		(SELECT 'statement_timeout=42s' = ANY(rolconfig) FROM pg_roles WHERE rolname = 'app')`)
	if err != nil || had != "t|t|t" {
		t.Errorf("what people gave the second has gone over to the first: %s %v", had, err)
	}
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
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
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

	second := with(first, "APP_B_PASSWORD", "app2", "APP_RO_B_PASSWORD", "ro2",
		"REPLICATION_B_PASSWORD", "repl2", "REWIND_B_PASSWORD", "rewind2",
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
