package images

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// pgbackrest stands before the real one. What a file fault-COMMAND or fault-COMMAND-NAME says happens around it, once.
const pgbackrest = `#!/bin/sh
for word; do
    case $word in archive-get | info | restore) command=$word ;; esac
done
name=
[ "$command" != archive-get ] || for word; do case $word in 0*) name=-$word ;; esac; done
[ ! -e "$FAULTS/before-$command$name" ] || { mv "$FAULTS/before-$command$name" "$FAULTS/now"; . "$FAULTS/now"; }
PATH=/usr/bin:/bin pgbackrest "$@"
code=$?
[ ! -e "$FAULTS/after-$command$name" ] || { mv "$FAULTS/after-$command$name" "$FAULTS/now"; . "$FAULTS/now"; }
exit $code
`

// source is a database with a backup and an archived log.
type source struct{ *member }

const stanza = "shop-db"

func newSource(t *testing.T) *source {
	t.Helper()
	if _, err := exec.LookPath("pgbackrest"); err != nil {
		t.Fatal("pgBackRest is not installed: run hack/test-servers.sh")
	}
	m := newMember(t)
	s := &source{m}
	m.write(filepath.Join(m.dir, "programs", "pgbackrest.conf"), fmt.Sprintf("[global]\nrepo1-path=%[1]s/repo\nlock-path=%[1]s/lock\n"+
		"log-level-file=off\nlog-level-console=warn\nrepo1-retention-full=2\nstart-fast=y\n[%[2]s]\npg1-path=%[1]s/data\n"+
		"pg1-socket-path=%[1]s\npg1-port=%[3]s\npg1-user=postgres\n", m.dir, stanza, m.port))
	m.run("initdb", "--pgdata", filepath.Join(m.dir, "data"), "--username=postgres", "--auth=trust", "--no-sync")
	s.archives()
	for _, command := range []string{"stanza-create", "backup"} {
		arguments := s.arguments(command)
		m.run(arguments[0], arguments[1:]...)
	}
	return s
}

// archives starts the server.
func (s *source) archives() {
	s.Helper()
	s.serve("-c", "archive_mode=on", "-c", "archive_command="+strings.Join(s.arguments("archive-push", `"%p"`), " "))
}

func (s *source) arguments(command ...string) []string {
	config := filepath.Join(s.dir, "programs", "pgbackrest.conf")
	return append([]string{"/usr/bin/pgbackrest", "--config=" + config, "--stanza=" + stanza}, command...)
}

// commit runs a statement and has the log with it archived. It returns a time after the commit, and the segment.
func (s *source) commit(statement string) (at, segment string) {
	s.Helper()
	segment = s.must(statement + "; SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
	at = s.must("SELECT pg_sleep(0.01); SELECT clock_timestamp() FROM pg_sleep(0.01)")
	at = strings.TrimSpace(at)
	s.must("SELECT pg_switch_wal()")
	s.await("segment "+segment+" is archived", func() error {
		if len(s.files(segment)) == 0 {
			return os.ErrNotExist
		}
		return nil
	})
	return at, segment
}

func (m *member) must(statement string) string {
	m.Helper()
	out, err := m.sql(statement)
	if err != nil {
		m.Fatal(err)
	}
	return out
}

// hole is the first segment after another that is not in the archive, as the backup agent sees it.
func (s *source) hole(after string) string {
	s.Helper()
	wrapper := fmt.Sprintf("#!/bin/sh\nexec /usr/bin/pgbackrest --config=%s/programs/pgbackrest.conf \"$@\"\n", s.dir)
	if err := os.WriteFile(filepath.Join(s.dir, "programs", "pgbackrest"), []byte(wrapper), 0o755); err != nil {
		s.Fatal(err)
	}
	cmd := s.command("/usr/bin/python3", "-c", `import runpy, sys
agent = runpy.run_path(sys.argv[1], run_name="agent")
print(agent["missing"](agent["inventory"](), sys.argv[2]))`, filepath.Join(s.dir, "programs", "backup-agent"), after)
	cmd.Env = append(cmd.Env, "BACKUP_STANZA="+stanza, "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func (s *source) files(segment string) []string {
	found, err := filepath.Glob(filepath.Join(s.dir, "repo", "archive", stanza, "*", "*", segment+"-*.gz"))
	if err != nil {
		s.Fatal(err)
	}
	return found
}

// restored is the member that is made of the backup.
type restored struct {
	*member
	faults string
}

func (s *source) restoredTo(t *testing.T, target string) *restored {
	t.Helper()
	m := newMember(t)
	r := &restored{member: m, faults: filepath.Join(m.dir, "patroni")}
	if err := os.Chmod(r.faults, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.dir, "programs", "pgbackrest"), []byte(pgbackrest), 0o755); err != nil {
		t.Fatal(err)
	}
	m.write(filepath.Join(m.dir, "programs", "source.conf"),
		fmt.Sprintf("[global]\nrepo1-path=%[1]s/repo\nlock-path=%[2]s/lock\nspool-path=%[2]s/spool\nlog-level-file=off\n", s.dir, m.dir))
	m.write(filepath.Join(m.dir, "programs", "source-stanza"), stanza+"\n")
	m.write(filepath.Join(m.dir, "programs", "restore-target"), target+"\n")
	return r
}

// on has shell commands run around a command of pgBackRest's, once.
func (r *restored) on(when, script string) {
	r.Helper()
	r.write(filepath.Join(r.faults, when), script+"\n")
}

func (r *restored) restoring() *exec.Cmd {
	cmd := r.command("restore-backup")
	cmd.Env = append(cmd.Env, "PGDATA="+filepath.Join(r.dir, "data"), "RESTORE_CONFIG="+filepath.Join(r.dir, "programs"), "RESTORE_PAUSES=0.1",
		"FAULTS="+r.faults)
	return cmd
}

func (r *restored) restore() (string, error) {
	out, err := r.restoring().CombinedOutput()
	return string(out), err
}

// has restores, and compares what is there then.
func (r *restored) has(wanted string) {
	r.Helper()
	if out, err := r.restore(); err != nil {
		r.Fatalf("%v\n%s", err, out)
	}
	r.serve()
	if rows := r.must("SELECT string_agg(what, ' ' ORDER BY id) FROM things"); rows != wanted {
		r.Errorf("restored are %q, want %q", rows, wanted)
	}
}

// fails restores in vain: it is said why, and nothing looks like a database.
func (r *restored) fails(pattern string) {
	r.Helper()
	out, err := r.restore()
	last := out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]
	if err == nil || !regexp.MustCompile("^restore-backup: .*"+pattern).MatchString(last) {
		r.Errorf("%v, want %q:\n%s", err, pattern, out)
	}
	if entries, err := os.ReadDir(filepath.Join(r.dir, "data")); err == nil && len(entries) > 0 {
		r.Errorf("a database is there: %v", entries)
	}
}

// What cannot be read of the log is not its end: a restore has all up to its time and nothing after it, or fails.
func TestRestore(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	time.Sleep(1500 * time.Millisecond) // a backup is of a whole second, and a time that is restored after it
	s.must("CREATE TABLE things (id serial, what text)")
	_, one := s.commit("INSERT INTO things (what) VALUES ('one')")
	_, two := s.commit("INSERT INTO things (what) VALUES ('two')")
	time.Sleep(50 * time.Millisecond)
	before, _ := s.commit("INSERT INTO things (what) VALUES ('three')")
	time.Sleep(50 * time.Millisecond)
	_, mistake := s.commit("INSERT INTO things (what) VALUES ('mistake')")
	after, last := s.commit("INSERT INTO things (what) VALUES ('last')")
	repo := filepath.Join(s.dir, "repo")

	t.Run("to a time", func(t *testing.T) { s.restoredTo(t, before).has("one two three") })
	t.Run("after the last commit", func(t *testing.T) { s.restoredTo(t, after).has("one two three mistake last") })
	t.Run("a hole is seen by the backup agent", func(t *testing.T) {
		if hole := s.hole(one); hole != "" {
			t.Errorf("%s is missing", hole)
		}
		file := s.files(mistake)[0]
		hidden := file + ".hidden"
		if err := os.Rename(file, hidden); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Rename(hidden, file) }()
		if hole := s.hole(one); hole != mistake {
			t.Errorf("%q is missing, not %s", hole, mistake)
		}
	})
	away := fmt.Sprintf("mv %[1]s %[1]s.away", repo)
	back := fmt.Sprintf("mv %[1]s.away %[1]s", repo)
	t.Run("away for a moment", func(t *testing.T) {
		r := s.restoredTo(t, "")
		r.on("before-archive-get-"+two, away)
		r.on("after-archive-get-"+two, back)
		r.has("one two three mistake last")
	})
	for name, target := range map[string]string{" to a time": before, "": ""} {
		t.Run("away"+name, func(t *testing.T) {
			r := s.restoredTo(t, target)
			r.on("before-archive-get-"+two, away)
			r.fails(two + " cannot be read")
			if err := os.Rename(repo+".away", repo); err != nil {
				t.Fatal(err)
			}
			r.has(map[string]string{"": "one two three mistake last", before: "one two three"}[target])
		})
		t.Run("a segment is missing"+name, func(t *testing.T) {
			r := s.restoredTo(t, target)
			file := s.files(two)[0]
			hidden := file + ".hidden"
			if err := os.Rename(file, hidden); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.Rename(hidden, file) }()
			r.fails(two + " is missing in the archive, which goes on to " + last)
		})
	}
	hide, show := "", ""
	for _, file := range slices.Concat(s.files(mistake), s.files(last)) {
		hide += fmt.Sprintf("mv %[1]s %[1]s.hidden; ", file)
		show += fmt.Sprintf("mv %[1]s.hidden %[1]s; ", file)
	}
	t.Run("archived while the end is looked for", func(t *testing.T) {
		r := s.restoredTo(t, before)
		r.on("before-restore", hide)
		r.on("after-archive-get-"+mistake, show)
		r.has("one two three")
	})
	t.Run("archived when the end was found", func(t *testing.T) {
		r := s.restoredTo(t, before)
		r.on("before-restore", hide)
		// The first segment is asked for anew by a second replay.
		r.on("after-archive-get-"+mistake, fmt.Sprintf("echo '%s' >$FAULTS/before-archive-get-%s", show, one))
		r.has("one two three")
	})
	t.Run("after a failover", func(t *testing.T) {
		data := filepath.Join(s.dir, "data")
		s.run("pg_ctl", "-D", data, "stop", "-m", "fast")
		s.write(filepath.Join(data, "standby.signal"), "")
		s.archives()
		s.must("SELECT pg_promote()")
		_, segment := s.commit("INSERT INTO things (what) VALUES ('failover')")
		if !strings.HasPrefix(segment, "00000002") {
			t.Fatalf("the timeline is that of %s", segment)
		}
		s.restoredTo(t, before).has("one two three")
		s.restoredTo(t, after).has("one two three mistake last")
		s.restoredTo(t, "").has("one two three mistake last failover")
	})
	t.Run("the backups are removed meanwhile", func(t *testing.T) {
		r := s.restoredTo(t, before)
		r.on("before-archive-get-"+one, "rm -r "+repo)
		r.fails(one + " cannot be read")
	})
}
