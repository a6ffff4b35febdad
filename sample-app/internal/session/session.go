// Package session keeps who is logged in, and their cart, in Redis: any pod can serve any request.
package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/dep"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/redisconn"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/telemetry"
)

// ErrNone says that there is no such session: never was, logged out, or too long unused.
var ErrNone = errors.New("no session")

const (
	userField  = "user"
	itemPrefix = "item:"
	// opTimeout bounds one operation with its retries: enough for a Sentinel failover of a few seconds.
	opTimeout = 5 * time.Second
	// callTimeout bounds one attempt of it.
	callTimeout = time.Second
)

// Session is what is known of a visitor.
type Session struct {
	User string
	// Cart maps product to quantity.
	Cart map[string]int
}

// Store keeps sessions. A nil *Store is one that is not configured.
type Store struct {
	client  *redis.Client
	ttl     time.Duration
	metrics *telemetry.Metrics
}

// Open prepares the store; it connects when it is first used.
func Open(url string, ttl time.Duration, metrics *telemetry.Metrics) (*Store, error) {
	options, err := redisconn.Options(url, callTimeout)
	if err != nil {
		return nil, fmt.Errorf("SESSION_URL: %w", err)
	}
	client := redis.NewClient(options)
	metrics.WatchRedis(dep.Sessions, client)
	return &Store{client: client, ttl: ttl, metrics: metrics}, nil
}

// Close ends all connections.
func (s *Store) Close() {
	if s != nil {
		_ = s.client.Close()
	}
}

// Ping asks Redis for an answer.
func (s *Store) Ping(ctx context.Context) error { return s.client.Ping(ctx).Err() }

// TTL is how long a session lasts unused.
func (s *Store) TTL() time.Duration { return s.ttl }

// Create starts a session and returns its id, 256 random bits. Log-in always makes a new id, so one
// that an attacker planted is worth nothing.
func (s *Store) Create(ctx context.Context, user string) (string, error) {
	id := rand256()
	err := s.do(ctx, func(ctx context.Context) error {
		_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.HSet(ctx, key(id), userField, user)
			p.Expire(ctx, key(id), s.ttl)
			return nil
		})
		return err
	})
	return id, err
}

// Get returns the session and lets it live for another TTL. ErrNone: there is none.
func (s *Store) Get(ctx context.Context, id string) (Session, error) {
	var fields *redis.MapStringStringCmd
	err := s.do(ctx, func(ctx context.Context) error {
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			fields = p.HGetAll(ctx, key(id))
			p.Expire(ctx, key(id), s.ttl)
			return nil
		})
		if fields.Err() == nil {
			return nil // reading is enough: while Redis takes no writes nobody is logged out
		}
		return err
	})
	if err != nil {
		return Session{}, err
	}
	return decode(fields.Val())
}

// SetItem puts the quantity of a product into the cart; zero takes it out. It sets and never adds, so that
// a retry cannot order twice.
func (s *Store) SetItem(ctx context.Context, id, product string, quantity int) error {
	return s.do(ctx, func(ctx context.Context) error {
		_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			if quantity == 0 {
				p.HDel(ctx, key(id), itemPrefix+product)
			} else {
				p.HSet(ctx, key(id), itemPrefix+product, quantity)
			}
			p.Expire(ctx, key(id), s.ttl)
			return nil
		})
		return err
	})
}

// RemoveItems takes the products out of the cart.
func (s *Store) RemoveItems(ctx context.Context, id string, cart map[string]int) error {
	if len(cart) == 0 {
		return nil
	}
	names := make([]string, 0, len(cart))
	for product := range cart {
		names = append(names, itemPrefix+product)
	}
	return s.do(ctx, func(ctx context.Context) error { return s.client.HDel(ctx, key(id), names...).Err() })
}

// Delete ends the session.
func (s *Store) Delete(ctx context.Context, id string) error {
	return s.do(ctx, func(ctx context.Context) error { return s.client.Del(ctx, key(id)).Err() })
}

// do runs work, and again while Redis fails in a way that passes; all operations here are idempotent.
func (s *Store) do(ctx context.Context, work func(context.Context) error) error {
	if s == nil {
		return dep.NotConfigured(dep.Sessions, "SESSION_URL")
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := work(ctx)
		if err == nil {
			return nil
		}
		s.metrics.DependencyError(dep.Sessions)
		if !passing(err) {
			return dep.Failed(dep.Sessions, err)
		}
		timer := time.NewTimer(pause/2 + mathrand.N(pause/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return dep.Failed(dep.Sessions, err)
		}
	}
}

// passing tells whether a failover or a restart makes this error, so that another attempt may succeed.
func passing(err error) bool {
	for _, prefix := range []string{"READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "EXECABORT", "TRYAGAIN"} {
		if strings.HasPrefix(err.Error(), prefix) {
			return true
		}
	}
	var netErr net.Error
	return errors.As(err, &netErr) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}

func decode(fields map[string]string) (Session, error) {
	user := fields[userField]
	if user == "" {
		return Session{}, ErrNone // also what an item set after the end leaves; it ends by its own TTL
	}
	session := Session{User: user, Cart: map[string]int{}}
	for name, value := range fields {
		product, ok := strings.CutPrefix(name, itemPrefix)
		if !ok {
			continue
		}
		quantity, err := strconv.Atoi(value)
		if err != nil {
			return Session{}, fmt.Errorf("session: quantity %q of %s: %w", value, product, err)
		}
		session.Cart[product] = quantity
	}
	return session, nil
}

func rand256() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// key hashes the id: who reads Redis, or a dump of it, cannot log in with what is there.
func key(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "session:" + hex.EncodeToString(sum[:])
}
