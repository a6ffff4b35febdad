// Package cache is a read-through cache in Redis that the shop can lose at any moment.
package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/singleflight"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/dep"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/redisconn"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/telemetry"
)

// Outcomes of a look-up.
const (
	Hit    = "hit"
	Miss   = "miss"
	Shared = "shared"
	Bypass = "bypass"
)

const (
	// opTimeout is short: the database answers in less time than a sick cache may take.
	opTimeout = 150 * time.Millisecond
	// restFor leaves a failing cache alone for a while, so that not every request waits for it.
	restFor = time.Second
	// loadTimeout bounds a load that several requests wait for.
	loadTimeout = 10 * time.Second
)

// Cache is made by Open. With no client behind it, it only joins simultaneous loads.
type Cache struct {
	client    *redis.Client
	ttl       time.Duration
	metrics   *telemetry.Metrics
	flights   singleflight.Group
	restUntil atomic.Int64 // Unix nanoseconds
}

// Open prepares the cache; an empty URL gives one that never holds anything.
func Open(url string, ttl time.Duration, metrics *telemetry.Metrics) (*Cache, error) {
	c := &Cache{ttl: ttl, metrics: metrics}
	if url == "" {
		return c, nil
	}
	options, err := redisconn.Options(url, opTimeout)
	if err != nil {
		return nil, fmt.Errorf("CACHE_URL: %w", err)
	}
	c.client = redis.NewClient(options)
	metrics.WatchRedis(dep.Cache, c.client)
	return c, nil
}

// Close ends all connections.
func (c *Cache) Close() {
	if c.client != nil {
		_ = c.client.Close()
	}
}

// Configured tells whether there is a cache at all.
func (c *Cache) Configured() bool { return c.client != nil }

// Ping asks Redis for an answer.
func (c *Cache) Ping(ctx context.Context) error { return c.client.Ping(ctx).Err() }

// Get returns what the cache has under key, or loads and caches it. Requests that miss at the same time
// wait for one load. The outcome is one of the constants above.
func Get[T any](ctx context.Context, c *Cache, key string, load func(context.Context) (T, error)) (T, string, error) {
	usable := c.usable()
	if usable {
		if value, found := read[T](ctx, c, key); found {
			c.metrics.Cache(Hit)
			return value, Hit, nil
		}
		usable = c.usable()
	}
	led := false
	loaded, err, shared := c.flights.Do(key, func() (any, error) {
		led = true
		// The load serves others too: it must outlive the request that began it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		value, err := load(ctx)
		if err == nil {
			c.write(ctx, key, value)
		}
		return value, err
	})
	outcome := Miss
	switch {
	case shared && !led:
		outcome = Shared
	case !usable:
		outcome = Bypass
	}
	c.metrics.Cache(outcome)
	value, _ := loaded.(T)
	return value, outcome, err
}

func (c *Cache) usable() bool {
	return c.client != nil && time.Now().UnixNano() >= c.restUntil.Load()
}

func read[T any](ctx context.Context, c *Cache, key string) (T, bool) {
	var value, none T
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	text, err := c.client.Get(ctx, key).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return none, false
	case err != nil:
		c.failed()
		return none, false
	}
	// What cannot be read was written by another version: a miss.
	if json.Unmarshal(text, &value) != nil {
		return none, false
	}
	return value, true
}

func (c *Cache) write(ctx context.Context, key string, value any) {
	if !c.usable() {
		return
	}
	text, err := json.Marshal(value)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	// A fifth more or less, so that what was loaded together does not expire together.
	ttl := time.Duration(float64(c.ttl) * (0.8 + 0.4*rand.Float64()))
	if err := c.client.Set(ctx, key, text, max(ttl, time.Millisecond)).Err(); err != nil {
		c.failed()
	}
}

func (c *Cache) failed() {
	c.metrics.DependencyError(dep.Cache)
	c.restUntil.Store(time.Now().Add(restFor).UnixNano())
}
