package promql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

func TestSubstitute(t *testing.T) {
	values := Values{Revision: "shop-1a2b", Namespace: "prod", App: "shop", Window: 40500 * time.Millisecond}
	got := Substitute(`rate(x{revision="$(revision)",ns="$(namespace)",app="$(app)",other="$(other)"}[$(window)]) > $(window)`, values)
	want := `rate(x{revision="shop-1a2b",ns="prod",app="shop",other="$(other)"}[40s]) > 40s`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := Substitute("$(window)", Values{}); got != "1s" {
		t.Errorf("a window of no length is %s", got)
	}
}

// A real Prometheus, which scrapes a program that counts.
func TestAsk(t *testing.T) {
	registry := prometheus.NewRegistry()
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total"}, []string{"revision", "code"})
	registry.MustRegister(requests)
	requests.WithLabelValues("new", "200").Add(90)
	requests.WithLabelValues("new", "500").Add(10)
	requests.WithLabelValues("old", "200").Add(50)
	target := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer target.Close()
	address := testkit.Prometheus(t, strings.TrimPrefix(target.URL, "http://"))

	ratio := `sum(http_requests_total{revision="$(revision)",code=~"5.."}) / sum(http_requests_total{revision="$(revision)"})`
	query := Substitute(ratio, Values{Revision: "new"})
	value, err := wait(t, address, query)
	if err != nil || value != 0.1 {
		t.Fatalf("%v, %v; want 0.1", value, err)
	}
	ask := func(query string) (float64, error) { return new(Client).Ask(t.Context(), address, query) }
	if value, err := ask("1 + 2"); err != nil || value != 3 {
		t.Errorf("a scalar: %v, %v", value, err)
	}
	if value, err := ask("vector(0) / 0"); err != nil || !math.IsNaN(value) {
		t.Errorf("NaN is told as it is, for the gate to judge: %v, %v", value, err)
	}
	for query, want := range map[string]string{
		"sum(":                    "the query does not parse: invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis",
		`http_requests_total[5m]`: "the query's answer is a matrix, and one number is needed",
	} {
		var invalid *InvalidError
		if _, err := ask(query); !errors.As(err, &invalid) || err.Error() != want {
			t.Errorf("%s: %v (%T), want the invalid query %q", query, err, err, want)
		}
	}
	for query, want := range map[string]string{
		"nosuchmetric":        "the query's answer is empty: there is no data",
		"http_requests_total": "the query's answer is several series, and one number is needed: add them up with sum()",
		// This is about the data, and may pass by itself.
		`http_requests_total * on() http_requests_total`: "the Prometheus says: execution: found duplicate series",
	} {
		_, err := ask(query)
		var invalid *InvalidError
		if err == nil || errors.As(err, &invalid) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
}

// wait asks until there is data.
func wait(t *testing.T, address, query string) (float64, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		value, err := new(Client).Ask(ctx, address, query)
		if err == nil || ctx.Err() != nil {
			return value, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// None of these is a word about the query.
func TestAskWithoutAnAnswer(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, "<html>secret</html>")
	}))
	defer page.Close()
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer away.Close()
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[`)
		for err := error(nil); err == nil; {
			_, err = fmt.Fprint(w, strings.Repeat(" ", 1<<16))
		}
	}))
	defer endless.Close()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client has gone
		<-r.Context().Done()
	}))
	defer silent.Close()

	for name, c := range map[string]struct{ address, want string }{
		"nobody listens": {gone.URL, "the Prometheus cannot be asked: dial tcp"},
		"a page":         {page.URL, "the Prometheus says: client_error: client error: 400"},
		"away":           {away.URL, "the Prometheus says: server_error: server error: 503"},
		"endless":        {endless.URL, "the Prometheus says: bad_response: "},
		"silent":         {silent.URL, "the Prometheus gave no answer within 5s"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if name == "silent" { // the pass has less patience than the source has silence
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 300*time.Millisecond)
				defer cancel()
			}
			_, err := new(Client).Ask(ctx, c.address, "up")
			var invalid *InvalidError
			if err == nil || errors.As(err, &invalid) || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v (%T), want %q", err, err, c.want)
			}
		})
	}
}
