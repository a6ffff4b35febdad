// Package process starts the cluster's long-running processes and ends them by what it recorded:
// process id and start time together, so that an id which the system gave to another process
// since is never signalled.
package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Record identifies a process for good.
type Record struct {
	Name      string `json:"name"`
	PID       int    `json:"pid"`
	StartTime uint64 `json:"startTime"` // clock ticks since boot
	BootID    string `json:"bootID"`    // start times repeat after a reboot
}

// Store keeps records in a directory, one file each.
type Store struct{ Dir string }

// Spec says what to start.
type Spec struct {
	Name  string
	Netns string // name of the network namespace; empty: the machine's own
	Dir   string // working directory; the cluster's owner is read off it
	Log   string
	Args  []string
	// Joined is called with the process id right after the start, to put it into its cgroups.
	Joined func(pid int) error
}

// Start starts a process that outlives this one, and records it.
func (s Store) Start(spec Spec) error {
	log, err := openLog(spec.Log)
	if err != nil {
		return err
	}
	defer log.Close()
	args := spec.Args
	if spec.Netns != "" {
		// Not `ip netns exec`: that remounts /sys, and kubelet then finds no cgroups.
		args = append([]string{"nsenter", "--net=/run/netns/" + spec.Netns, "--"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = spec.Dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Env = environment()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	pid := cmd.Process.Pid
	record, err := describe(spec.Name, pid)
	if err == nil {
		err = s.save(record)
	}
	if err == nil && spec.Joined != nil {
		err = spec.Joined(pid)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	// A process that ends while this one still lives is to vanish instead of staying a zombie.
	go func() { _ = cmd.Wait() }()
	return nil
}

// environment is deliberately not the caller's: proxy settings would make image pulls hang and
// credentials have no business in a cluster.
func environment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/nonexistent", "LANG=C.UTF-8"}
}

func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > 8<<20 {
		_ = os.Rename(path, path+".1") // logs are bounded across restarts
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
}

func (s Store) file(name string) string { return filepath.Join(s.Dir, name+".json") }

func (s Store) save(r Record) error {
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(s.file(r.Name), content, 0o644)
}

// Load returns a process's record, or fs.ErrNotExist.
func (s Store) Load(name string) (Record, error) {
	var r Record
	content, err := os.ReadFile(s.file(name))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(content, &r)
}

// List returns every record.
func (s Store) List() ([]Record, error) {
	files, err := filepath.Glob(s.file("*"))
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, file := range files {
		r, err := s.Load(strings.TrimSuffix(filepath.Base(file), ".json"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		records = append(records, r)
	}
	return records, nil
}

// Alive tells whether the very process that was recorded still runs.
func (r Record) Alive() bool {
	now, err := describe(r.Name, r.PID)
	return err == nil && now == r
}

// Stop ends a recorded process: it asks first, and kills what has not ended after grace.
func (s Store) Stop(name string, grace time.Duration) error {
	r, err := s.Load(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, grace}, {syscall.SIGKILL, 5 * time.Second}} {
		if !r.Alive() {
			break
		}
		if err := syscall.Kill(r.PID, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stopping %s: %w", name, err)
		}
		// A stopped process (SIGSTOP) takes no SIGTERM before it is continued.
		_ = syscall.Kill(r.PID, syscall.SIGCONT)
		waitGone(r, step.wait)
	}
	if r.Alive() {
		return fmt.Errorf("%s (process %d) does not end", name, r.PID)
	}
	return os.Remove(s.file(name))
}

func waitGone(r Record, limit time.Duration) {
	for deadline := time.Now().Add(limit); r.Alive() && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
}

// describe reads a live process's identity. A zombie counts as gone.
func describe(name string, pid int) (Record, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Record{}, err
	}
	// The command in parentheses may hold spaces and parentheses: fields count from the last one.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return Record{}, fs.ErrNotExist
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return Record{}, err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Record{}, err
	}
	return Record{Name: name, PID: pid, StartTime: start, BootID: strings.TrimSpace(string(boot))}, nil
}
