// Package debian installs the few programs that the cluster needs from the system's packages.
package debian

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/progress"
)

// needed maps a file or program to the package that brings it.
var needed = []struct{ program, pkg string }{
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{"iptables", "iptables"},
	{"ip", "iproute2"},
	{"nsenter", "util-linux"},
	{"sysctl", "procps"},
	{"conntrack", "conntrack"},
	{"ethtool", "ethtool"},
	{CNIPlugins + "/ptp", "containernetworking-plugins"},
}

// CNIPlugins is where Debian puts the CNI plugins.
const CNIPlugins = "/usr/lib/cni"

// Ensure installs what is missing, and does nothing if nothing is.
func Ensure(p *progress.Printer) error {
	packages := missing(exists)
	if len(packages) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("missing programs: install the packages %s (this tool can do that on Debian only)", strings.Join(packages, " "))
	}
	return p.Step("installing "+strings.Join(packages, " "), nil, func() error {
		if err := apt("update"); err != nil {
			return err
		}
		return apt(append([]string{"install", "-y", "--no-install-recommends"}, packages...)...)
	})
}

func exists(program string) bool {
	if strings.HasPrefix(program, "/") {
		_, err := os.Stat(program)
		return err == nil
	}
	_, err := exec.LookPath(program)
	return err == nil
}

func missing(exists func(string) bool) []string {
	var packages []string
	seen := map[string]bool{}
	for _, n := range needed {
		if !seen[n.pkg] && !exists(n.program) {
			seen[n.pkg] = true
			packages = append(packages, n.pkg)
		}
	}
	return packages
}

func apt(args ...string) error {
	// Another installation may hold the lock for a while.
	cmd := exec.Command("apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=300"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1") // RUNLEVEL: start no service
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, out.String())
	}
	return nil
}
