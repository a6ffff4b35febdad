package web

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/cache"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/config"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/db"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/dep"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/fault"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/health"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/migrate"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/session"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/store"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/telemetry"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/testserver"
)

var quiet = slog.New(slog.DiscardHandler)

// bare is a shop with no dependency.
func bare(t *testing.T) *Server {
	t.Helper()
	metrics := telemetry.New("1.2.3", "rev-7")
	none, err := cache.Open("", time.Minute, metrics)
	must(t, err)
	return &Server{
		Config: config.Config{Version: "1.2.3", Revision: "rev-7", Pod: "shop-0", FaultsAtRuntime: true, StopWithin: 5 * time.Second},
		Log:    quiet, Metrics: metrics, Faults: fault.New(fault.Settings{}), Cache: none, Health: health.New(metrics),
	}
}

// full is a shop with a migrated database, sessions and a cache, all real.
func full(t *testing.T) (server *Server, postgres, sessions *testserver.Server) {
	t.Helper()
	postgres, sessions = testserver.Postgres(t), testserver.Redis(t)
	must(t, migrate.Run(t.Context(), postgres.URL, 10*time.Second, quiet))
	server = bare(t)
	database, err := db.Open(dep.Database, postgres.URL, 10*time.Second, server.Metrics)
	must(t, err)
	t.Cleanup(database.Close)
	server.Store = store.Store{Write: database, Read: &db.Reader{Primary: database}}
	server.Sessions, err = session.Open(sessions.URL, time.Minute, server.Metrics)
	must(t, err)
	t.Cleanup(server.Sessions.Close)
	server.Cache, err = cache.Open(testserver.Redis(t).URL, time.Minute, server.Metrics)
	must(t, err)
	t.Cleanup(server.Cache.Close)
	return server, postgres, sessions
}

// client is a browser without a screen.
type client struct {
	t    *testing.T
	base string
	http *http.Client
}

func browse(t *testing.T, server *Server) *client {
	t.Helper()
	listener := httptest.NewServer(server.Handler())
	t.Cleanup(listener.Close)
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &client{t: t, base: listener.URL, http: &http.Client{Jar: jar, Timeout: 20 * time.Second}}
}

type reply struct {
	status int
	header http.Header
	body   string
	close  bool // the server ended the connection with it
}

// do sends a request; headers are name, value, name, value.
func (c *client) do(method, path, body string, headers ...string) reply {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
	must(c.t, err)
	if strings.HasPrefix(body, "{") {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.http.Do(request)
	must(c.t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	must(c.t, err)
	return reply{response.StatusCode, response.Header, string(text), response.Close}
}

// want sends a request and fails the test unless the answer has this status and holds this text.
func (c *client) want(status int, text, method, path, body string, headers ...string) reply {
	c.t.Helper()
	got := c.do(method, path, body, headers...)
	if got.status != status || !strings.Contains(got.body, text) {
		c.t.Errorf("%s %s %s: %d %s\nwant %d with %q", method, path, body, got.status, got.body, status, text)
	}
	return got
}

func decode[T any](t *testing.T, r reply) (value T) {
	t.Helper()
	must(t, json.Unmarshal([]byte(r.body), &value))
	return value
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
