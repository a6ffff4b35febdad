package build

import (
	"path/filepath"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/images"
)

// ImagesDir is where, below the binaries, the add-ons' image archives lie.
const ImagesDir = "images"

// archived are the programs that run in pods, each alone in its image.
var archived = []struct{ program, reference string }{
	{"pause", "local/pause:1"},
	{"coredns", "local/coredns:1"},
	{"metrics-server", "local/metrics-server:1"},
}

func archiveImages(dir string) error {
	for _, a := range archived {
		target := filepath.Join(dir, ImagesDir, a.program+".tar")
		if err := images.WriteArchive(target, a.reference, filepath.Join(dir, a.program)); err != nil {
			return err
		}
	}
	return nil
}
