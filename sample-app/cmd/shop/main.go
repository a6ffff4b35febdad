// Command shop is the sample application of the ScalableApp operator: a small shop that keeps nothing to itself.
//
//	shop [serve]    answer requests (the default)
//	shop migrate    bring the database's schema up to date, then end
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/cache"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/config"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/db"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/dep"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/fault"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/health"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/migrate"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/session"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/telemetry"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/web"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		slog.Error("failed", "error", err.Error())
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	conf, err := config.Load(os.Getenv)
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("version", conf.Version, "pod", conf.Pod)
	slog.SetDefault(log)
	if err != nil {
		return err
	}
	if conf.CrashAtStart {
		return errors.New("told to crash at the start (FAULT_CRASH)")
	}
	command := "serve"
	if len(args) > 0 {
		command = args[0]
	}
	switch command {
	case "serve":
		return serve(ctx, conf, log)
	case "migrate":
		if conf.DatabaseURL == "" {
			return errors.New("DATABASE_URL is not set")
		}
		return migrate.Run(ctx, conf.DatabaseURL, conf.MigrateWait, log)
	}
	return fmt.Errorf("unknown command %q: want serve or migrate", command)
}

func serve(ctx context.Context, conf config.Config, log *slog.Logger) error {
	server, closeAll, err := build(conf, log)
	if err != nil {
		return err
	}
	defer closeAll()
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(conf.Port))
	if err != nil {
		return err
	}
	log.Info("serving", "port", conf.Port, "revision", conf.Revision, "database", conf.DatabaseURL != "",
		"sessions", conf.SessionURL != "", "cache", conf.CacheURL != "", "faults", conf.Faults)
	return server.Serve(ctx, listener)
}

// build connects the parts; what is not configured is left out.
func build(conf config.Config, log *slog.Logger) (server *web.Server, closeAll func(), err error) {
	metrics := telemetry.New(conf.Version, conf.Revision)
	server = &web.Server{Config: conf, Log: log, Metrics: metrics, Faults: fault.New(conf.Faults)}
	var checks []health.Check
	if conf.DatabaseURL != "" {
		if server.Store.Write, err = db.Open(dep.Database, conf.DatabaseURL, conf.RetryFor, metrics); err != nil {
			return nil, nil, err
		}
		checks = append(checks, health.Check{Name: dep.Database, Required: true, Ping: server.Store.Write.Ping})
	}
	var replica *db.DB
	if conf.DatabaseROURL != "" {
		if replica, err = db.Open(dep.DatabaseRO, conf.DatabaseROURL, conf.RetryFor, metrics); err != nil {
			return nil, nil, err
		}
		// Not required: the first pods may well be there before the first replica is.
		checks = append(checks, health.Check{Name: dep.DatabaseRO, Ping: replica.Ping})
		server.Store.Read = &db.Reader{Primary: server.Store.Write, Replica: replica}
	} else if server.Store.Write != nil {
		server.Store.Read = &db.Reader{Primary: server.Store.Write}
	}
	if conf.SessionURL != "" {
		if server.Sessions, err = session.Open(conf.SessionURL, conf.SessionTTL, metrics); err != nil {
			return nil, nil, err
		}
		checks = append(checks, health.Check{Name: dep.Sessions, Required: true, Ping: server.Sessions.Ping})
	}
	if server.Cache, err = cache.Open(conf.CacheURL, conf.CacheTTL, metrics); err != nil {
		return nil, nil, err
	}
	if server.Cache.Configured() {
		checks = append(checks, health.Check{Name: dep.Cache, Ping: server.Cache.Ping})
	}
	server.Health = health.New(metrics, checks...)
	return server, func() {
		server.Store.Write.Close()
		replica.Close()
		server.Sessions.Close()
		server.Cache.Close()
	}, nil
}
