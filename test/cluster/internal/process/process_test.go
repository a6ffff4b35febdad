package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func store(t *testing.T) Store { return Store{Dir: t.TempDir()} }

func startSleep(t *testing.T, s Store, args ...string) Record {
	t.Helper()
	if err := s.Start(Spec{Name: "sleeper", Dir: s.Dir, Log: filepath.Join(s.Dir, "log"), Args: args}); err != nil {
		t.Fatal(err)
	}
	r, err := s.Load("sleeper")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop("sleeper", time.Second) })
	return r
}

func TestStopEndsWhatWasStarted(t *testing.T) {
	s := store(t)
	r := startSleep(t, s, "sleep", "60")
	if !r.Alive() {
		t.Fatal("the process is not alive after its start")
	}
	if err := s.Stop("sleeper", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if r.Alive() {
		t.Error("the process is alive after Stop")
	}
	if _, err := s.Load("sleeper"); !os.IsNotExist(err) {
		t.Errorf("the record is still there: %v", err)
	}
}

func TestStopKillsWhatIgnoresTheRequest(t *testing.T) {
	s := store(t)
	r := startSleep(t, s, "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
	time.Sleep(100 * time.Millisecond) // for the shell to set its trap
	if err := s.Stop("sleeper", 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if r.Alive() {
		t.Error("the process is alive after Stop")
	}
}

func TestRecycledProcessIDIsLeftAlone(t *testing.T) {
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	s := store(t)
	r, err := describe("recycled", other.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Record){
		"another start time": func(r *Record) { r.StartTime-- },
		"another boot":       func(r *Record) { r.BootID = "before" },
	} {
		recycled := r
		change(&recycled)
		if err := s.save(recycled); err != nil {
			t.Fatal(err)
		}
		if err := s.Stop("recycled", time.Second); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !r.Alive() {
			t.Fatalf("%s: Stop killed a process that it had not started", name)
		}
	}
}
