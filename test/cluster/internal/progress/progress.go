// Package progress tells a person how far a long command is, one line a step, with and without a
// terminal.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Printer prints steps.
type Printer struct {
	mu    sync.Mutex
	out   io.Writer
	every time.Duration
	start time.Time
}

// New returns a printer that reports a step still under way every 20 seconds.
func New(out io.Writer) *Printer {
	return &Printer{out: out, every: 20 * time.Second, start: time.Now()}
}

// Elapsed is the time since the printer was made.
func (p *Printer) Elapsed() time.Duration { return time.Since(p.start).Round(100 * time.Millisecond) }

// Say prints one line.
func (p *Printer) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// Step runs one step and prints how it ended and how long it took. A step that takes long is
// reported while it runs; detail, if not nil, adds to that line (how far it is).
func (p *Printer) Step(name string, detail func() string, run func() error) error {
	began := time.Now()
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() { p.watch(name, detail, began, done) })
	err := run()
	close(done)
	watcher.Wait()
	took := time.Since(began)
	if err != nil {
		p.Say("✗ %s (%s): failed", name, Short(took))
		return err
	}
	p.Say("✓ %s (%s)", name, Short(took))
	return nil
}

func (p *Printer) watch(name string, detail func() string, began time.Time, done <-chan struct{}) {
	ticker := time.NewTicker(p.every)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
			more := ""
			if detail != nil {
				more = detail()
			}
			p.Say("  still at it: %s… %s%s", name, Short(time.Since(began)), more)
		}
	}
}

// Short formats a duration for people: 0.4s, 12s, 3m20s.
func Short(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
