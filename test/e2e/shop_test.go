package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/test/load"
)

// identity is what a pod of the sample app says on /version.
type identity struct {
	Version, Revision, Pod string
}

// order is an order as the sample app lists it.
type order struct {
	ID    int64
	Lines []struct {
		ProductID string
		Quantity  int
	}
}

// base is where the Service of that name answers: its address in the cluster, which the local cluster
// routes from the machine itself. A node's proxy learns of a new Service a moment after everybody else.
func (w *world) base(service string) string {
	w.Helper()
	s := &corev1.Service{}
	w.must(w.read(service, s))
	base := "http://" + s.Spec.ClusterIP
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	w.eventually(30*time.Second, "the nodes know the Service "+service, func() error {
		answer, err := client.Get(base + "/livez")
		if err != nil {
			return err
		}
		return answer.Body.Close()
	})
	return base
}

// login logs a user in over one connection, and says which pod it was: the proxy chooses a pod for each
// connection.
func (w *world) login(base, user string) (*load.Session, string) {
	w.Helper()
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxConnsPerHost: 1}}
	session, err := load.Login(w.ctx, client, base, user)
	w.must(err)
	return session, w.identify(session).Pod
}

// identify asks the pod at the end of the session's connection who it is.
func (w *world) identify(session *load.Session) identity {
	w.Helper()
	var who identity
	w.get(session, "/version", &who)
	return who
}

func (w *world) get(session *load.Session, path string, into any) http.Header {
	w.Helper()
	header, raw, err := session.Do(w.ctx, http.MethodGet, path, nil, http.StatusOK)
	w.must(err)
	w.parse(raw, into)
	return header
}

func (w *world) post(session *load.Session, path string, body any, status int, into any) {
	w.Helper()
	_, raw, err := session.Do(w.ctx, http.MethodPost, path, body, status)
	w.must(err)
	w.parse(raw, into)
}

// parse reads an answer in JSON, unless nobody wants to know.
func (w *world) parse(raw []byte, into any) {
	w.Helper()
	if into == nil {
		return
	}
	if err := json.Unmarshal(raw, into); err != nil {
		w.Fatalf("%v in %.300s", err, raw)
	}
}

// orders are the user's orders, as a replica of the database knows them.
func (w *world) orders(session *load.Session) []order {
	w.Helper()
	var list struct{ Orders []order }
	w.get(session, "/orders?limit=100", &list)
	return list.Orders
}

// traffic is load that runs beside a test.
type traffic struct {
	w    *world
	stop context.CancelFunc
	done chan struct{}

	mu       sync.Mutex
	versions map[string]int
	result   *load.Result
	err      error
}

// startTraffic sends the mix of requests to the Service until finish is called. With orders, the app
// must have a database.
func (w *world) startTraffic(service string, rate float64, withDatabase bool) *traffic {
	w.Helper()
	base := w.base(service)
	client := load.NewClient()
	var sessions []*load.Session
	for i := range 8 {
		w.eventually(30*time.Second, "a user can log in", func() error { // on a busy machine the session store may be late once
			session, err := load.Login(w.ctx, client, base, fmt.Sprintf("user-%d", i))
			if err == nil {
				sessions = append(sessions, session)
			}
			return err
		})
	}
	tr := &traffic{w: w, done: make(chan struct{}), versions: map[string]int{}}
	var steps []load.Step
	for _, step := range load.Shop(sessions) {
		switch step.Name {
		case "GET /version":
			step.Check = tr.version
		case "GET /cart", "POST /cart":
		default: // needs the database
			if !withDatabase {
				continue
			}
		}
		steps = append(steps, step)
	}
	ctx, stop := context.WithCancel(w.ctx)
	tr.stop = stop
	go func() {
		defer close(tr.done)
		tr.result, tr.err = load.Run(ctx, load.Config{Rate: rate, Duration: 20 * time.Minute, Client: client, Steps: steps})
	}()
	w.Cleanup(func() { stop(); <-tr.done })
	return tr
}

// version counts the answers of each version.
func (tr *traffic) version(status int, _ http.Header, body []byte) error {
	var who identity
	if status != http.StatusOK {
		return fmt.Errorf("status %d: %.200s", status, body)
	}
	if err := json.Unmarshal(body, &who); err != nil {
		return err
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.versions[who.Version]++
	return nil
}

// end ends the load.
func (tr *traffic) end() *load.Result {
	tr.w.Helper()
	tr.stop()
	<-tr.done
	tr.w.must(tr.err)
	tr.w.Logf("load: %s; answers by version %v", tr.result, tr.versions)
	return tr.result
}

// finish ends the load. Not one request may have failed.
func (tr *traffic) finish() *load.Result {
	tr.w.Helper()
	tr.end()
	if tr.result.Failed() > 0 {
		tr.w.Errorf("%d of %d requests failed:\n%s", tr.result.Failed(), tr.result.Sent(), tr.result.Why(20))
	}
	if tr.result.Sent() == 0 {
		tr.w.Error("no request was sent")
	}
	return tr.result
}

// rate is the load in requests a second.
func (w *world) rate() float64 {
	w.Helper()
	text := os.Getenv("E2E_RATE")
	if text == "" {
		return 50
	}
	rate, err := strconv.ParseFloat(text, 64)
	w.must(err)
	return rate
}

// versionsServed asks over many new connections which versions answer.
func (w *world) versionsServed(base string) map[string]int {
	w.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	served := map[string]int{}
	for range 30 {
		var who identity
		answer, err := client.Get(base + "/version")
		w.must(err)
		w.must(json.NewDecoder(answer.Body).Decode(&who))
		w.must(answer.Body.Close())
		served[who.Version]++
	}
	return served
}
