package probe

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// answers is a server that answers with a status, a redirect to /elsewhere, and words that nobody is to see.
func answers(t *testing.T, status int, asked *[]string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*asked = append(*asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type")+" "+string(body))
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "secret")
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestGet(t *testing.T) {
	for status, want := range map[int]state.Sample{
		200: {Outcome: state.OutcomeGood, Value: "200 OK", Limit: "2xx or 3xx"},
		204: {Outcome: state.OutcomeGood, Value: "204 No Content", Limit: "2xx or 3xx"},
		302: {Outcome: state.OutcomeGood, Value: "302 Found", Limit: "2xx or 3xx"},
		404: {Outcome: state.OutcomeBad, Value: "404 Not Found", Limit: "2xx or 3xx", Reason: "the new revision answered with 404 Not Found"},
		500: {Outcome: state.OutcomeBad, Value: "500 Internal Server Error", Limit: "2xx or 3xx", Reason: "the new revision answered with 500 Internal Server Error"},
		599: {Outcome: state.OutcomeBad, Value: "599", Limit: "2xx or 3xx", Reason: "the new revision answered with 599"},
	} {
		var asked []string
		got := new(Client).Get(t.Context(), answers(t, status, &asked)+"/selftest", time.Minute)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d: %s", status, diff)
		}
		if diff := cmp.Diff([]string{"GET /selftest  "}, asked); diff != "" {
			t.Errorf("%d: what was asked: %s", status, diff)
		}
	}
}

func TestPost(t *testing.T) {
	body := map[string]any{"app": "shop", "step": 2}
	for status, want := range map[int]state.Sample{
		200: {Outcome: state.OutcomeGood, Value: "200 OK", Limit: "2xx"},
		302: {Outcome: state.OutcomeBad, Value: "302 Found", Limit: "2xx", Reason: "the webhook answered with 302 Found"},
		403: {Outcome: state.OutcomeBad, Value: "403 Forbidden", Limit: "2xx", Reason: "the webhook answered with 403 Forbidden"},
		429: {Value: "429 Too Many Requests", Limit: "2xx", Reason: "the webhook answered with 429 Too Many Requests, which is no answer"},
		503: {Value: "503 Service Unavailable", Limit: "2xx", Reason: "the webhook answered with 503 Service Unavailable, which is no answer"},
	} {
		var asked []string
		got := new(Client).Post(t.Context(), answers(t, status, &asked)+"/may-go-on", body, time.Minute)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d: %s", status, diff)
		}
		if diff := cmp.Diff([]string{`POST /may-go-on application/json {"app":"shop","step":2}`}, asked); diff != "" {
			t.Errorf("%d: what was asked: %s", status, diff)
		}
	}
	if got := new(Client).Post(t.Context(), "http://127.0.0.1/", make(chan int), time.Minute); got.Outcome != state.OutcomeInconclusive ||
		!strings.Contains(got.Reason, "unsupported type") {
		t.Errorf("what is no JSON: %+v", got)
	}
}

// A server that takes connections and does what it is told with them.
func listen(t *testing.T, serve func(net.Conn)) string {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return "http://" + listener.Addr().String()
}

func TestNoAnswer(t *testing.T) {
	silent := listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	hangsUp := listen(t, func(conn net.Conn) { _ = conn.Close() })
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	const short = 100 * time.Millisecond
	expect := func(what string, got state.Sample, outcome state.Outcome, reason string) {
		t.Helper()
		if got.Outcome != outcome || !strings.HasPrefix(got.Reason, reason) {
			t.Errorf("%s: %+v, want %v %q", what, got, outcome, reason)
		}
	}
	expect("takes the connection and says nothing", new(Client).Get(t.Context(), silent, short),
		state.OutcomeBad, "the new revision gave no answer: no answer within 100ms")
	expect("hangs up", new(Client).Get(t.Context(), hangsUp, time.Minute), state.OutcomeBad, "the new revision gave no answer: ")
	expect("nobody listens", new(Client).Get(t.Context(), gone.URL, time.Minute),
		state.OutcomeInconclusive, "the new revision cannot be asked: dial tcp")
	expect("no such host", new(Client).Get(t.Context(), "http://nosuchhost.invalid/", time.Minute),
		state.OutcomeInconclusive, "the new revision cannot be asked: dial tcp: lookup nosuchhost.invalid")
	impatient, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	expect("the pass has less patience than the gate", new(Client).Get(impatient, silent, time.Minute),
		state.OutcomeInconclusive, "the new revision cannot be asked: ")

	expect("webhook: nobody listens", new(Client).Post(t.Context(), gone.URL, 1, time.Minute),
		state.OutcomeInconclusive, "the webhook cannot be asked: dial tcp")
	expect("webhook: silent", new(Client).Post(t.Context(), silent, 1, short),
		state.OutcomeInconclusive, "the webhook cannot be asked: no answer within 100ms")
}
