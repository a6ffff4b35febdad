// Package redisconn holds what the session store and the cache want of a Redis client alike.
package redisconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

func init() { redis.SetLogger(debugLog{}) }

// debugLog takes the client's own log, a line for each failed dial: callers count and report failures themselves.
type debugLog struct{}

// Printf implements the client's logger.
func (debugLog) Printf(ctx context.Context, format string, v ...any) {
	slog.DebugContext(ctx, fmt.Sprintf(format, v...))
}

// Options reads the URL. Each call fails within the timeout and at the first failure: only the caller knows
// whether another attempt makes sense. No error repeats the URL, which holds a password.
func Options(url string, timeout time.Duration) (*redis.Options, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("not a Redis URL: want redis://user:password@host:port/0")
	}
	options.MaxRetries, options.DialerRetries = -1, 1
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = timeout, timeout, timeout
	options.ContextTimeoutEnabled = true
	// After a failover connections must move.
	options.ConnMaxLifetime = 5 * time.Minute
	// Nothing beside the shop's own commands, so that its ACL user needs no others.
	options.DisableIdentity = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return options, nil
}
