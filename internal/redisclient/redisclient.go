// Package redisclient asks Redis servers and Sentinels how they are, and has a master hand over.
package redisclient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/scalableapp/scalableapp-operator/internal/state"
)

func init() { redis.SetLogger(silent{}) }

// silent takes the client's own log, a line for each failed dial: callers report failures themselves.
type silent struct{}

// Printf implements the client's logger.
func (silent) Printf(context.Context, string, ...any) {}

// Login is a user with the password.
type Login struct{ User, Password string }

// Client asks.
type Client struct {
	// Timeout is how long one server is waited for; 1 s when zero.
	Timeout time.Duration
}

func (c *Client) open(address string, login Login) *redis.Client {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = time.Second
	}
	return redis.NewClient(&redis.Options{
		Addr: address, Username: login.User, Password: login.Password, Protocol: 2,
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, ContextTimeoutEnabled: true,
		// One connection, one try: the next pass asks again.
		PoolSize: 1, MaxRetries: -1, DialerRetries: 1,
		// Nothing beside the commands below: the users may do no more.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// Member asks a Redis server how it is.
func (c *Client) Member(ctx context.Context, address string, login Login) (state.RedisMember, error) {
	client := c.open(address, login)
	defer func() { _ = client.Close() }()
	text, err := client.Info(ctx).Result()
	if err != nil {
		return state.RedisMember{}, err
	}
	return member(text), nil
}

func member(text string) state.RedisMember {
	info := fields(text)
	m := state.RedisMember{
		Master: info["role"] == "master", InSync: info["master_link_status"] == "up", Follows: info["master_host"],
		Used: number(info["used_memory"]), Limit: number(info["maxmemory"]),
		WriteFails: info["aof_last_write_status"] == "err", RewriteFails: info["aof_last_bgrewrite_status"] == "err",
	}
	for name, value := range info {
		if strings.HasPrefix(name, "slave") && strings.Contains(value, "state=online") {
			m.Replicas++
		}
	}
	return m
}

// LetsIn asks a Redis server whether it lets a login in. An error says that it did not answer.
func (c *Client) LetsIn(ctx context.Context, address string, login Login) (bool, error) {
	client := c.open(address, login)
	defer func() { _ = client.Close() }()
	err := client.Ping(ctx).Err()
	switch {
	case err == nil, strings.HasPrefix(err.Error(), "MISCONF"): // its disk is full, but it let the login in
		return true, nil
	case strings.HasPrefix(err.Error(), "WRONGPASS"):
		return false, nil
	}
	return false, err
}

// LoadUsers has a Redis server take up its file of users. Who is logged in stays so.
func (c *Client) LoadUsers(ctx context.Context, address string, login Login) error {
	client := c.open(address, login)
	defer func() { _ = client.Close() }()
	return client.Do(ctx, "acl", "load").Err()
}

func fields(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			info[name] = value
		}
	}
	return info
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Sentinel asks a Sentinel whom it has for master, and whether it could be replaced.
func (c *Client) Sentinel(ctx context.Context, address, name string, login Login) (state.RedisSentinel, error) {
	client := c.open(address, login)
	defer func() { _ = client.Close() }()
	at, err := client.Do(ctx, "sentinel", "get-master-addr-by-name", name).StringSlice()
	if err != nil || len(at) == 0 {
		return state.RedisSentinel{}, errors.Join(errors.New("it knows no master"), err)
	}
	said := state.RedisSentinel{Master: at[0]}
	said.Message, err = client.Do(ctx, "sentinel", "ckquorum", name).Text()
	said.Quorum = err == nil
	if err != nil {
		said.Message = err.Error()
		if _, refused := errors.AsType[redis.Error](err); !refused {
			return state.RedisSentinel{}, err
		}
	}
	return said, nil
}

// HandOver is what a hand-over needs to know.
type HandOver struct {
	// Name is the master's name among the Sentinels, Pod that of its pod.
	Name, Pod string
	// Members and Sentinels are the addresses by the pod's name.
	Members, Sentinels map[string]string
	// Hosts are the addresses that the members know each other by.
	Hosts map[string]string
}

// The times of a hand-over.
const (
	// promotion is how long a promotion is waited for: Sentinels give up after 10 s (failover-timeout).
	promotion = 11 * time.Second
	// hold is how long writes may be held; it ends by itself, should the operator be gone. It is longer than all that
	// is waited for: a write that is taken while a replica is promoted is lost.
	hold      = promotion + 5*time.Second
	lookAgain = 50 * time.Millisecond
)

// HandOver has the master hand over without losing a write: writes are held, the Sentinels promote a replica,
// which has had all by then, the old master follows it at once, and its clients have to come again. If nobody is
// promoted all is as before. The image's redis-ha does the same when the master's pod is deleted.
func (c *Client) HandOver(ctx context.Context, h HandOver, login Login) error {
	old := c.open(h.Members[h.Pod], login)
	defer func() { _ = old.Close() }()
	before, err := old.Info(ctx, "replication").Result()
	if err != nil {
		return fmt.Errorf("%s: %w", h.Pod, err)
	}
	if !member(before).Master {
		return nil // it has been done
	}
	if err := old.Do(ctx, "client", "pause", hold.Milliseconds(), "write").Err(); err != nil {
		return fmt.Errorf("hold the writes of %s: %w", h.Pod, err)
	}
	next, err := c.promote(ctx, h, login)
	ctx = context.WithoutCancel(ctx) // what was begun is ended, also by an operator that is to end
	if err != nil {
		return errors.Join(err, old.Do(ctx, "client", "unpause").Err())
	}
	err = old.SlaveOf( //nolint:staticcheck // the name that the ACL allows, and that all versions know
		ctx, h.Hosts[next], "6379").Err()
	c.follow(ctx, h, next, login)
	err = errors.Join(err, ignoreRefused(old.Do(ctx, "client", "kill", "type", "normal", "skipme", "yes").Err()))
	if err != nil {
		return err // its writes stay held, until the Sentinels have told it
	}
	return old.Do(ctx, "client", "unpause").Err()
}

// follow has the other replicas follow the new master at once, for one that nobody follows takes no sessions. The
// Sentinels will do the same a little later, so a failure does not matter.
func (c *Client) follow(ctx context.Context, h HandOver, next string, login Login) {
	for pod, address := range h.Members {
		if pod == h.Pod || pod == next {
			continue
		}
		other := c.open(address, login)
		_ = other.SlaveOf( //nolint:staticcheck // as above
			ctx, h.Hosts[next], "6379").Err()
		_ = other.Close()
	}
}

// ignoreRefused leaves out that there was no client.
func ignoreRefused(err error) error {
	if _, refused := errors.AsType[redis.Error](err); refused {
		return nil
	}
	return err
}

// promote has a Sentinel fail over and says which pod takes writes then.
func (c *Client) promote(ctx context.Context, h HandOver, login Login) (string, error) {
	err := errors.New("no Sentinel answers")
	for _, pod := range slices.Sorted(maps.Keys(h.Sentinels)) {
		sentinel := c.open(h.Sentinels[pod], login)
		err = sentinel.Do(ctx, "sentinel", "failover", h.Name).Err()
		_ = sentinel.Close()
		// One that is at it already is enough: a second promotion beside the first has them disagree. All who ask begin
		// with the same.
		if err == nil || strings.HasPrefix(err.Error(), "INPROG") {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("fail over %s: %w", h.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, promotion)
	defer cancel()
	for {
		for pod, address := range h.Members {
			if pod == h.Pod {
				continue
			}
			if said, err := c.Member(ctx, address, login); err == nil && said.Master {
				return pod, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no replica of %s was promoted: %w", h.Name, ctx.Err())
		case <-time.After(lookAgain):
		}
	}
}
