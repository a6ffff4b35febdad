package images

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// tree makes files; one that ends with a slash is a folder.
func (m *member) tree(names ...string) {
	m.Helper()
	for _, name := range names {
		path := m.dir + "/" + name
		m.run("mkdir", "-p", filepath.Dir(path))
		if !strings.HasSuffix(name, "/") {
			m.run("touch", path)
		}
	}
}

func (m *member) there() string {
	m.Helper()
	found, err := filepath.Glob(filepath.Join(m.dir, "data*"))
	if err != nil {
		m.Fatal(err)
	}
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return strings.Join(found, " ")
}

func (m *member) withData(name string, args ...string) string {
	m.Helper()
	cmd := m.command(name, args...)
	cmd.Env = append(cmd.Env, "PGDATA="+filepath.Join(m.dir, "data"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func TestClearUnfinished(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		there []string
		want  string
	}{
		"nothing":                        {nil, ""},
		"an empty folder":                {[]string{"data/"}, "data"},
		"half a copy":                    {[]string{"data/PG_VERSION", "data/global/"}, ""},
		"a database":                     {[]string{"data/PG_VERSION", "data/global/pg_control", "data/postmaster.opts"}, "data"},
		"a damaged database":             {[]string{"data/PG_VERSION", "data/postmaster.opts"}, "data"},
		"half a restore":                 {[]string{"data.restore/backup.manifest"}, "data.restore"},
		"half a restore, and a folder":   {[]string{"data/", "data.restore/backup.manifest"}, "data data.restore"},
		"half a restore, and a database": {[]string{"data/global/pg_control", "data.restore/backup.manifest"}, "data"},
		"first starts that failed":       {[]string{"data.failed/global/pg_control", "data.new/global/pg_control"}, ""},
	} {
		m := newMember(t)
		m.tree(test.there...)
		m.withData("clear-unfinished")
		if got := m.there(); got != test.want {
			t.Errorf("%s: left are %q, want %q", name, got, test.want)
		}
	}
}

// Whenever the making of a database is killed, what is there is none or a whole one.
func TestNewDatabaseKilled(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	data := filepath.Join(m.dir, "data")
	arguments := []string{"--username=postgres", "--auth=trust", "--data-checksums", "--no-sync", data}
	m.tree("data/") // as Patroni leaves it
	cmd := m.command("new-database", arguments...)
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.await("pg_control is written", func() error {
		_, err := os.Stat(data + ".new/global/pg_control")
		return err
	})
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	m.withData("clear-unfinished")
	if entries, err := os.ReadDir(data); err != nil || len(entries) > 0 {
		t.Fatalf("%v %v", entries, err)
	}

	m.withData("new-database", arguments...)
	m.serve()
	if sums := m.must("SHOW data_checksums"); sums != "on" {
		t.Errorf("data_checksums is %s: not all options reach initdb", sums)
	}
	if got := m.there(); got != "data" {
		t.Errorf("there are %s", got)
	}
}

// What a member has begun of a database makes room for the copy of the one that another has made.
func TestCopyDatabase(t *testing.T) {
	t.Parallel()
	of := primary(t)
	m := newMember(t)
	m.tree("data.restore/base/1/large", "data.failed/global/pg_control")
	m.withData("copy-database", "--pgdata="+filepath.Join(m.dir, "data"), "-X", "stream", "--checkpoint=fast", "--no-sync",
		"--dbname=host="+of.dir+" port="+of.port+" user=postgres")
	if got := m.there(); got != "data" {
		t.Errorf("there are %s", got)
	}
	m.serve()
}

// A restore that is killed while the log is replayed goes on in the container's next life.
func TestRestoreKilled(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	s.must("CREATE TABLE things (id serial, what text)")
	_, one := s.commit("INSERT INTO things (what) VALUES ('one')")
	r := s.restoredTo(t, "")
	r.on("before-archive-get-"+one, "touch $FAULTS/reached; sleep 60")
	cmd := r.restoring()
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.await("the replay", func() error { _, err := os.Stat(filepath.Join(r.faults, "reached")); return err })
	r.killAll(cmd.Process.Pid, filepath.Join(r.dir, "data.restore"))
	_ = cmd.Wait()
	r.withData("clear-unfinished")
	r.has("one")
}

// killAll kills a group of processes and all that works in a folder, as the end of a container does.
func (m *member) killAll(group int, folder string) {
	m.Helper()
	_ = syscall.Kill(-group, syscall.SIGKILL)
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		m.Fatal(err)
	}
	for _, process := range processes {
		cwd, err := os.Readlink(filepath.Join(process, "cwd"))
		if pid, wrong := strconv.Atoi(filepath.Base(process)); err == nil && wrong == nil && cwd == folder {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
