// Command operator runs the ScalableApp operator: flags and wiring, no logic.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/controllers"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/plan"
)

// version is set by the linker.
var version = "dev"

type options struct {
	leaderElect     bool
	metricsAddress  string
	metricsPerApp   bool
	probeAddress    string
	postgresImage   string
	pgbouncerImage  string
	redisImage      string
	watchNamespaces string
	concurrency     int
	zap             zap.Options
}

func main() {
	var o options
	flag.BoolVar(&o.leaderElect, "leader-elect", false, "Let only one of several operators act at a time.")
	flag.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "Where /metrics is served; 0 serves none.")
	flag.BoolVar(&o.metricsPerApp, "metrics-per-app", false, "Add metrics with the names of apps (docs/metrics.md).")
	flag.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "Where /healthz and /readyz are served.")
	flag.StringVar(&o.postgresImage, "postgres-image", "scalableapp/postgres:17-3", "Image of PostgreSQL with Patroni (images/postgres).")
	flag.StringVar(&o.pgbouncerImage, "pgbouncer-image", "scalableapp/pgbouncer:1-2", "Image of PgBouncer (images/pgbouncer).")
	flag.StringVar(&o.redisImage, "redis-image", "scalableapp/redis:8-2", "Image of Redis (images/redis).")
	flag.StringVar(&o.watchNamespaces, "watch-namespaces", "", "Namespaces to act in, separated by commas; empty for all.")
	flag.IntVar(&o.concurrency, "max-concurrent-reconciles", 4, "How many apps are worked on at once.")
	o.zap.BindFlags(flag.CommandLine)
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "operator:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&o.zap)))
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, gatewayv1.Install} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	namespace := os.Getenv("POD_NAMESPACE")
	if namespace == "" {
		return fmt.Errorf("the variable POD_NAMESPACE is not set; it names the operator's own namespace (fieldRef metadata.namespace)")
	}
	mgr, err := ctrl.NewManager(ctrl.GetConfigOrDie(), ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controllers.CacheOptions(o.controller()),
		Metrics:                       metricsserver.Options{BindAddress: o.metricsAddress},
		HealthProbeBindAddress:        o.probeAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              "scalableapp-operator",
		LeaderElectionNamespace:       namespace,
		LeaderElectionReleaseOnCancel: true, // the next one need not wait for the lease to run out
	})
	if err != nil {
		return err
	}
	ctx := ctrl.SetupSignalHandler()
	err = controllers.Setup(ctx, mgr, plan.Config{
		Images:            components.Images{Postgres: o.postgresImage, PgBouncer: o.pgbouncerImage, Redis: o.redisImage},
		OperatorNamespace: namespace,
	}, o.controller())
	if err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	ctrl.Log.Info("Starting", "version", version, "postgresImage", o.postgresImage,
		"pgbouncerImage", o.pgbouncerImage, "redisImage", o.redisImage)
	return mgr.Start(ctx)
}

// controller is what the flags say about the controller.
func (o options) controller() controllers.Options {
	out := controllers.Options{Concurrency: o.concurrency, Metrics: metrics.Registry, MetricsPerApp: o.metricsPerApp}
	for name := range strings.SplitSeq(o.watchNamespaces, ",") {
		if name = strings.TrimSpace(name); name != "" {
			out.Namespaces = append(out.Namespaces, name)
		}
	}
	return out
}
