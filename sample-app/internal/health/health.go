// Package health decides whether the shop is ready for requests.
//
// Ready needs every required dependency to have answered once since the process started: a new version with
// a wrong password or a blocked network never gets traffic, and the rollout stops. From then on a dependency
// that fails makes the answer "degraded" but leaves the pod ready. All pods share the database and the
// session store: if their loss made pods unready, all would leave the Service at the same moment, pages that
// need neither would fail too, and clients would meet refused connections instead of a clear 503.
package health

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/telemetry"
)

const (
	// checkTimeout is shorter than the timeout of a probe, which is one second unless told otherwise.
	checkTimeout = 700 * time.Millisecond
	// keepFor shares one round of checks among the probes of a second.
	keepFor = time.Second

	up   = "up"
	down = "down"
)

// Check is one dependency.
type Check struct {
	Name string
	// Required dependencies must have answered once before the shop is ready.
	Required bool
	Ping     func(context.Context) error
}

// Report is the answer of the readiness probe.
type Report struct {
	Ready bool `json:"ready"`
	// Status is ready, degraded (ready, but a dependency is down) or not ready.
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
	// Dependencies says up or down; why stands in the log, for the answer is for anybody.
	Dependencies map[string]string `json:"dependencies"`
}

// Checker answers readiness.
type Checker struct {
	checks  []Check
	metrics *telemetry.Metrics

	mu      sync.Mutex
	seen    map[string]bool
	last    Report
	lastRun time.Time
}

// New makes a checker of the dependencies that are configured.
func New(metrics *telemetry.Metrics, checks ...Check) *Checker {
	return &Checker{checks: checks, metrics: metrics, seen: map[string]bool{}}
}

// Report checks all dependencies, or returns what was found within the last second. Who asks meanwhile waits
// for the round under way.
func (c *Checker) Report(ctx context.Context) Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lastRun.IsZero() && time.Since(c.lastRun) < keepFor {
		return c.last
	}
	// The result is for others too: it must not fail because this caller went away.
	errs := c.ping(context.WithoutCancel(ctx))
	report := Report{Ready: true, Status: "ready", Dependencies: map[string]string{}}
	for i, check := range c.checks {
		c.metrics.DependencyUp(check.Name, errs[i] == nil)
		if errs[i] == nil {
			c.seen[check.Name] = true
			report.Dependencies[check.Name] = up
			continue
		}
		if c.last.Dependencies[check.Name] != down {
			slog.Warn("a dependency does not answer", "dependency", check.Name, "error", errs[i].Error())
		}
		report.Dependencies[check.Name] = down
		if check.Required && !c.seen[check.Name] {
			report.Ready = false
			report.Reason = check.Name + " has not answered since the start"
		}
		report.Status = "degraded"
	}
	if !report.Ready {
		report.Status = "not ready"
	}
	c.last, c.lastRun = report, time.Now()
	return report
}

func (c *Checker) ping(ctx context.Context) []error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	errs := make([]error, len(c.checks))
	var wg sync.WaitGroup
	for i, check := range c.checks {
		wg.Go(func() { errs[i] = check.Ping(ctx) })
	}
	wg.Wait()
	return errs
}
