package debian

import (
	"slices"
	"testing"
)

func TestMissingNamesEachPackageOnce(t *testing.T) {
	got := missing(func(program string) bool { return program == "runc" || program == "nsenter" || program == "sysctl" })
	want := []string{"containerd", "iptables", "iproute2", "conntrack", "ethtool", "containernetworking-plugins"}
	if !slices.Equal(got, want) {
		t.Errorf("missing = %v, want %v", got, want)
	}
	if got := missing(func(string) bool { return true }); len(got) != 0 {
		t.Errorf("missing = %v with everything there", got)
	}
}
