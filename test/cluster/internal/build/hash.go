package build

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
)

// contentHash names a module's build: by its sources, its dependencies' versions, the compiler and
// the flags. Tests are left out, they do not change the result.
func contentHash(dir string, flags []string) (string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		source := strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
		if !d.IsDir() && (source || name == "go.mod" || name == "go.sum") {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	sort.Strings(files)
	hash := sha256.New()
	fmt.Fprintf(hash, "%s %s %s %q\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, flags)
	for _, file := range files {
		if err := hashFile(hash, dir, file); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(hash.Sum(nil))[:12], nil
}

func hashFile(hash io.Writer, dir, file string) error {
	name, err := filepath.Rel(dir, file)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	fmt.Fprintf(hash, "%s %d\n", name, len(content))
	_, err = hash.Write(content)
	return err
}
