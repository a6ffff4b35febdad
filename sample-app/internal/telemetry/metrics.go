// Package telemetry holds the shop's metrics, all on one registry of their own.
package telemetry

import (
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
)

// Metrics are the shop's counters. Route labels are patterns of the mux, never paths: a client cannot make new ones.
type Metrics struct {
	registry   *prometheus.Registry
	requests   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	InFlight   prometheus.Gauge
	depErrors  *prometheus.CounterVec
	depUp      *prometheus.GaugeVec
	cache      *prometheus.CounterVec
	reads      *prometheus.CounterVec
	retries    prometheus.Counter
	OrdersMade prometheus.Counter
}

// New makes the metrics; version and revision become labels of shop_info.
func New(version, revision string) *Metrics {
	route := []string{"route", "method", "code"}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Requests answered, probes and metrics left out."}, route),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Time to answer a request, probes and metrics left out.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, route),
		InFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "http_requests_in_flight", Help: "Requests being answered."}),
		depErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shop_dependency_errors_total", Help: "Failed calls by dependency, each attempt counted."},
			[]string{"dependency"}),
		depUp: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "shop_dependency_up", Help: "1 if the dependency answered the last readiness check."},
			[]string{"dependency"}),
		cache: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shop_cache_requests_total", Help: "Cache look-ups by outcome: hit, miss, shared (waited for another's load) or bypass (cache absent or failing)."},
			[]string{"outcome"}),
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shop_database_reads_total", Help: "Reads that may lag, by who was asked last: replica, or primary (no replica configured or answering)."},
			[]string{"from"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "shop_database_retries_total", Help: "Database calls tried again, as in a failover."}),
		OrdersMade: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "shop_orders_total", Help: "Orders made."}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "shop_info", Help: "Always 1.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision}})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.duration, m.InFlight, m.depErrors, m.depUp, m.cache, m.reads, m.retries, m.OrdersMade, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Request records one answered request.
func (m *Metrics) Request(route, method string, code int, took time.Duration) {
	labels := []string{route, method, strconv.Itoa(code)}
	m.requests.WithLabelValues(labels...).Inc()
	m.duration.WithLabelValues(labels...).Observe(took.Seconds())
}

// DependencyError counts one failed attempt.
func (m *Metrics) DependencyError(dependency string) { m.depErrors.WithLabelValues(dependency).Inc() }

// DependencyUp records what the readiness check saw.
func (m *Metrics) DependencyUp(dependency string, up bool) {
	value := 0.0
	if up {
		value = 1
	}
	m.depUp.WithLabelValues(dependency).Set(value)
}

// Cache counts one look-up.
func (m *Metrics) Cache(outcome string) { m.cache.WithLabelValues(outcome).Inc() }

// Read counts one read that may lag.
func (m *Metrics) Read(from string) { m.reads.WithLabelValues(from).Inc() }

// Retry counts one database call tried again.
func (m *Metrics) Retry() { m.retries.Inc() }

// WatchPostgres exports the state of a connection pool.
func (m *Metrics) WatchPostgres(name string, pool *pgxpool.Pool) {
	m.gauge("shop_database_pool_connections", name, "acquired", func() float64 { return float64(pool.Stat().AcquiredConns()) })
	m.gauge("shop_database_pool_connections", name, "idle", func() float64 { return float64(pool.Stat().IdleConns()) })
	m.gauge("shop_database_pool_connections", name, "max", func() float64 { return float64(pool.Stat().MaxConns()) })
}

// WatchRedis exports the state of a Redis client's pool.
func (m *Metrics) WatchRedis(name string, client *redis.Client) {
	m.gauge("shop_redis_pool_connections", name, "total", func() float64 { return float64(client.PoolStats().TotalConns) })
	m.gauge("shop_redis_pool_connections", name, "idle", func() float64 { return float64(client.PoolStats().IdleConns) })
}

func (m *Metrics) gauge(metric, pool, state string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: metric, Help: "Connections of the pool by state.",
		ConstLabels: prometheus.Labels{"pool": pool, "state": state},
	}, value))
}
