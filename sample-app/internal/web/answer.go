package web

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"time"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/dep"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/session"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/store"
)

// maxBody is more than any cart needs.
const maxBody = 64 << 10

// handler answers a request or says why it cannot.
type handler func(http.ResponseWriter, *http.Request) error

// httpError is an error with the status it is answered with.
type httpError struct {
	status  int
	message string
}

func (e *httpError) Error() string { return e.message }

func failure(status int, message string) error { return &httpError{status, message} }

// answer turns a handler's error into a JSON answer; causes inside the shop go to the log, not to the client.
func (s *Server) answer(handle handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		err := handle(w, r.WithContext(ctx))
		if err == nil {
			return
		}
		status, body := describe(err)
		if status >= http.StatusInternalServerError {
			s.Log.Error("request failed", "method", r.Method, "route", r.Pattern, "status", status, "error", err.Error())
		}
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		writeJSON(w, status, body)
	})
}

func describe(err error) (status int, body map[string]string) {
	var known *httpError
	var unavailable *dep.Unavailable
	switch {
	case errors.As(err, &known):
		return known.status, map[string]string{"error": known.message}
	case errors.As(err, &unavailable):
		body = map[string]string{"error": unavailable.Dependency + " is unavailable", "dependency": unavailable.Dependency}
		if unavailable.Variable != "" {
			body["error"] = unavailable.Error()
		}
		return http.StatusServiceUnavailable, body
	case errors.Is(err, session.ErrNone):
		return http.StatusUnauthorized, map[string]string{"error": "log in first: POST /login"}
	case errors.Is(err, store.ErrNotFound):
		return http.StatusNotFound, map[string]string{"error": err.Error()}
	case errors.Is(err, store.ErrKeyReused):
		return http.StatusConflict, map[string]string{"error": err.Error()}
	case errors.Is(err, store.ErrEmptyOrder), errors.Is(err, store.ErrBadQuantity):
		return http.StatusBadRequest, map[string]string{"error": err.Error()}
	}
	return http.StatusInternalServerError, map[string]string{"error": "internal error"}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		slog.Debug("the client went away", "error", err.Error())
	}
}

func isJSON(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return failure(http.StatusBadRequest, "the body is not the JSON wanted: "+err.Error())
	}
	return nil
}

// recorder remembers the status for metrics and log.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the writer below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// observe records each request under the pattern of the routes that will serve it. The pattern is looked up
// first, so that requests which a fault or the cross-origin check ends count under their route too.
func (s *Server) observe(routes *http.ServeMux, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		_, route := routes.Handler(r)
		if route == "" {
			route = "other"
		}
		s.Metrics.InFlight.Inc()
		defer s.Metrics.InFlight.Dec()
		recorded := &recorder{ResponseWriter: w}
		next.ServeHTTP(recorded, r)
		if recorded.status == 0 {
			recorded.status = http.StatusOK
		}
		s.Metrics.Request(route, method(r), recorded.status, time.Since(began))
		s.Log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", recorded.status, "took", time.Since(began).String())
	})
}

// method keeps a client from making labels.
func method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions:
		return r.Method
	}
	return "other"
}
