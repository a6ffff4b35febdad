// Package load sends requests to an app at a constant rate and tells what became of each of them.
//
// The load is open-loop: requests leave on a timetable that does not wait for answers, and latency
// counts from the moment at which a request was due. A closed loop sends less exactly when the app is
// slow, and so does not see the very delays that its users would.
//
// Traffic goes only where the steps of a caller send it; every run is bounded in rate, time, number of
// requests and requests under way.
package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// The bounds of what is left out of a Config, and of a run as a whole.
const (
	defaultTimeout  = 10 * time.Second
	defaultInFlight = 512
	maxDuration     = 30 * time.Minute
	maxRequests     = 1_000_000
	maxBody         = 1 << 20
)

// ErrTooManyInFlight is the failure of a request that was due while the bound on requests under way
// was reached: the app is so far behind that sending more would measure only this program.
var ErrTooManyInFlight = errors.New("not sent: too many requests under way")

// Step is one kind of request.
type Step struct {
	// Name tells the samples of the step from others.
	Name string
	// Weight is its share: of each round of requests, as long as the sum of all weights, it gets so many.
	Weight int
	// Make makes the n-th request of the run.
	Make func(n int) (*http.Request, error)
	// Check says what is wrong with an answer. Left out, every status below 400 is right.
	Check func(status int, header http.Header, body []byte) error
	// Who reads out of an answer who gave it. Left out, nobody asks.
	Who func(body []byte) string
}

// Config is a run.
type Config struct {
	// Rate is the number of requests due in each second.
	Rate float64
	// Duration is how long requests are due; it ends earlier when the context does. At most 30 minutes.
	Duration time.Duration
	// Timeout bounds each request, its answer's body included. Left out, 10 s.
	Timeout time.Duration
	// MaxInFlight bounds the requests under way. Left out, 512.
	MaxInFlight int
	// Client sends. Left out, NewClient().
	Client *http.Client
	Steps  []Step
}

// Sample is what became of one request.
type Sample struct {
	Step string
	// Due is when the request was to leave, and Latency counts from there to the end of its answer.
	Due     time.Time
	Latency time.Duration
	Status  int
	// By is who answered, as the step's Who reads it.
	By string
	// Err is why the request failed, or nil.
	Err error
}

// NewClient is a client with a modest number of connections, which are kept and used again as a
// browser's or a proxy's are.
func NewClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConns: 32, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second,
	}}
}

// Run sends requests until the duration or the context ends, waits for the answers that are due, and
// returns every sample. The error is a fault of the Config.
func Run(ctx context.Context, config Config) (*Result, error) {
	r, err := newRun(config)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	for n := range maxRequests {
		// From the start, not from the request before: a late one must not put off all others. And what
		// was due before the end is sent even when this program is late itself.
		due := began.Add(time.Duration(float64(n) / config.Rate * float64(time.Second)))
		if due.Sub(began) >= config.Duration || !sleepUntil(ctx, due) {
			break
		}
		r.start(n, due)
	}
	r.underWay.Wait()
	return &Result{Began: began, Samples: r.samples}, nil
}

type run struct {
	Config
	timetable []int // the index of the step of each request of a round
	slots     chan struct{}
	underWay  sync.WaitGroup
	mu        sync.Mutex
	samples   []Sample
}

func newRun(config Config) (*run, error) {
	if config.Timeout == 0 {
		config.Timeout = defaultTimeout
	}
	if config.MaxInFlight == 0 {
		config.MaxInFlight = defaultInFlight
	}
	if config.Client == nil {
		config.Client = NewClient()
	}
	r := &run{Config: config, slots: make(chan struct{}, config.MaxInFlight), timetable: timetable(config.Steps)}
	switch {
	case config.Rate <= 0:
		return nil, fmt.Errorf("load: the rate is %v, want more than 0", config.Rate)
	case config.Duration <= 0 || config.Duration > maxDuration:
		return nil, fmt.Errorf("load: the duration is %s, want more than 0 and at most %s", config.Duration, maxDuration)
	case len(r.timetable) == 0:
		return nil, errors.New("load: there is no step with a weight")
	}
	return r, nil
}

// timetable spreads the steps evenly: of a step with weight 3 among 10, not three in a row.
func timetable(steps []Step) []int {
	total := 0
	for _, s := range steps {
		total += max(0, s.Weight)
	}
	table := make([]int, 0, total)
	credit := make([]int, len(steps))
	for len(table) < total {
		next := 0
		for i, s := range steps {
			credit[i] += max(0, s.Weight)
			if credit[i] > credit[next] {
				next = i
			}
		}
		credit[next] -= total
		table = append(table, next)
	}
	return table
}

func sleepUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// start lets the n-th request go; it does not wait for anything.
func (r *run) start(n int, due time.Time) {
	step := r.Steps[r.timetable[n%len(r.timetable)]]
	select {
	case r.slots <- struct{}{}:
	default:
		r.keep(Sample{Step: step.Name, Due: due, Latency: time.Since(due), Err: ErrTooManyInFlight})
		return
	}
	r.underWay.Go(func() {
		defer func() { <-r.slots }()
		sample := Sample{Step: step.Name, Due: due}
		sample.Err = r.send(step, n, &sample)
		sample.Latency = time.Since(due)
		r.keep(sample)
	})
}

func (r *run) keep(s Sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, s)
}

// send is one request; what its answer was goes into the sample. It does not end with the run: what was
// sent is waited for, or the last requests of every run would count as failures.
func (r *run) send(step Step, n int, sample *Sample) error {
	ctx, cancel := context.WithTimeout(context.Background(), r.Timeout)
	defer cancel()
	request, err := step.Make(n)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	answer, err := r.Client.Do(request.WithContext(ctx))
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	sample.Status = answer.StatusCode
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if step.Who != nil {
		sample.By = step.Who(body)
	}
	if step.Check != nil {
		return step.Check(answer.StatusCode, answer.Header, body)
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("status %d: %.200s", answer.StatusCode, body)
	}
	return nil
}
