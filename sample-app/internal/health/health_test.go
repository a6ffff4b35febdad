package health

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/telemetry"
)

// world is a required dependency and one that is not, switched by the test.
type world struct {
	required, optional error
	asked              int
}

func (w *world) checker() *Checker {
	return New(telemetry.New("", ""),
		Check{Name: "db", Required: true, Ping: func(context.Context) error { w.asked++; return w.required }},
		Check{Name: "cache", Ping: func(context.Context) error { return w.optional }})
}

func TestReadiness(t *testing.T) {
	gone := errors.New("gone")
	synctest.Test(t, func(t *testing.T) {
		w := &world{required: gone}
		c := w.checker()
		expect := func(when string, ready bool, status string) {
			t.Helper()
			time.Sleep(keepFor)
			if r := c.Report(t.Context()); r.Ready != ready || r.Status != status {
				t.Errorf("%s: %+v", when, r)
			}
		}
		expect("before the database ever answered", false, "not ready")
		w.required, w.optional = nil, gone
		expect("without the cache", true, "degraded")
		w.optional = nil
		expect("with all", true, "ready")
		w.required = gone
		expect("when all pods lose the database at once", true, "degraded")
		w.required = nil
		expect("when it is back", true, "ready")
	})
}

func TestProbesShareARoundOfChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		c := w.checker()
		for range 100 {
			c.Report(t.Context())
		}
		if w.asked != 1 {
			t.Errorf("the database was asked %d times within a second", w.asked)
		}
		time.Sleep(keepFor)
		c.Report(t.Context())
		if w.asked != 2 {
			t.Errorf("asked %d times after a second, want 2", w.asked)
		}
	})
}

func TestASilentDependencyDoesNotHoldTheProbeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(telemetry.New("", ""), Check{Name: "db", Required: true,
			Ping: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }})
		began := time.Now()
		if r := c.Report(t.Context()); r.Ready {
			t.Errorf("ready: %+v", r)
		}
		if took := time.Since(began); took >= time.Second {
			t.Errorf("took %s: a probe's default timeout is 1 s", took)
		}
	})
}
