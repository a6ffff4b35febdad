package rollout

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/rollouts.md names for a scenario exists, with its story.
func TestScenariosAreTested(t *testing.T) {
	const root = "../.."
	page, err := os.ReadFile(filepath.Join(root, "docs", "rollouts.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, match := range function.FindAllStringSubmatch(string(text), -1) {
			tests[match[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)(?:/(\\w+))?`").FindAllStringSubmatch(string(page), -1)
	if len(named) < 51 {
		t.Fatalf("the page names only %d tests", len(named))
	}
	for _, name := range named {
		if !tests[name[1]] {
			t.Errorf("docs/rollouts.md names %s, which does not exist", name[1])
		}
		if story := name[2]; story != "" && name[1] != "TestStories" {
			if found, _ := filepath.Glob("testdata/" + story + "*.golden"); len(found) == 0 {
				t.Errorf("docs/rollouts.md names the story %s, which does not exist", story)
			}
		}
	}
}
