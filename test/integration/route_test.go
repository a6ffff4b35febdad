package integration

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	managerconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/controllers"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/plan"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

const behindGateway = alone + "\ntraffic: {gateway: {parentRefs: [{name: web}], hostnames: [shop.example]}}"

func gateway(namespace string) *gatewayv1.Gateway {
	return &gatewayv1.Gateway{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: namespace}, Spec: gatewayv1.GatewaySpec{
		GatewayClassName: "test", Listeners: []gatewayv1.Listener{{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}}}}
}

func trafficReady(app *v1alpha1.ScalableApp) string {
	c := meta.FindStatusCondition(app.Status.Conditions, v1alpha1.ConditionTrafficReady)
	if c == nil {
		return "none"
	}
	return string(c.Status) + " " + c.Reason
}

// The route's life: the Gateway is missing, and comes; at rest nothing is written; what somebody changes is
// mended; a spec without a gateway has no route.
func TestRoute(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.deploy(behindGateway)
	for range 12 {
		if _, err := s.pass(); err != nil {
			t.Fatal(err)
		}
		s.turn()
	}
	if got := trafficReady(s.app()); got != "False GatewayMissing" {
		t.Errorf("without the Gateway TrafficReady is %s", got)
	}
	s.create(gateway(s.namespace))
	s.settle()
	s.ready()
	before := len(s.writes)
	if _, err := s.pass(); err != nil || len(s.writes) != before {
		t.Errorf("at rest it writes %v (%v)", s.writes[before:], err)
	}

	route := all[gatewayv1.HTTPRoute](s.seen)[0]
	extra := route.Spec.Rules[0].BackendRefs[0].DeepCopy()
	extra.Name = "elsewhere"
	route.Spec.Rules[0].BackendRefs = append(route.Spec.Rules[0].BackendRefs, *extra)
	s.update(route)
	s.settle()
	if refs := all[gatewayv1.HTTPRoute](s.seen)[0].Spec.Rules[0].BackendRefs; len(refs) != 1 || refs[0].Name != "shop" {
		t.Errorf("the destinations are %+v", refs)
	}
	service := s.seen.now[id{corev1.SchemeGroupVersion.WithKind("Service"), s.key("shop")}].DeepCopyObject().(*corev1.Service)
	service.Spec.Selector["tier"] = "elsewhere"
	s.update(service)
	s.settle()
	s.ready()

	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.Traffic.Gateway = nil })
	s.settle()
	s.ready()
	if routes := all[gatewayv1.HTTPRoute](s.seen); len(routes) != 0 {
		t.Errorf("without a gateway there is a route %s", routes[0].Name)
	}
}

// A route of that name that belongs to somebody else leads traffic for somebody: it is not touched.
func TestForeignRouteIsRefused(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.create(gateway(s.namespace))
	foreign := &gatewayv1.HTTPRoute{ObjectMeta: s.meta("shop")}
	s.create(foreign)
	version := foreign.ResourceVersion
	s.deploy(behindGateway)
	for range 12 {
		if _, err := s.pass(); err == nil || !strings.Contains(err.Error(), "HTTPRoute shop exists and belongs to") {
			t.Fatalf("the pass ended with %v", err)
		}
		s.turn()
	}
	app := s.app()
	stalled := meta.FindStatusCondition(app.Status.Conditions, v1alpha1.ConditionStalled)
	if stalled == nil || stalled.Reason != v1alpha1.ReasonNameConflict || app.Status.App.ReadyReplicas != 3 {
		t.Errorf("the status is %+v", app.Status)
	}
	if slices.ContainsFunc(s.done, func(w string) bool { return strings.Contains(w, "HTTPRoute") }) {
		t.Errorf("it wrote %v", s.done)
	}
	live := &gatewayv1.HTTPRoute{}
	if err := s.api.Get(s.ctx, s.key("shop"), live); err == nil && len(live.OwnerReferences) > 0 {
		t.Errorf("it was taken over (version %s, before %s)", live.ResourceVersion, version)
	}
}

// The Gateway API is installed while the operator runs. It notices by itself.
func TestGatewayAPIComesLater(t *testing.T) {
	t.Parallel()
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	env := &envtest.Environment{
		CRDDirectoryPaths:        []string{filepath.Join(root, "config", "crd", "apps.scalableapp.dev_scalableapps.yaml")},
		ControlPlaneStartTimeout: testkit.ControlPlaneTimeout, ControlPlaneStopTimeout: testkit.ControlPlaneTimeout,
	}
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Stop() })
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	options := controllers.Options{Concurrency: 1}
	mgr, err := ctrl.NewManager(config, ctrl.Options{Scheme: testkit.Scheme(), Cache: controllers.CacheOptions(options),
		Metrics: metricsserver.Options{BindAddress: "0"}, Controller: managerconfig.Controller{SkipNameValidation: new(true)}})
	if err != nil {
		t.Fatal(err)
	}
	images := components.Images{Postgres: "p", Redis: "r"}
	if err := controllers.Setup(ctx, mgr, plan.Config{Images: images, OperatorNamespace: "default"}, options); err != nil {
		t.Fatal(err)
	}
	go func() { stopped <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})

	api, err := client.New(config, client.Options{Scheme: testkit.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	key := client.ObjectKey{Namespace: "default", Name: "shop"}
	if err := api.Create(ctx, object(t, key.Namespace, key.Name, behindGateway)); err != nil {
		t.Fatal(err)
	}
	says := func(reason string) func() error {
		return func() error {
			app := &v1alpha1.ScalableApp{}
			if err := api.Get(ctx, key, app); err != nil {
				return err
			}
			if got := trafficReady(app); got != reason {
				return fmt.Errorf("TrafficReady is %s, want %s", got, reason)
			}
			return nil
		}
	}
	eventually(t, says("False GatewayAPIMissing"))

	crds, err := testkit.GatewayAPI()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{crds}}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	eventually(t, says("False GatewayMissing"))
	t.Logf("noticed after %s", time.Since(began).Round(time.Second))
	eventually(t, func() error { return api.Get(ctx, key, &gatewayv1.HTTPRoute{}) })

	// What comes and goes is watched from now on: no pass by the clock is needed.
	if err := api.Create(ctx, gateway("default")); err != nil {
		t.Fatal(err)
	}
	eventually(t, says("False Settling"))
	if err := api.Delete(ctx, &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "default"}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return api.Get(ctx, key, &gatewayv1.HTTPRoute{}) })
	if err := api.Delete(ctx, gateway("default")); err != nil {
		t.Fatal(err)
	}
	eventually(t, says("False GatewayMissing"))
	if err := api.Delete(ctx, object(t, key.Namespace, key.Name, behindGateway)); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(errors.Join(errors.New("not within a minute"), err))
		}
		time.Sleep(200 * time.Millisecond)
	}
}
