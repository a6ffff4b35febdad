// Package probe asks URLs for gates: the new revision itself (GET), and webhooks (POST). Nothing of an
// answer but its status is shown to anybody, and no redirect is followed: the operator may reach what the
// author of a spec may not.
package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// Client asks. Its zero value is ready to use.
type Client struct {
	// Transport sends the requests. Nil is one that keeps no connections.
	Transport http.RoundTripper
}

// fresh makes a connection for each request: through a Service, each is another chance to meet another
// pod. The candidate is in the cluster, so GET knows no proxy; a webhook may be anywhere.
var (
	fresh        = &http.Transport{DisableKeepAlives: true}
	freshProxied = &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}
)

// Get asks the new revision. 2xx and 3xx are good. Whoever takes the connection and then gives no answer
// in time is bad; if not even a connection comes about, it may be the way there, and nothing can be said.
func (c *Client) Get(ctx context.Context, address string, timeout time.Duration) state.Sample {
	began := time.Now()
	connected := false
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	sample := state.Sample{Limit: "2xx or 3xx"}
	request, err := http.NewRequestWithContext(traced, http.MethodGet, address, nil)
	if err != nil {
		sample.Reason = err.Error()
		return sample
	}
	status, err := c.do(request, timeout, fresh)
	switch {
	case err != nil && (!connected || ctx.Err() != nil && time.Since(began) < timeout):
		sample.Reason = fmt.Sprintf("the new revision cannot be asked: %v", err)
	case err != nil:
		sample.Outcome, sample.Value = state.OutcomeBad, "no answer"
		sample.Reason = fmt.Sprintf("the new revision gave no answer: %v", err)
	case status/100 == 2 || status/100 == 3:
		sample.Outcome, sample.Value = state.OutcomeGood, words(status)
	default:
		sample.Outcome, sample.Value = state.OutcomeBad, words(status)
		sample.Reason = "the new revision answered with " + words(status)
	}
	return sample
}

// Post asks a webhook, with BODY as JSON. 2xx is good; 429, 5xx and no answer say nothing; all else is bad.
func (c *Client) Post(ctx context.Context, address string, body any, timeout time.Duration) state.Sample {
	sample := state.Sample{Limit: "2xx"}
	raw, err := json.Marshal(body)
	if err != nil {
		sample.Reason = err.Error()
		return sample
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(raw))
	if err != nil {
		sample.Reason = err.Error()
		return sample
	}
	request.Header.Set("Content-Type", "application/json")
	status, err := c.do(request, timeout, freshProxied)
	switch {
	case err != nil:
		sample.Reason = fmt.Sprintf("the webhook cannot be asked: %v", err)
		return sample
	case status/100 == 2:
		sample.Outcome = state.OutcomeGood
	case status == http.StatusTooManyRequests || status >= 500:
		sample.Reason = fmt.Sprintf("the webhook answered with %s, which is no answer", words(status))
	default:
		sample.Outcome = state.OutcomeBad
		sample.Reason = "the webhook answered with " + words(status)
	}
	sample.Value = words(status)
	return sample
}

func (c *Client) do(request *http.Request, timeout time.Duration, transport http.RoundTripper) (int, error) {
	if c.Transport != nil {
		transport = c.Transport
	}
	client := http.Client{
		Transport: transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request.Header.Set("User-Agent", "scalableapp-operator")
	response, err := client.Do(request)
	if err != nil {
		return 0, plain(err, timeout)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	return response.StatusCode, nil
}

// plain is an error without the method and the address, and with the time that was waited.
func plain(err error, timeout time.Duration) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		if wrapped.Timeout() {
			return fmt.Errorf("no answer within %s", timeout)
		}
		err = wrapped.Err
	}
	return err
}

// words is a status as HTTP says it, for example "503 Service Unavailable".
func words(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("%d %s", status, text)
	}
	return fmt.Sprint(status)
}
