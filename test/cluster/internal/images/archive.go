// Package images makes image archives without a builder and brings archives into the nodes' containerd.
package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Info is what an archive says about its image.
type Info struct {
	ID   string   // digest of the image's configuration, 64 hexadecimal digits
	Tags []string // names, with docker.io and library added as container runtimes do
}

type manifestEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

type imageConfig struct {
	Architecture string          `json:"architecture"`
	OS           string          `json:"os"`
	Config       containerConfig `json:"config"`
	RootFS       rootFS          `json:"rootfs"`
}

type containerConfig struct {
	Entrypoint []string
	Env        []string
	WorkingDir string
	User       string
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

// WriteArchive writes a docker archive of an image that holds one static program and nothing else. The
// same program gives the same archive, so that an unchanged image is recognised.
func WriteArchive(target, reference, program string) error {
	layer, err := programLayer(program)
	if err != nil {
		return err
	}
	layerSum := sum(layer)
	config, err := json.Marshal(imageConfig{
		Architecture: runtime.GOARCH,
		OS:           "linux",
		Config: containerConfig{
			Entrypoint: []string{"/" + filepath.Base(program)},
			Env:        []string{"PATH=/"},
			WorkingDir: "/",
			User:       "65532:65532",
		},
		RootFS: rootFS{Type: "layers", DiffIDs: []string{"sha256:" + layerSum}},
	})
	if err != nil {
		return err
	}
	configName, layerName := sum(config)+".json", layerSum+".tar"
	manifest, err := json.Marshal([]manifestEntry{{Config: configName, RepoTags: []string{reference}, Layers: []string{layerName}}})
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, file := range []struct {
		name    string
		content []byte
	}{{"manifest.json", manifest}, {configName, config}, {layerName, layer}} {
		if err := addFile(w, file.name, 0o644, file.content); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.WriteFile(target, archive.Bytes(), 0o644)
}

func programLayer(program string) ([]byte, error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	// Programs write temporary files, and a volume can be mounted there only if it exists.
	if err := w.WriteHeader(&tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}); err != nil {
		return nil, err
	}
	if err := addFile(w, filepath.Base(program), 0o755, content); err != nil {
		return nil, err
	}
	return layer.Bytes(), w.Close()
}

func addFile(w *tar.Writer, name string, mode int64, content []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

func sum(content []byte) string {
	digest := sha256.Sum256(content)
	return hex.EncodeToString(digest[:])
}

// Inspect reads what image a docker archive holds. Archives of several images are refused.
func Inspect(archive string) (Info, error) {
	file, err := os.Open(archive)
	if err != nil {
		return Info{}, err
	}
	defer file.Close()
	for r := tar.NewReader(file); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return Info{}, fmt.Errorf("%s is no docker archive: it has no manifest.json", archive)
		}
		if err != nil {
			return Info{}, fmt.Errorf("%s: %w", archive, err)
		}
		if header.Name != "manifest.json" {
			continue
		}
		var entries []manifestEntry
		if err := json.NewDecoder(r).Decode(&entries); err != nil {
			return Info{}, fmt.Errorf("%s: manifest.json: %w", archive, err)
		}
		return info(archive, entries)
	}
}

func info(archive string, entries []manifestEntry) (Info, error) {
	if len(entries) != 1 || len(entries[0].RepoTags) == 0 {
		return Info{}, fmt.Errorf("%s: want one image with a name, found %d images", archive, len(entries))
	}
	// Docker names the configuration DIGEST.json or, since it writes OCI layouts, blobs/sha256/DIGEST.
	id := strings.TrimSuffix(filepath.Base(entries[0].Config), ".json")
	if len(id) != 2*sha256.Size {
		return Info{}, fmt.Errorf("%s: %q does not name an image configuration", archive, entries[0].Config)
	}
	result := Info{ID: id}
	for _, tag := range entries[0].RepoTags {
		result.Tags = append(result.Tags, normalize(tag))
	}
	return result, nil
}

// normalize completes a short image name the way container runtimes do.
func normalize(tag string) string {
	first, _, path := strings.Cut(tag, "/")
	switch {
	case !path:
		return "docker.io/library/" + tag
	case strings.ContainsAny(first, ".:") || first == "localhost":
		return tag
	default:
		return "docker.io/" + tag
	}
}
