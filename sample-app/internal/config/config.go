// Package config reads the shop's settings from the environment that the operator gives it.
package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/fault"
)

// Config is everything the shop can be told. A URL that is empty is a dependency it does without.
type Config struct {
	Port                       int
	DatabaseURL, DatabaseROURL string
	SessionURL, CacheURL       string
	SessionTTL, CacheTTL       time.Duration
	// RetryFor bounds how long one request waits for a database that fails over.
	RetryFor time.Duration
	// DrainFor is how long requests are still taken after SIGTERM, StopWithin how long those under way may last then.
	DrainFor, StopWithin time.Duration
	// MigrateWait bounds how long migrate waits for the database.
	MigrateWait time.Duration
	// Version, Revision and Pod only identify the process to who looks.
	Version, Revision, Pod string
	// FaultsAtRuntime lets POST /fault change Faults.
	FaultsAtRuntime bool
	Faults          fault.Settings
	CrashAtStart    bool
}

// Load reads the configuration; getenv is os.Getenv but in tests. All mistakes are reported at once.
func Load(getenv func(string) string) (Config, error) {
	r := reader{getenv: getenv}
	c := Config{
		Port:            int(r.number("PORT", 8080, 1, 65535)),
		DatabaseURL:     r.url("DATABASE_URL"),
		DatabaseROURL:   r.url("DATABASE_RO_URL"),
		SessionURL:      r.url("SESSION_URL"),
		CacheURL:        r.url("CACHE_URL"),
		SessionTTL:      r.seconds("SESSION_TTL_SECONDS", 1800),
		CacheTTL:        r.seconds("CACHE_TTL_SECONDS", 30),
		RetryFor:        r.seconds("DATABASE_RETRY_SECONDS", 8),
		DrainFor:        r.seconds("DRAIN_SECONDS", 2),
		StopWithin:      r.seconds("SHUTDOWN_SECONDS", 20),
		MigrateWait:     r.seconds("MIGRATE_WAIT_SECONDS", 120),
		Version:         r.text("APP_VERSION", "dev"),
		Revision:        r.text("APP_REVISION", ""),
		Pod:             r.text("POD_NAME", hostname()),
		FaultsAtRuntime: getenv("FAULTS") == "Enabled",
		CrashAtStart:    r.flag("FAULT_CRASH"),
		Faults: fault.Settings{
			ErrorRatio:  r.number("FAULT_ERROR_RATIO", 0, 0, 1),
			DelayMillis: int(r.number("FAULT_DELAY_MS", 0, 0, 60_000)),
			NeverReady:  r.flag("FAULT_NEVER_READY"),
		},
	}
	return c, errors.Join(r.mistakes...)
}

// reader collects what is wrong, so that a user mends all of it in one go.
type reader struct {
	getenv   func(string) string
	mistakes []error
}

func (r *reader) text(name, fallback string) string {
	if v := r.getenv(name); v != "" {
		return v
	}
	return fallback
}

func (r *reader) number(name string, fallback, least, most float64) float64 {
	text := r.getenv(name)
	if text == "" {
		return fallback
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= least && v <= most) { // the negation also refuses NaN
		r.mistakes = append(r.mistakes, fmt.Errorf("%s=%q: want a number from %g to %g", name, text, least, most))
		return fallback
	}
	return v
}

func (r *reader) seconds(name string, fallback float64) time.Duration {
	return time.Duration(r.number(name, fallback, 0, 1e6) * float64(time.Second))
}

func (r *reader) flag(name string) bool {
	text := r.getenv(name)
	if text == "" {
		return false
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		r.mistakes = append(r.mistakes, fmt.Errorf("%s=%q: want 1 or 0", name, text))
	}
	return v
}

// url checks the form only, and never repeats the value: it holds a password.
func (r *reader) url(name string) string {
	text := r.getenv(name)
	if text == "" {
		return ""
	}
	if u, err := url.Parse(text); err != nil || u.Scheme == "" || u.Host == "" {
		r.mistakes = append(r.mistakes, fmt.Errorf("%s is not a URL with a scheme and a host", name))
	}
	return text
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}
