package load

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func get(url string) []Step {
	return []Step{{Name: "get", Weight: 1, Make: func(int) (*http.Request, error) {
		return http.NewRequest(http.MethodGet, url, nil)
	}}}
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func mustRun(t *testing.T, config Config) *Result {
	t.Helper()
	result, err := Run(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// A server that stands still for a while delays all requests that were due then, not only the one that
// happened to be there: that is what a closed loop would not see.
func TestAPauseDelaysEveryRequestThatWasDueInIt(t *testing.T) {
	const pause = 400 * time.Millisecond
	var first sync.Once
	var over time.Time
	url := serve(t, func(http.ResponseWriter, *http.Request) {
		first.Do(func() { over = time.Now().Add(pause) })
		time.Sleep(time.Until(over))
	})
	result := mustRun(t, Config{Rate: 100, Duration: 800 * time.Millisecond, Steps: get(url)})
	if result.Failed() != 0 {
		t.Fatalf("failed requests:\n%s", result.Why(5))
	}
	delayed := 0
	for _, s := range result.Samples {
		if s.Latency > 100*time.Millisecond {
			delayed++
		}
	}
	// 100 requests/s were due in the first 300 ms of the pause, and each waited for 100 ms or more.
	if delayed < 25 {
		t.Errorf("%d requests show the pause, want about 30: %s", delayed, result)
	}
	if longest := result.Quantile(1); longest < pause*3/4 {
		t.Errorf("the longest latency is %s, want about %s", longest, pause)
	}
}

// Behind a server that takes one request at a time, and too long for each, the queue grows; latency
// counts from when a request was due and grows with it.
func TestQueueingDelayIsSeen(t *testing.T) {
	gate := make(chan struct{}, 1)
	url := serve(t, func(http.ResponseWriter, *http.Request) {
		gate <- struct{}{}
		time.Sleep(20 * time.Millisecond) // serves 50/s
		<-gate
	})
	result := mustRun(t, Config{Rate: 100, Duration: 500 * time.Millisecond, Steps: get(url)})
	if result.Sent() != 50 {
		t.Fatalf("%d requests were sent, want 50: the sender must not wait for answers", result.Sent())
	}
	// 50 requests need 1 s and are due within 0.5 s: the last waits for 0.5 s.
	if longest := result.Quantile(1); longest < 300*time.Millisecond {
		t.Errorf("the longest latency is %s, want about 500ms", longest)
	}
}

func TestFailuresAreCountedWithTheirReason(t *testing.T) {
	var n atomic.Int64
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%10 == 0 {
			http.Error(w, "out of saws", http.StatusInternalServerError)
		}
	})
	result := mustRun(t, Config{Rate: 200, Duration: 500 * time.Millisecond, Steps: get(url)})
	if want := result.Sent() / 10; result.Failed() != want || want == 0 {
		t.Fatalf("%d of %d failed, want %d", result.Failed(), result.Sent(), want)
	}
	first := result.Failures()[0]
	if first.Status != http.StatusInternalServerError || first.Err.Error() != "status 500: out of saws\n" || first.Due.Before(result.Began) {
		t.Errorf("the failure does not tell what happened: %+v", first)
	}
}

func TestATimeoutIsAFailure(t *testing.T) {
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	result := mustRun(t, Config{Rate: 50, Duration: 100 * time.Millisecond, Timeout: 50 * time.Millisecond, Steps: get(url)})
	if result.Sent() == 0 || result.Failed() != result.Sent() {
		t.Fatalf("%s, want all failed", result)
	}
	if err := result.Failures()[0].Err; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the reason is %v, want the deadline", err)
	}
}

func TestRequestsUnderWayAreBounded(t *testing.T) {
	var now, most atomic.Int64
	url := serve(t, func(http.ResponseWriter, *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(200 * time.Millisecond)
		now.Add(-1)
	})
	result := mustRun(t, Config{Rate: 200, Duration: 150 * time.Millisecond, MaxInFlight: 3, Steps: get(url)})
	if most.Load() > 3 {
		t.Errorf("%d requests were under way at once, want at most 3", most.Load())
	}
	if result.Sent() != 30 || !errors.Is(result.Failures()[0].Err, ErrTooManyInFlight) {
		t.Errorf("what could not be sent must count as failed: %s", result)
	}
}

func TestARunEndsWithItsContextAndWaitsForAnswers(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) { time.Sleep(100 * time.Millisecond) })
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	result, err := Run(ctx, Config{Rate: 50, Duration: time.Minute, Steps: get(url)})
	if err != nil || result.Sent() == 0 || result.Failed() != 0 {
		t.Errorf("error %v, %s; the end of a run must not fail what was under way:\n%s", err, result, result.Why(3))
	}
}

func TestConfigsThatCannotWorkAreRefused(t *testing.T) {
	good := Config{Rate: 1, Duration: time.Second, Steps: get("http://127.0.0.1:1")}
	for name, spoil := range map[string]func(*Config){
		"no rate":     func(c *Config) { c.Rate = 0 },
		"no duration": func(c *Config) { c.Duration = 0 },
		"a day":       func(c *Config) { c.Duration = 24 * time.Hour },
		"no step":     func(c *Config) { c.Steps = nil },
	} {
		config := good
		spoil(&config)
		if _, err := Run(t.Context(), config); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestStepsAreSpreadByWeight(t *testing.T) {
	got := timetable([]Step{{Weight: 3}, {Weight: 1}, {Weight: 0}, {Weight: 2}})
	if want := []int{0, 3, 0, 1, 3, 0}; !slices.Equal(got, want) {
		t.Errorf("the timetable is %v, want %v", got, want)
	}
}

func TestQuantilesAreExact(t *testing.T) {
	result := &Result{Began: time.Now()}
	for i := 1; i <= 100; i++ {
		result.Samples = append(result.Samples, Sample{
			Due: result.Began.Add(time.Duration(i) * time.Second), Latency: time.Duration(101-i) * time.Millisecond,
		})
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.99: 99, 0.991: 100, 1: 100} {
		if got := result.Quantile(q); got != want*time.Millisecond {
			t.Errorf("quantile %v is %s, want %d ms", q, got, want)
		}
	}
	part := result.Between(result.Began.Add(10*time.Second), result.Began.Add(20*time.Second))
	if part.Sent() != 10 || part.Quantile(1) != 91*time.Millisecond {
		t.Errorf("the part from 10 s to 20 s: %s", part)
	}
	if got := new(Result).Quantile(0.99); got != 0 {
		t.Errorf("the quantile of nothing is %s", got)
	}
}

func TestWhoAnsweredIsKept(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("I am blue")) })
	steps := get(url)
	steps[0].Who = func(body []byte) string { return string(body[len("I am "):]) }
	result := mustRun(t, Config{Rate: 50, Duration: 100 * time.Millisecond, Steps: steps})
	for _, s := range result.Samples {
		if s.By != "blue" || s.Status != http.StatusOK {
			t.Errorf("answered by %q with %d, want blue with 200", s.By, s.Status)
		}
	}
	if result.Sent() == 0 {
		t.Error("no request was sent")
	}
}
