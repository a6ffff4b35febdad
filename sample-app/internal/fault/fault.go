// Package fault makes the shop misbehave on demand, so that rollouts, gates and alerts can be tried on it.
package fault

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// Settings say how the shop misbehaves. The zero value is a healthy shop.
type Settings struct {
	// ErrorRatio is the share of requests, 0 to 1, answered with 500.
	ErrorRatio float64 `json:"errorRatio"`
	// DelayMillis is waited before each answer.
	DelayMillis int `json:"delayMillis"`
	// NeverReady fails the readiness probe.
	NeverReady bool `json:"neverReady"`
}

// Validate tells what is out of range.
func (s Settings) Validate() error {
	if !(s.ErrorRatio >= 0 && s.ErrorRatio <= 1) {
		return fmt.Errorf("errorRatio %v: want 0 to 1", s.ErrorRatio)
	}
	if s.DelayMillis < 0 || s.DelayMillis > 60_000 {
		return fmt.Errorf("delayMillis %d: want 0 to 60000", s.DelayMillis)
	}
	return nil
}

// Switches holds the settings in force; they may change while requests are served.
type Switches struct{ current atomic.Pointer[Settings] }

// New starts with the settings given.
func New(s Settings) *Switches {
	w := &Switches{}
	w.Set(s)
	return w
}

// Get returns the settings in force.
func (w *Switches) Get() Settings { return *w.current.Load() }

// Set replaces the settings.
func (w *Switches) Set(s Settings) { w.current.Store(&s) }

// Middleware applies delay and errors. Probes and metrics must not go through it: a shop that lies about
// its health is a different fault from one that serves badly.
func (w *Switches) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s := w.Get()
		if s.DelayMillis > 0 {
			timer := time.NewTimer(time.Duration(s.DelayMillis) * time.Millisecond)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
				return
			}
		}
		if s.ErrorRatio > 0 && rand.Float64() < s.ErrorRatio {
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(http.StatusInternalServerError)
			_, _ = rw.Write([]byte(`{"error":"injected fault"}` + "\n"))
			return
		}
		next.ServeHTTP(rw, r)
	})
}
