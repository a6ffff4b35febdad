package build

import (
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestContentHashChangesWithWhatIsBuiltOnly(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "go.mod", "module x\n")
	write(t, dir, "go.sum", "")
	write(t, dir, "a/main.go", "package main\n")
	hash := func(flags ...string) string {
		h, err := contentHash(dir, flags)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	before := hash()
	if hash("-trimpath") == before {
		t.Error("another flag, the same hash")
	}
	write(t, dir, "a/main_test.go", "package main\n")
	write(t, dir, "README.md", "words\n")
	if hash() != before {
		t.Error("a test or a text changed the hash")
	}
	write(t, dir, "a/main.go", "package main \n")
	changed := hash()
	if changed == before {
		t.Error("another source, the same hash")
	}
	write(t, dir, "go.sum", "y v1 h1:\n")
	if hash() == changed {
		t.Error("other dependencies, the same hash")
	}
	if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	moved := hash()
	if moved == changed {
		t.Error("a file moved, the same hash")
	}
}
