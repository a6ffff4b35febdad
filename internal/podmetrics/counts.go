package podmetrics

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// counts is what a pod has counted since it started, by series. Of the two maps, that which the gate's
// indicator needs is filled.
type counts struct {
	// found says that the metric is there at all.
	found bool
	// problem says why the metric cannot be used.
	problem string
	// requests are numbers of requests, by series.
	requests map[string]request
	// latencies are histograms, by series.
	latencies map[string]histogram
}

type request struct {
	code   string // the value of the label with the HTTP status
	number float64
}

// histogram is a number of observations and how many of them were at most so large, by bound. The bucket
// +Inf is the number itself.
type histogram struct {
	number  float64
	buckets map[float64]float64
}

// read takes out of a pod's metrics what a gate needs.
func read(families map[string]*dto.MetricFamily, m *v1alpha1.MetricGate) counts {
	name := source(m)
	family := families[name]
	if family == nil {
		return counts{}
	}
	if m.Indicator == v1alpha1.MetricLatencyQuantile {
		return readLatencies(family, name)
	}
	return readRequests(family, name, orDefault(m.Requests.CodeLabel, "code"))
}

func readRequests(family *dto.MetricFamily, name, codeLabel string) counts {
	c := counts{found: true, requests: map[string]request{}}
	for _, metric := range family.GetMetric() {
		r := request{code: label(metric, codeLabel)}
		switch family.GetType() {
		case dto.MetricType_COUNTER:
			r.number = metric.GetCounter().GetValue()
		case dto.MetricType_UNTYPED:
			r.number = metric.GetUntyped().GetValue()
		default:
			return counts{found: true, problem: fmt.Sprintf("%s is a %s; a counter is needed", name, strings.ToLower(family.GetType().String()))}
		}
		// Whoever cannot be told from a success would be taken for one.
		if !isStatus(r.code) && r.number > 0 {
			c.problem = fmt.Sprintf("%s has a series whose label %s is %q: that is no HTTP status (metric.requests.codeLabel names the label)",
				name, codeLabel, r.code)
		}
		if math.IsNaN(r.number) {
			c.problem = name + " is NaN"
		}
		c.requests[series(metric)] = r
	}
	return c
}

// isStatus says whether a label holds an HTTP status, as 503 or as 5xx.
func isStatus(code string) bool {
	return len(code) == 3 && code[0] >= '1' && code[0] <= '5'
}

func readLatencies(family *dto.MetricFamily, name string) counts {
	if family.GetType() != dto.MetricType_HISTOGRAM {
		return counts{found: true, problem: fmt.Sprintf("%s is a %s; a histogram is needed", name, strings.ToLower(family.GetType().String()))}
	}
	c := counts{found: true, latencies: map[string]histogram{}}
	for _, metric := range family.GetMetric() {
		h := histogram{number: float64(metric.GetHistogram().GetSampleCount()), buckets: map[float64]float64{}}
		for _, bucket := range metric.GetHistogram().GetBucket() {
			if !math.IsInf(bucket.GetUpperBound(), 1) {
				h.buckets[bucket.GetUpperBound()] = float64(bucket.GetCumulativeCount())
			}
		}
		if len(h.buckets) == 0 {
			c.problem = name + " has no buckets"
		}
		c.latencies[series(metric)] = h
	}
	return c
}

func label(metric *dto.Metric, name string) string {
	for _, pair := range metric.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

// series names a series by its labels.
func series(metric *dto.Metric) string {
	var pairs []string
	for _, pair := range metric.GetLabel() {
		pairs = append(pairs, pair.GetName()+"="+strconv.Quote(pair.GetValue()))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

// since is what was counted after BEGAN. As with PromQL's rate(), a number that has become smaller was
// reset in between, because the container started anew: then all of it is new. A series that was not
// there before began at 0.
func (c counts) since(began counts) delta {
	d := delta{pods: 1, found: c.found, problem: c.problem}
	for key, now := range c.requests {
		number := increase(now.number, began.requests[key].number)
		d.requests += number
		if strings.HasPrefix(now.code, "5") {
			d.errors += number
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.latencies)) {
		d.addHistogram(c.latencies[key].since(began.latencies[key]))
	}
	return d
}

func increase(now, before float64) float64 {
	if now < before {
		return now
	}
	return now - before
}

// since is a histogram's increase. Its numbers are reset together, so one that became smaller tells of all.
func (h histogram) since(began histogram) histogram {
	reset := h.number < began.number
	for bound, number := range h.buckets {
		reset = reset || number < began.buckets[bound]
	}
	if reset {
		began = histogram{}
	}
	d := histogram{number: h.number - began.number, buckets: map[float64]float64{}}
	for bound, number := range h.buckets {
		d.buckets[bound] = number - began.buckets[bound]
	}
	return d
}

// delta is what pods counted in a window.
type delta struct {
	pods             int
	found            bool
	problem          string
	requests, errors float64
	latency          histogram
}

func (d *delta) add(other delta) {
	d.pods += other.pods
	d.found = d.found || other.found
	if d.problem == "" {
		d.problem = other.problem
	}
	d.requests += other.requests
	d.errors += other.errors
	d.addHistogram(other.latency)
}

func (d *delta) addHistogram(h histogram) {
	if len(h.buckets) == 0 {
		return
	}
	if d.latency.buckets == nil {
		d.latency = histogram{buckets: map[float64]float64{}}
		for bound := range h.buckets {
			d.latency.buckets[bound] = 0
		}
	}
	same := len(h.buckets) == len(d.latency.buckets)
	for bound, number := range h.buckets {
		if _, ok := d.latency.buckets[bound]; !ok {
			same = false
			break
		}
		d.latency.buckets[bound] += number
	}
	if !same && d.problem == "" {
		d.problem = "the pods' histograms have different buckets and cannot be added up"
	}
	d.latency.number += h.number
}

// number is how many requests were counted, by whichever metric is read.
func (d *delta) number() float64 { return d.requests + d.latency.number }

// value is the indicator of a window with requests in it. BEYOND says that the value is greater than the
// one given.
func (d *delta) value(m *v1alpha1.MetricGate) (value float64, beyond bool) {
	if m.Indicator != v1alpha1.MetricLatencyQuantile {
		return d.errors / d.requests, false
	}
	quantile, err := strconv.ParseFloat(orDefault(m.Quantile, "0.99"), 64)
	if err != nil {
		return math.NaN(), false // the schema lets nothing else through
	}
	return d.latency.quantile(quantile)
}

// quantile is reckoned as PromQL's histogram_quantile() does: within the bucket in which it falls, values
// are taken to be spread evenly.
func (h histogram) quantile(q float64) (value float64, beyond bool) {
	rank := q * h.number
	bounds := slices.Sorted(maps.Keys(h.buckets))
	lower, below := 0.0, 0.0
	for i, bound := range bounds {
		number := max(h.buckets[bound], below) // a pod that was asked while it counted
		if number >= rank {
			if i == 0 && bound <= 0 {
				return bound, false
			}
			if number == below {
				return bound, false
			}
			return lower + (bound-lower)*(rank-below)/(number-below), false
		}
		lower, below = bound, number
	}
	return lower, true
}
