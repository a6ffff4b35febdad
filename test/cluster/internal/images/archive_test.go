package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func program(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func archive(t *testing.T, content string) string {
	t.Helper()
	target := filepath.Join(t.TempDir(), "images", "app.tar")
	if err := WriteArchive(target, "local/app:1", program(t, content)); err != nil {
		t.Fatal(err)
	}
	return target
}

func entries(t *testing.T, content []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	r := tar.NewReader(bytes.NewReader(content))
	for {
		header, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = body
	}
}

// TestArchiveDigests checks what a runtime checks when it loads the archive.
func TestArchiveDigests(t *testing.T) {
	content, err := os.ReadFile(archive(t, "#!program"))
	if err != nil {
		t.Fatal(err)
	}
	files := entries(t, content)
	var manifest []manifestEntry
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	var config imageConfig
	if err := json.Unmarshal(files[manifest[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	layer := files[manifest[0].Layers[0]]
	digest := sha256.Sum256(layer)
	if want := "sha256:" + hex.EncodeToString(digest[:]); config.RootFS.DiffIDs[0] != want {
		t.Errorf("diff id %s, the layer's digest is %s", config.RootFS.DiffIDs[0], want)
	}
	if got := entries(t, layer)["app"]; string(got) != "#!program" {
		t.Errorf("the layer holds %q", got)
	}
	if config.Config.Entrypoint[0] != "/app" {
		t.Errorf("entry point %v", config.Config.Entrypoint)
	}
}

func TestInspect(t *testing.T) {
	first, err := Inspect(archive(t, "one"))
	if err != nil {
		t.Fatal(err)
	}
	again, _ := Inspect(archive(t, "one"))
	other, _ := Inspect(archive(t, "two"))
	if first.ID != again.ID {
		t.Error("the same program gave two images")
	}
	if first.ID == other.ID {
		t.Error("two programs gave the same image")
	}
	if len(first.Tags) != 1 || first.Tags[0] != "docker.io/local/app:1" {
		t.Errorf("tags %v", first.Tags)
	}
	if _, err := Inspect(program(t, "no archive at all")); err == nil {
		t.Error("a file that is no archive was taken for one")
	}
}

func TestNormalize(t *testing.T) {
	for tag, want := range map[string]string{
		"redis:8":                "docker.io/library/redis:8",
		"local/pause:1":          "docker.io/local/pause:1",
		"localhost/app:1":        "localhost/app:1",
		"registry.test/team/a:1": "registry.test/team/a:1",
		"host:5000/a:1":          "host:5000/a:1",
		"docker.io/library/a:1":  "docker.io/library/a:1",
	} {
		if got := normalize(tag); got != want {
			t.Errorf("normalize(%q) = %q, want %q", tag, got, want)
		}
	}
}
