package cache

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/telemetry"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/testserver"
)

func open(t *testing.T, url string, ttl time.Duration) *Cache {
	t.Helper()
	c, err := Open(url, ttl, telemetry.New("", ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// get looks "key" up and returns value and outcome; loading gives load.
func get(t *testing.T, c *Cache, load string) (string, string) {
	t.Helper()
	value, outcome, err := Get(t.Context(), c, "key", func(context.Context) (string, error) { return load, nil })
	if err != nil {
		t.Fatal(err)
	}
	return value, outcome
}

func TestCacheAside(t *testing.T) {
	server := testserver.Redis(t)
	c := open(t, server.URL, 500*time.Millisecond)
	if value, outcome := get(t, c, "one"); value != "one" || outcome != Miss {
		t.Errorf("first: %s %s", value, outcome)
	}
	if value, outcome := get(t, c, "two"); value != "one" || outcome != Hit {
		t.Errorf("second: %s %s", value, outcome)
	}
	time.Sleep(650 * time.Millisecond) // the TTL and its jitter
	if value, outcome := get(t, c, "three"); value != "three" || outcome != Miss {
		t.Errorf("after the TTL: %s %s", value, outcome)
	}

	server.Stop()
	began := time.Now()
	for range 50 {
		if value, outcome := get(t, c, "four"); value != "four" || outcome != Bypass {
			t.Fatalf("without Redis: %s %s", value, outcome)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("50 requests took %s without Redis: a lost cache must not slow them", took)
	}

	server.Start()
	time.Sleep(restFor + 100*time.Millisecond)
	get(t, c, "five")
	if _, outcome := get(t, c, "six"); outcome != Hit {
		t.Errorf("after Redis came back: %s", outcome)
	}
}

func TestAFrozenCacheCostsOneTimeoutNotOneEach(t *testing.T) {
	server := testserver.Redis(t)
	c := open(t, server.URL, time.Minute)
	get(t, c, "one")
	server.Freeze()
	defer server.Thaw()
	began := time.Now()
	for range 20 {
		get(t, c, "two")
	}
	if took := time.Since(began); took > 3*opTimeout {
		t.Errorf("20 requests took %s", took)
	}
}

func TestSimultaneousMissesLoadOnceAlsoWithoutRedis(t *testing.T) {
	c := open(t, "", time.Minute)
	var loads atomic.Int32
	release := make(chan struct{})
	load := func(context.Context) (int, error) { loads.Add(1); <-release; return 7, nil }
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if value, _, err := Get(t.Context(), c, "key", load); value != 7 || err != nil {
				t.Errorf("got %d, %v", value, err)
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	close(release)
	wg.Wait()
	if n := loads.Load(); n != 1 {
		t.Errorf("loaded %d times", n)
	}
}

func TestALoadOutlivesTheRequestThatBeganIt(t *testing.T) {
	c := open(t, "", time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	value, _, err := Get(ctx, c, "key", func(ctx context.Context) (string, error) { return "loaded", ctx.Err() })
	if value != "loaded" || err != nil {
		t.Errorf("got %q, %v: others wait for this load", value, err)
	}
}

func TestAFailedLoadIsNotCached(t *testing.T) {
	c := open(t, testserver.Redis(t).URL, time.Minute)
	broken := errors.New("broken")
	if _, _, err := Get(t.Context(), c, "key", func(context.Context) (string, error) { return "half", broken }); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	if value, outcome := get(t, c, "whole"); value != "whole" || outcome != Miss {
		t.Errorf("got %s %s", value, outcome)
	}
}

func TestAURLThatIsNoneIsRefusedWithoutItsPassword(t *testing.T) {
	_, err := Open("http://user:hunter2@host", time.Minute, telemetry.New("", ""))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}
