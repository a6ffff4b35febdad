package podmetrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/types"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

const (
	// scrapeTimeout is how long one pod may take to answer.
	scrapeTimeout = 3 * time.Second
	// maxMetrics is how large the metrics of a pod may be. They are a user's, and the operator's memory is
	// everybody's.
	maxMetrics = 16 << 20
	// atOnce is how many pods are asked at the same time.
	atOnce = 32
)

// client asks pods by their addresses: past proxies, which know none of them, and never
// where a pod would like to send it.
var client = http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// scrape asks all pods in parallel. Each is in one of the two answers.
func scrape(ctx context.Context, targets []Target, m *v1alpha1.MetricGate) (map[types.UID]counts, map[types.UID]error) {
	var (
		mu       sync.Mutex
		wg       sync.WaitGroup
		answered = map[types.UID]counts{}
		failed   = map[types.UID]error{}
		turns    = make(chan struct{}, atOnce)
	)
	for _, target := range targets {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			families, err := fetch(ctx, target.URL)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[target.UID] = fmt.Errorf("pod %s: %w", target.Name, err)
				return
			}
			answered[target.UID] = read(families, m)
		})
	}
	wg.Wait()
	return answered, failed
}

func fetch(ctx context.Context, address string) (map[string]*dto.MetricFamily, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "text/plain;version=0.0.4;q=1,*/*;q=0.1")
	response, err := client.Do(request)
	if err != nil {
		return nil, plain(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("its metrics at %s are answered with %s", request.URL.Path, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxMetrics+1))
	if err != nil {
		return nil, plain(err)
	}
	if len(body) > maxMetrics {
		return nil, fmt.Errorf("its metrics are larger than %d MiB", maxMetrics>>20)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("its metrics cannot be read: %w", err)
	}
	return families, nil
}

// plain is an error without the address and the method, which say nothing to people and change.
func plain(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", scrapeTimeout)
	}
	return err
}
