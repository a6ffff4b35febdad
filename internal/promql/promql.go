// Package promql asks a Prometheus for a number.
package promql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

const (
	// timeout is how long an answer may take.
	timeout = 5 * time.Second
	// maxAnswer is how large it may be: it is to be one number.
	maxAnswer = 1 << 20
)

// InvalidError says that a query can have no answer until it is written otherwise.
type InvalidError struct{ Message string }

// Error is the message.
func (e *InvalidError) Error() string { return e.Message }

// Values are what the variables of a query stand for.
type Values struct {
	Revision, Namespace, App string
	// Window is the time for which the weight has been in force.
	Window time.Duration
}

// Substitute puts values in the place of the variables of a query. A window is never shorter than a
// second: PromQL knows none of no length.
func Substitute(query string, v Values) string {
	window := max(1, int64(v.Window/time.Second))
	return strings.NewReplacer(
		"$(revision)", v.Revision, "$(namespace)", v.Namespace, "$(app)", v.App, "$(window)", fmt.Sprintf("%ds", window),
	).Replace(query)
}

// Client asks. Its zero value is ready to use.
type Client struct{}

// Ask is the one number that a query has as its answer at this time, by the clock of the Prometheus. The
// error is an *InvalidError if the query itself is wrong; every other one may pass by itself.
func (*Client) Ask(ctx context.Context, address, query string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client, err := api.NewClient(api.Config{Address: address, Client: &http.Client{Transport: limited{api.DefaultRoundTripper}}})
	if err != nil {
		return 0, &InvalidError{err.Error()}
	}
	value, _, _, err := prometheusv1.NewAPI(client).Query(ctx, query, time.Time{},
		prometheusv1.WithTimeout(timeout), prometheusv1.WithLimit(3)) // enough to tell one series from several
	if err != nil {
		return 0, explain(err)
	}
	return number(value)
}

func explain(err error) error {
	if said, ok := errors.AsType[*prometheusv1.Error](err); ok {
		if said.Type == prometheusv1.ErrBadData {
			return &InvalidError{"the query does not parse: " + said.Msg}
		}
		return fmt.Errorf("the Prometheus says: %w", said)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the method and the whole query
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the Prometheus gave no answer within %s", timeout)
	}
	return fmt.Errorf("the Prometheus cannot be asked: %w", err)
}

func number(value model.Value) (float64, error) {
	switch answer := value.(type) {
	case *model.Scalar:
		return float64(answer.Value), nil
	case model.Vector:
		switch len(answer) {
		case 0:
			return 0, errors.New("the query's answer is empty: there is no data")
		case 1:
			if answer[0].Histogram != nil {
				return 0, &InvalidError{"the query's answer is a histogram, and one number is needed: use histogram_quantile()"}
			}
			return float64(answer[0].Value), nil
		default:
			return 0, errors.New("the query's answer is several series, and one number is needed: add them up with sum()")
		}
	default:
		return 0, &InvalidError{fmt.Sprintf("the query's answer is a %s, and one number is needed", value.Type())}
	}
}

// limited cuts answers that are too large; what is left of them cannot be read as JSON.
type limited struct{ http.RoundTripper }

// RoundTrip sends a request.
func (l limited) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(request)
	if err == nil {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, maxAnswer), response.Body}
	}
	return response, err
}
