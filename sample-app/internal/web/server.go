// Package web is the shop's face: its routes, what they answer, and how the server starts and stops.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/cache"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/config"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/fault"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/health"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/session"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/store"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/telemetry"
)

// requestTimeout bounds one request, retries in a failover included.
const requestTimeout = 15 * time.Second

// Server answers the shop's requests.
type Server struct {
	Config   config.Config
	Log      *slog.Logger
	Metrics  *telemetry.Metrics
	Health   *health.Checker
	Faults   *fault.Switches
	Sessions *session.Store
	Cache    *cache.Cache
	Store    store.Store
	// Exit ends the process when POST /fault asks for a crash; os.Exit if nil.
	Exit func(code int)

	draining atomic.Bool
}

// Handler returns all routes.
func (s *Server) Handler() http.Handler {
	shop := http.NewServeMux()
	for pattern, handle := range map[string]handler{
		"GET /{$}":            s.index,
		"POST /login":         s.login,
		"POST /logout":        s.logout,
		"GET /cart":           s.getCart,
		"POST /cart":          s.setCart,
		"GET /orders":         s.listOrders,
		"POST /orders":        s.placeOrder,
		"GET /catalogue":      s.listProducts,
		"GET /catalogue/{id}": s.getProduct,
	} {
		shop.Handle(pattern, s.answer(handle))
	}
	// Requests that a browser sends because another site told it to are refused: the session is a cookie.
	guarded := http.NewCrossOriginProtection().Handler(shop)

	root := http.NewServeMux()
	root.Handle("/", s.observe(shop, s.Faults.Middleware(guarded)))
	root.HandleFunc("GET /livez", s.live)
	root.HandleFunc("GET /readyz", s.ready)
	root.HandleFunc("GET /version", s.version)
	root.Handle("GET /metrics", s.Metrics.Handler())
	root.Handle("GET /fault", s.answer(s.getFault))
	root.Handle("POST /fault", s.answer(s.setFault))
	return s.closeWhenDraining(root)
}

// Serve answers requests on the listener until ctx ends, then drains: it goes on serving for DrainFor while
// asking clients to come back on another connection, and lets what is under way finish within StopWithin.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout + 5*time.Second,
		// Longer than a proxy's, so that the proxy closes first and never writes to a closed connection.
		IdleTimeout: 120 * time.Second,
		ErrorLog:    slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("server: %w", err)
	case <-ctx.Done():
	}
	s.Log.Info("draining", "for", s.Config.DrainFor.String())
	s.draining.Store(true)
	time.Sleep(s.Config.DrainFor)
	stop, cancel := context.WithTimeout(context.Background(), s.Config.StopWithin)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		return fmt.Errorf("requests were still under way after %s: %w", s.Config.StopWithin, err)
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	s.Log.Info("stopped")
	return nil
}

// closeWhenDraining ends each connection with its answer, so that clients reconnect to another pod and none
// writes to a connection that Shutdown closes.
func (s *Server) closeWhenDraining(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// live tells that the process answers. It asks nobody else: restarting the shop mends no database.
func (s *Server) live(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("ok\n"))
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	report := s.Health.Report(r.Context())
	switch {
	case s.draining.Load():
		report.Ready, report.Reason = false, "draining"
	case s.Faults.Get().NeverReady:
		report.Ready, report.Reason = false, "told never to be ready"
	}
	status := http.StatusOK
	if !report.Ready {
		report.Status = "not ready"
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, report)
}

func (s *Server) version(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{
		"version": s.Config.Version, "revision": s.Config.Revision, "pod": s.Config.Pod, "go": runtime.Version(),
	})
}

func (s *Server) getFault(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, s.Faults.Get())
	return nil
}

// setFault replaces the faults; {"crash": true} ends the process with code 3 once the answer is out.
func (s *Server) setFault(w http.ResponseWriter, r *http.Request) error {
	if !s.Config.FaultsAtRuntime {
		return failure(http.StatusForbidden, "faults can be changed only with FAULTS=Enabled")
	}
	var request struct {
		fault.Settings
		Crash bool `json:"crash"`
	}
	if err := readJSON(w, r, &request); err != nil {
		return err
	}
	if err := request.Validate(); err != nil {
		return failure(http.StatusBadRequest, err.Error())
	}
	s.Faults.Set(request.Settings)
	s.Log.Warn("faults changed", "settings", request.Settings, "crash", request.Crash)
	writeJSON(w, http.StatusOK, request)
	if request.Crash {
		exit := s.Exit
		if exit == nil {
			exit = os.Exit
		}
		time.AfterFunc(100*time.Millisecond, func() { exit(3) })
	}
	return nil
}
