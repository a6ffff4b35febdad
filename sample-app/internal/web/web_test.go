package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/fault"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/health"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/store"
)

func TestShopping(t *testing.T) {
	server, _, _ := full(t)
	c := browse(t, server)
	c.want(401, "log in first", "GET", "/cart", "")
	c.want(401, "log in first", "POST", "/orders", "")
	c.want(400, "user", "POST", "/login", `{"user":" "}`)
	login := c.want(200, "ada", "POST", "/login", `{"user":"ada"}`)
	if cookie := login.header.Get("Set-Cookie"); !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
		t.Errorf("cookie %q", cookie)
	}
	if got := c.want(200, "Anvil", "GET", "/catalogue", "").header.Get("X-Cache"); got != "miss" {
		t.Errorf("first look: %s", got)
	}
	if got := c.want(200, "Anvil", "GET", "/catalogue", "").header.Get("X-Cache"); got != "hit" {
		t.Errorf("second look: %s", got)
	}
	c.want(200, `"priceCents":5290`, "GET", "/catalogue/saw", "")
	c.want(404, "no such product", "GET", "/catalogue/elephant", "")
	c.want(400, "nothing is ordered", "POST", "/orders", "")
	c.want(200, `"saw":2`, "POST", "/cart", `{"item":"saw","quantity":2}`)
	c.want(200, `"lamp":1`, "POST", "/cart", "item=lamp", "Content-Type", "application/x-www-form-urlencoded")
	c.want(400, "quantity", "POST", "/cart", `{"item":"saw","quantity":-1}`)

	order := decode[store.Order](t, c.want(201, "", "POST", "/orders", "", "Idempotency-Key", "k1"))
	if order.TotalCents != 2*5290+5600 || len(order.Lines) != 2 {
		t.Errorf("order %+v", order)
	}
	c.want(200, `"items":{}`, "GET", "/cart", "")
	orders := decode[struct{ Orders []store.Order }](t, c.want(200, "", "GET", "/orders", "")).Orders
	if len(orders) != 1 || orders[0].ID != order.ID || len(orders[0].Lines) != 2 {
		t.Errorf("orders %+v", orders)
	}
	c.want(200, "ada", "GET", "/", "")
	c.want(200, "", "POST", "/logout", "")
	c.want(401, "log in first", "GET", "/orders", "")
}

func TestAnIdempotencyKeyBuysOnce(t *testing.T) {
	server, _, _ := full(t)
	c := browse(t, server)
	c.want(200, "", "POST", "/login", `{"user":"ada"}`)
	const body = `{"items":{"saw":1}}`
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range 8 {
		wg.Go(func() {
			got := c.do("POST", "/orders", body, "Idempotency-Key", "once")
			mu.Lock()
			defer mu.Unlock()
			statuses[got.status]++
		})
	}
	wg.Wait()
	if statuses[201] != 1 || statuses[200] != 7 {
		t.Errorf("statuses %v: want one 201 and seven 200", statuses)
	}
	c.want(409, "different order", "POST", "/orders", `{"items":{"saw":2}}`, "Idempotency-Key", "once")
	c.want(404, "no such product", "POST", "/orders", `{"items":{"elephant":1}}`)
	c.want(400, "from 1 to 1000", "POST", "/orders", `{"items":{"saw":0}}`)
	other := browse(t, server)
	other.want(200, "", "POST", "/login", `{"user":"bob"}`)
	other.want(201, "", "POST", "/orders", body, "Idempotency-Key", "once")
	if n := len(decode[struct{ Orders []store.Order }](t, other.want(200, "", "GET", "/orders", "")).Orders); n != 1 {
		t.Errorf("bob sees %d orders", n)
	}
}

func TestAnOrderDuringARestartOfTheDatabaseIsMadeOnce(t *testing.T) {
	server, postgres, _ := full(t)
	c := browse(t, server)
	c.want(200, "", "POST", "/login", `{"user":"ada"}`)
	c.want(201, "", "POST", "/orders", `{"items":{"saw":1}}`)
	postgres.Stop()
	back := make(chan struct{})
	time.AfterFunc(500*time.Millisecond, func() { postgres.Start(); close(back) })
	c.want(201, "", "POST", "/orders", `{"items":{"lamp":1}}`)
	<-back
	if n := len(decode[struct{ Orders []store.Order }](t, c.want(200, "", "GET", "/orders", "")).Orders); n != 2 {
		t.Errorf("%d orders, want 2", n)
	}
}

func TestALostSessionStoreIsA503AndThePageStands(t *testing.T) {
	server, _, sessions := full(t)
	c := browse(t, server)
	c.want(200, "", "POST", "/login", `{"user":"ada"}`)
	sessions.Stop()
	got := c.want(503, `"dependency":"sessions"`, "GET", "/cart", "")
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if strings.Contains(got.body, "127.0.0.1") {
		t.Errorf("the answer tells where Redis is: %s", got.body)
	}
	c.want(200, "The session store does not answer", "GET", "/", "")
	c.want(200, "Anvil", "GET", "/catalogue", "")
}

func TestWithoutDependencies(t *testing.T) {
	c := browse(t, bare(t))
	c.want(503, "SESSION_URL is not set", "POST", "/login", `{"user":"ada"}`)
	c.want(503, "SESSION_URL is not set", "GET", "/cart", "")
	c.want(503, "DATABASE_RO_URL is not set", "GET", "/catalogue", "")
	c.want(503, "DATABASE_URL is not set", "POST", "/orders", `{"items":{"saw":1}}`)
	c.want(200, "no session store is configured", "GET", "/", "")
	c.want(200, `"ready":true`, "GET", "/readyz", "")
	c.want(200, "ok", "GET", "/livez", "")
	c.want(200, `"revision":"rev-7"`, "GET", "/version", "")
}

func TestAnotherSiteCannotOrder(t *testing.T) {
	c := browse(t, bare(t))
	c.want(403, "", "POST", "/orders", "", "Sec-Fetch-Site", "cross-site")
}

func TestMetricsCountByRouteAndNotByPath(t *testing.T) {
	server := bare(t)
	c := browse(t, server)
	c.do("GET", "/catalogue/one", "")
	c.do("GET", "/catalogue/two", "")
	c.do("GET", "/no/such/page", "")
	server.Faults.Set(fault.Settings{ErrorRatio: 1})
	c.want(500, "injected fault", "GET", "/cart", "")
	c.want(200, "ok", "GET", "/livez", "") // probes tell the truth
	body := c.do("GET", "/metrics", "").body
	for _, want := range []string{
		`http_requests_total{code="503",method="GET",route="GET /catalogue/{id}"} 2`,
		`http_requests_total{code="404",method="GET",route="other"} 1`,
		`http_requests_total{code="500",method="GET",route="GET /cart"} 1`,
		`http_request_duration_seconds_bucket{code="503",method="GET",route="GET /catalogue/{id}",le="10"} 2`,
		`shop_info{revision="rev-7",version="1.2.3"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Contains(body, "livez") {
		t.Error("probes are counted among the requests")
	}
}

func TestFaultsAtRuntime(t *testing.T) {
	server := bare(t)
	exited := make(chan int, 1)
	server.Exit = func(code int) { exited <- code }
	c := browse(t, server)
	c.want(200, "", "POST", "/fault", `{"neverReady":true}`)
	c.want(503, "never to be ready", "GET", "/readyz", "")
	c.want(400, "errorRatio", "POST", "/fault", `{"errorRatio":2}`)
	c.want(200, `"neverReady":true`, "GET", "/fault", "")
	c.want(200, "", "POST", "/fault", `{"crash":true}`)
	if code := <-exited; code != 3 {
		t.Errorf("exit code %d", code)
	}
	server.Config.FaultsAtRuntime = false
	c.want(403, "FAULTS=Enabled", "POST", "/fault", `{"errorRatio":1}`)
}

func TestReadinessFollowsTheChecker(t *testing.T) {
	server := bare(t)
	server.Health = health.New(server.Metrics, health.Check{Name: "database", Required: true,
		Ping: func(context.Context) error { return errors.New("no route to 10.1.2.3") }})
	got := browse(t, server).want(503, "has not answered since the start", "GET", "/readyz", "")
	if strings.Contains(got.body, "10.1.2.3") {
		t.Errorf("the answer tells where the database is: %s", got.body)
	}
}

func TestDraining(t *testing.T) {
	server := bare(t)
	server.Config.DrainFor = 500 * time.Millisecond
	server.Faults.Set(fault.Settings{DelayMillis: 1000})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, terminate := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }()
	c := &client{t: t, base: "http://" + listener.Addr().String(), http: &http.Client{Timeout: 10 * time.Second}}
	c.want(200, "", "GET", "/readyz", "")
	slow := make(chan int, 1)
	go func() { slow <- c.do("GET", "/", "").status }()
	time.Sleep(100 * time.Millisecond)
	terminate()
	time.Sleep(100 * time.Millisecond)

	if got := c.do("GET", "/version", ""); got.status != 200 || !got.close {
		t.Errorf("while draining: %d, connection closed: %v", got.status, got.close)
	}
	c.want(503, "draining", "GET", "/readyz", "")
	if status := <-slow; status != 200 {
		t.Errorf("the request under way got %d", status)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if conn, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("it still listens")
	}
}

func TestARequestThatNeverEndsIsLeftAndSaid(t *testing.T) {
	server := bare(t)
	server.Config.StopWithin = 200 * time.Millisecond
	server.Faults.Set(fault.Settings{DelayMillis: 3000})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, terminate := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }()
	go func() {
		response, err := http.Get("http://" + listener.Addr().String() + "/")
		if err == nil {
			_ = response.Body.Close()
		}
	}()
	time.Sleep(100 * time.Millisecond)
	terminate()
	if err := <-served; err == nil || !strings.Contains(err.Error(), "still under way") {
		t.Errorf("got %v", err)
	}
}
