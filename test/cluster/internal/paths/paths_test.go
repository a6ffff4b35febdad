package paths

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func file(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRootIsTheOperatorsModuleNotANestedOne(t *testing.T) {
	root := t.TempDir()
	file(t, filepath.Join(root, "go.mod"), "module "+Module+"\n")
	file(t, filepath.Join(root, "test/cluster/go.mod"), "module "+Module+"/test/cluster\n")
	got, ok := findRoot(filepath.Join(root, "test/cluster"))
	if !ok || got != root {
		t.Errorf("root %q %v, want %q", got, ok, root)
	}
	if got, ok := findRoot(t.TempDir()); ok {
		t.Errorf("found a root where there is none: %q", got)
	}
}

func TestLayoutRefusesPathsTooLongForSockets(t *testing.T) {
	if _, err := layout("/" + strings.Repeat("x", 60)); err == nil {
		t.Error("a path was accepted below which no socket can be addressed")
	}
	if _, err := layout("/src/checkout"); err != nil {
		t.Error(err)
	}
}

func TestFindFindsThisCheckout(t *testing.T) {
	l, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(l.Root, "test", "cluster", "go.mod")); err != nil {
		t.Errorf("root %s does not hold this module: %v", l.Root, err)
	}
}
