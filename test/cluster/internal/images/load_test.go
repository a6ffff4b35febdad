package images

import (
	"os"
	"path/filepath"
	"testing"
)

func TestShelfReplacesAnImageOfTheSameName(t *testing.T) {
	shelf := Shelf{Dir: t.TempDir()}
	var last string
	for _, content := range []string{"one", "two", "two"} {
		file := archive(t, content)
		image, err := Inspect(file)
		if err != nil {
			t.Fatal(err)
		}
		if last, err = shelf.Put(file, image); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := shelf.List()
	if err != nil {
		t.Fatal(err)
	}
	if len(kept) != 1 || kept[0] != last {
		t.Errorf("kept %v, want only %s", kept, last)
	}
}

func TestShelfKeepsItsOwnCopy(t *testing.T) {
	shelf := Shelf{Dir: t.TempDir()}
	file := archive(t, "one")
	image, _ := Inspect(file)
	kept, err := shelf.Put(file, image)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("half written"), 0o644); err != nil {
		t.Fatal(err)
	}
	if again, err := Inspect(kept); err != nil || again.ID != image.ID {
		t.Errorf("the copy changed with the original: %v %v", again, err)
	}
}

func TestHasWantsEveryNameToStandForTheImage(t *testing.T) {
	image := Info{ID: "new", Tags: []string{"docker.io/local/app:1"}}
	present := []string{"sha256:new", "sha256:old", "docker.io/local/app:1"}
	for name, test := range map[string]struct {
		present  []string
		imported map[string]string
		want     bool
	}{
		"there":                       {present, map[string]string{"docker.io/local/app:1": "new"}, true},
		"the name stands for another": {present, map[string]string{"docker.io/local/app:1": "old"}, false},
		"not by us":                   {present, nil, false},
		"removed since":               {present[1:], map[string]string{"docker.io/local/app:1": "new"}, false},
	} {
		if got := has(test.present, test.imported, image); got != test.want {
			t.Errorf("%s: has = %v, want %v", name, got, test.want)
		}
	}
	damaged := Runtime{Record: filepath.Join(t.TempDir(), "images.json")}
	if err := os.WriteFile(damaged.Record, []byte("{half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := damaged.imported(); got == nil || len(got) != 0 {
		t.Errorf("a damaged record gives %v", got)
	}
}
