package session

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/dep"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/telemetry"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/testserver"
)

func open(t *testing.T, url string, ttl time.Duration) *Store {
	t.Helper()
	s, err := Open(url, ttl, telemetry.New("", ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCart(t *testing.T) {
	s := open(t, testserver.Redis(t).URL, time.Minute)
	ctx := t.Context()
	id, err := s.Create(ctx, "ada")
	must(t, err)
	must(t, s.SetItem(ctx, id, "saw", 2))
	must(t, s.SetItem(ctx, id, "saw", 2)) // a retry
	must(t, s.SetItem(ctx, id, "lamp", 1))
	must(t, s.SetItem(ctx, id, "vice", 5))
	must(t, s.SetItem(ctx, id, "vice", 0))
	got, err := s.Get(ctx, id)
	must(t, err)
	if got.User != "ada" || len(got.Cart) != 2 || got.Cart["saw"] != 2 || got.Cart["lamp"] != 1 {
		t.Errorf("got %+v", got)
	}
	must(t, s.RemoveItems(ctx, id, map[string]int{"saw": 2}))
	if got, _ = s.Get(ctx, id); len(got.Cart) != 1 {
		t.Errorf("after an order: %+v", got)
	}
	must(t, s.Delete(ctx, id))
	if _, err := s.Get(ctx, id); !errors.Is(err, ErrNone) {
		t.Errorf("after log-out: %v", err)
	}
	must(t, s.SetItem(ctx, id, "saw", 1))
	if _, err := s.Get(ctx, id); !errors.Is(err, ErrNone) {
		t.Errorf("an item brought an ended session back: %v", err)
	}
}

func TestASessionLivesWhileItIsUsed(t *testing.T) {
	s := open(t, testserver.Redis(t).URL, time.Second)
	id, err := s.Create(t.Context(), "ada")
	must(t, err)
	for range 4 {
		time.Sleep(500 * time.Millisecond)
		if _, err := s.Get(t.Context(), id); err != nil {
			t.Fatalf("a session in use ended: %v", err)
		}
	}
	time.Sleep(1200 * time.Millisecond)
	if _, err := s.Get(t.Context(), id); !errors.Is(err, ErrNone) {
		t.Errorf("an unused session did not end: %v", err)
	}
}

func TestRedisHoldsNothingOneCouldLogInWith(t *testing.T) {
	server := testserver.Redis(t)
	s := open(t, server.URL, time.Minute)
	id, err := s.Create(t.Context(), "ada")
	must(t, err)
	options, err := redis.ParseURL(server.URL)
	must(t, err)
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	keys, err := client.Keys(t.Context(), "*").Result()
	must(t, err)
	if len(keys) != 1 || strings.Contains(keys[0], id) || len(id) != 43 {
		t.Errorf("keys %q, id %q", keys, id)
	}
}

func TestARestartOfRedisIsWaitedFor(t *testing.T) {
	server := testserver.Redis(t)
	s := open(t, server.URL, time.Minute)
	id, err := s.Create(t.Context(), "ada")
	must(t, err)
	server.Stop()
	back := make(chan struct{})
	time.AfterFunc(700*time.Millisecond, func() { server.Start(); close(back) })
	got, err := s.Get(t.Context(), id)
	if err != nil || got.User != "ada" {
		t.Errorf("got %+v, %v", got, err)
	}
	<-back
}

func TestReadsGoOnWhileRedisTakesNoWrites(t *testing.T) {
	server := testserver.Redis(t)
	s := open(t, server.URL, time.Minute)
	id, err := s.Create(t.Context(), "ada")
	must(t, err)
	// As an ex-master does when its replicas are gone.
	must(t, s.client.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err())
	began := time.Now()
	if got, err := s.Get(t.Context(), id); err != nil || got.User != "ada" || time.Since(began) > time.Second {
		t.Errorf("got %+v, %v after %s", got, err, time.Since(began))
	}
	time.AfterFunc(500*time.Millisecond, func() { s.client.ConfigSet(context.Background(), "min-replicas-to-write", "0") })
	if err := s.SetItem(t.Context(), id, "saw", 1); err != nil {
		t.Errorf("the write was not tried again: %v", err)
	}
}

func TestAStoreThatIsLostOrAbsentIsNamed(t *testing.T) {
	var none *Store
	var unavailable *dep.Unavailable
	if _, err := none.Create(t.Context(), "ada"); !errors.As(err, &unavailable) || unavailable.Variable != "SESSION_URL" {
		t.Errorf("not configured: %v", err)
	}
	s := open(t, "redis://127.0.0.1:1/0", time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Get(ctx, "x"); !errors.As(err, &unavailable) || unavailable.Dependency != dep.Sessions {
		t.Errorf("lost: %v", err)
	}
}
