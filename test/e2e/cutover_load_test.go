package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"time"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/test/load"
)

// errInjected is an answer that a bad version gave on purpose.
var errInjected = errors.New("status 500: injected fault")

// The steps of a cutover's load. A connection that is kept stays with its pod as long as no proxy but the
// node's is between; a new one is led by the newest rules.
const (
	stepNew  = "new connection"
	stepKept = "kept connection"
)

// way is how requests reach an app.
type way struct{ base, host string }

// way leads through the Gateway, if the app has one, or else through its Service.
func (w *world) way(name string) way {
	w.Helper()
	app := w.app(name)
	if app.Spec.Traffic.Gateway == nil {
		return way{base: w.base(name)}
	}
	return way{base: gatewayURL(w), host: app.Spec.Traffic.Gateway.Hostnames[0]}
}

// gatewayURL is where the local cluster's Gateway answers.
func gatewayURL(w *world) string {
	w.Helper()
	url := os.Getenv("GATEWAY")
	if url == "" {
		w.Fatal("GATEWAY is not set: the cluster was started without a gateway (GATEWAY=1 hack/up.sh)")
	}
	return url
}

// throughGateway leads an app's traffic through the local cluster's Gateway, under a host name of its own.
func (w *world) throughGateway(app *v1alpha1.ScalableApp) {
	app.Spec.Traffic.Gateway = &v1alpha1.GatewaySpec{
		ParentRefs: []v1alpha1.GatewayRef{{Name: "web", Namespace: "gateway-system"}},
		Hostnames:  []string{app.Name + "." + w.namespace + ".example"},
	}
}

func (to way) request(path string) (*http.Request, error) {
	request, err := http.NewRequest(http.MethodGet, to.base+path, nil)
	if err == nil {
		request.Host = to.host
	}
	return request, err
}

// waitOpen waits until the way leads to the app: a proxy learns of it a moment after everybody else.
func (w *world) waitOpen(to way) {
	w.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	w.eventually(30*time.Second, "the way to the app is open", func() error {
		request, err := to.request("/version")
		w.must(err)
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", answer.StatusCode)
		}
		return nil
	})
}

var revisionOnPage = regexp.MustCompile(`<dt>revision</dt><dd>([^<]*)</dd>`)

// whoOnPage is the revision that the sample app's front page names.
func whoOnPage(body []byte) string {
	if found := revisionOnPage.FindSubmatch(body); found != nil {
		return string(found[1])
	}
	return ""
}

func checkPage(status int, _ http.Header, body []byte) error {
	switch {
	case status == http.StatusInternalServerError && bytes.Contains(body, []byte("injected fault")):
		return errInjected
	case status != http.StatusOK:
		return fmt.Errorf("status %d: %.200s", status, body)
	case whoOnPage(body) == "":
		return fmt.Errorf("the page does not say who answers: %.200s", body)
	}
	return nil
}

// shower is load on the front page, most of it over new connections.
type shower struct {
	w      *world
	stop   context.CancelFunc
	done   chan struct{}
	result *load.Result
	err    error
}

func (w *world) startShower(to way, rate float64) *shower {
	w.Helper()
	w.waitOpen(to)
	page := func(anew bool) func(int) (*http.Request, error) {
		return func(int) (*http.Request, error) {
			request, err := to.request("/")
			if err == nil {
				request.Close = anew
			}
			return request, err
		}
	}
	ctx, stop := context.WithCancel(w.ctx)
	s := &shower{w: w, stop: stop, done: make(chan struct{})}
	config := load.Config{Rate: rate, Duration: 20 * time.Minute, Client: load.NewClient(), Steps: []load.Step{
		{Name: stepNew, Weight: 3, Make: page(true), Check: checkPage, Who: whoOnPage},
		{Name: stepKept, Weight: 1, Make: page(false), Check: checkPage, Who: whoOnPage},
	}}
	go func() {
		defer close(s.done)
		s.result, s.err = load.Run(ctx, config)
	}()
	w.Cleanup(func() { stop(); <-s.done })
	return s
}

// finish ends the load.
func (s *shower) finish() *load.Result {
	s.w.Helper()
	s.stop()
	<-s.done
	s.w.must(s.err)
	if s.result.Sent() == 0 {
		s.w.Error("no request was sent")
	}
	return s.result
}

// led is the part of the requests that the newest rules led: through a gateway all of them.
func led(result *load.Result, gateway bool) *load.Result {
	if gateway {
		return result
	}
	return result.Of(stepNew)
}

// failedAndInjected counts failures and tells those apart that a bad version gave on purpose.
func failedAndInjected(result *load.Result) (failed []load.Sample, injected int) {
	for _, s := range result.Failures() {
		if errors.Is(s.Err, errInjected) {
			injected++
		} else {
			failed = append(failed, s)
		}
	}
	return failed, injected
}
