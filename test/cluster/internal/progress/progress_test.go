package progress

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestStepReportsWhileItRunsAndHowItEnds(t *testing.T) {
	var out strings.Builder
	p := New(&out)
	p.every = 5 * time.Millisecond
	_ = p.Step("building kube", func() string { return ", 7 packages" }, func() error { time.Sleep(40 * time.Millisecond); return nil })
	failed := errors.New("no")
	if err := p.Step("starting", nil, func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("Step returned %v", err)
	}
	for _, want := range []string{"still at it: building kube…", ", 7 packages", "✓ building kube (", "✗ starting ("} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, out.String())
		}
	}
}
