package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Runtime is one node's containerd.
type Runtime struct {
	Socket string
	Record string // file that says which image each name was imported as
}

// Load imports an archive unless the node has that very image under its names. It tells whether it
// imported anything.
func (r Runtime) Load(archive string, image Info) (bool, error) {
	imported := r.imported()
	present, err := r.ctr("images", "ls", "-q")
	if err != nil {
		return false, err
	}
	if has(strings.Fields(present), imported, image) {
		return false, nil
	}
	if _, err := r.ctr("images", "import", archive); err != nil {
		return false, err
	}
	for _, tag := range image.Tags {
		imported[tag] = image.ID
	}
	content, err := json.Marshal(imported)
	if err != nil {
		return false, err
	}
	return true, os.WriteFile(r.Record, content, 0o644)
}

// has tells whether all names stand for the image. containerd's list shows that image and names exist
// but not which image a name stands for (it shows the manifest's digest, the archive has the
// configuration's), hence the record besides.
func has(present []string, imported map[string]string, image Info) bool {
	if !slices.Contains(present, "sha256:"+image.ID) {
		return false
	}
	for _, tag := range image.Tags {
		if imported[tag] != image.ID || !slices.Contains(present, tag) {
			return false
		}
	}
	return true
}

func (r Runtime) imported() map[string]string {
	names := map[string]string{}
	if content, err := os.ReadFile(r.Record); err == nil {
		_ = json.Unmarshal(content, &names) // a damaged record costs one import too many
	}
	if names == nil {
		names = map[string]string{}
	}
	return names
}

func (r Runtime) ctr(args ...string) (string, error) {
	cmd := exec.Command("ctr", append([]string{"--address", r.Socket, "--namespace", "k8s.io"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// Shelf keeps a copy of every archive that was loaded, for nodes that start later.
type Shelf struct{ Dir string }

// Put keeps an archive and drops those whose names it takes over. It returns the copy's path.
func (s Shelf) Put(archive string, image Info) (string, error) {
	kept := filepath.Join(s.Dir, image.ID+".tar")
	if err := s.drop(image); err != nil {
		return "", err
	}
	if here, err := Inspect(kept); err == nil && slices.Equal(here.Tags, image.Tags) {
		return kept, nil
	}
	return kept, copyFile(archive, kept)
}

// drop forgets images none of whose names is left after image took its own.
func (s Shelf) drop(image Info) error {
	archives, err := s.List()
	if err != nil {
		return err
	}
	for _, archive := range archives {
		other, err := Inspect(archive)
		if err != nil || other.ID == image.ID {
			continue
		}
		left := slices.DeleteFunc(other.Tags, func(tag string) bool { return slices.Contains(image.Tags, tag) })
		if len(left) == 0 {
			if err := os.Remove(archive); err != nil {
				return err
			}
		}
	}
	return nil
}

// List returns the archives kept.
func (s Shelf) List() ([]string, error) { return filepath.Glob(filepath.Join(s.Dir, "*.tar")) }

// copyFile copies rather than links: the next build may write the original in place.
func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(to + ".tmp")
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if err = errors.Join(err, target.Close()); err != nil {
		return err
	}
	return os.Rename(to+".tmp", to)
}
