// Package build compiles the programs that the cluster runs, once for each content, into the user's
// cache directory.
package build

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/paths"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/progress"
)

// KubernetesVersion is what ../../kubernetes/go.mod requires; clients and charts read it off the API.
const KubernetesVersion = "v1.36.3"

// module is a Go module of this directory whose main packages are built together.
type module struct {
	name  string
	flags []string
	// packages are those to build, if not the module's own.
	packages string
	// finish adds files to what was built.
	finish func(dir string) error
}

var kubernetes = module{
	name: "kubernetes",
	flags: []string{"-trimpath", "-buildvcs=false", "-ldflags", "-s -w" +
		" -X k8s.io/component-base/version.gitVersion=" + KubernetesVersion +
		" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"},
	finish: linkComponents,
}

var addons = module{
	name:   "addons",
	flags:  []string{"-trimpath", "-buildvcs=false", "-ldflags", "-s -w"},
	finish: archiveImages,
}

// traefik is somebody else's program in a version that go.mod pins.
var traefik = module{
	name:     "traefik",
	flags:    []string{"-trimpath", "-buildvcs=false", "-ldflags", "-s -w"},
	packages: "github.com/traefik/traefik/v3/cmd/traefik",
	finish:   func(string) error { return nil },
}

// Components are the names under which the one Kubernetes binary runs.
var Components = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"}

// Builder builds into the cache.
type Builder struct {
	Layout   paths.Layout
	Progress *progress.Printer
}

// Kubernetes returns the directory with kube and a link for each component, building it if needed.
func (b Builder) Kubernetes() (string, error) { return b.ensure(kubernetes) }

// All returns a directory with everything that a cluster runs, building what is not there. Kubernetes
// comes first: the add-ons then take what both have in common from Go's build cache.
func (b Builder) All() (string, error) {
	kube, err := b.Kubernetes()
	if err != nil {
		return "", err
	}
	extra, err := b.ensure(addons)
	if err != nil {
		return "", err
	}
	hash := func(dir string) string { return dir[strings.LastIndexByte(dir, '-')+1:] }
	all := filepath.Join(b.Layout.Cache, "bin", "all-"+hash(kube)+"-"+hash(extra))
	return all, b.once(all, func(dir string) error { return linkAll(dir, kube, extra) })
}

// Traefik returns the program, building it if needed.
func (b Builder) Traefik() (string, error) {
	dir, err := b.ensure(traefik)
	return filepath.Join(dir, "traefik"), err
}

// GatewayAPI returns the directory with the CRDs of the Gateway API in the version that the operator is
// built with: they come with its Go module.
func (b Builder) GatewayAPI() (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", "sigs.k8s.io/gateway-api")
	cmd.Dir = b.Layout.Root
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if err == nil {
		err = json.Unmarshal(out, &module)
	}
	if err != nil || module.Dir == "" {
		return "", fmt.Errorf("getting the module sigs.k8s.io/gateway-api: %w %s", err, module.Error)
	}
	return filepath.Join(module.Dir, "config", "crd", "standard"), nil
}

func (b Builder) ensure(m module) (string, error) {
	source := filepath.Join(b.Layout.Root, "test", "cluster", m.name)
	hash, err := contentHash(source, m.flags)
	if err != nil {
		return "", err
	}
	target := filepath.Join(b.Layout.Cache, "bin", m.name+"-"+hash)
	return target, b.once(target, func(dir string) error { return b.compile(m, source, dir) })
}

// once makes a directory by running fill on a temporary one. Of several processes that want it at the
// same time one makes it and the others wait.
func (b Builder) once(target string, fill func(dir string) error) error {
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	unlock, err := b.lock(target + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	temporary := target + ".tmp"
	if err := os.RemoveAll(temporary); err != nil { // of a build that was interrupted
		return err
	}
	if err := os.Mkdir(temporary, 0o755); err != nil {
		return err
	}
	if err := fill(temporary); err != nil {
		return err
	}
	return os.Rename(temporary, target)
}

func (b Builder) lock(path string) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	lock := func(how int) error { return syscall.Flock(int(file.Fd()), how) }
	err = lock(syscall.LOCK_EX | syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = b.Progress.Step("waiting for another process that builds "+strings.TrimSuffix(filepath.Base(path), ".lock"), nil,
			func() error { return lock(syscall.LOCK_EX) })
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return func() { file.Close() }, nil
}

func (b Builder) compile(m module, source, dir string) error {
	var packages atomic.Int64
	detail := func() string { return fmt.Sprintf(", %d packages compiled", packages.Load()) }
	return b.Progress.Step("building "+m.name+" (minutes the first time, then cached)", detail, func() error {
		// -mod=readonly and GOWORK=off: the result must follow from the files that the hash covers.
		args := append([]string{"build", "-v", "-mod=readonly", "-o", dir + "/"}, m.flags...)
		targets := "./..."
		if m.packages != "" {
			targets = m.packages
		}
		cmd := exec.Command("go", append(args, targets)...)
		cmd.Dir = source
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
		tail, err := countLines(cmd, &packages)
		if err != nil {
			return fmt.Errorf("building %s: %w\n%s", m.name, err, tail)
		}
		return m.finish(dir)
	})
}

// countLines runs a command, counts what it prints to stderr and returns the last lines of that.
func countLines(cmd *exec.Cmd, count *atomic.Int64) (string, error) {
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	var last []string
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), "go: downloading") {
			count.Add(1)
		}
		if last = append(last, lines.Text()); len(last) > 30 {
			last = last[1:]
		}
	}
	_, _ = io.Copy(io.Discard, stderr) // so that an overlong line cannot block the command
	return strings.Join(last, "\n"), cmd.Wait()
}

func linkComponents(dir string) error {
	// A module with a single main package is named after the module's directory.
	if err := os.Rename(filepath.Join(dir, "kubernetes"), filepath.Join(dir, "kube")); err != nil {
		return err
	}
	for _, name := range Components {
		if err := os.Symlink("kube", filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func linkAll(dir string, from ...string) error {
	for _, source := range from {
		entries, err := os.ReadDir(source)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := os.Symlink(filepath.Join(source, entry.Name()), filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
