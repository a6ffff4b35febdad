package integration

import (
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/controllers"
	"github.com/scalableapp/scalableapp-operator/internal/apply"
	"github.com/scalableapp/scalableapp-operator/internal/observe"
)

// What an app with everything costs while nothing changes: one pass with the operator's real caches.
// `make bench-noop` runs it. A call to the API server is a failure.
func BenchmarkNoopReconcile(b *testing.B) {
	s := newStack(b)
	s.create(&corev1.ConfigMap{ObjectMeta: s.meta("settings"), Data: map[string]string{"MODE": "fast"}})
	s.deploy(whole)
	s.settle()
	s.ready()

	var calls atomic.Int64
	counted := rest.CopyConfig(config)
	counted.Wrap(func(next http.RoundTripper) http.RoundTripper { return counter{&calls, next} })
	r := cachedReconciler(b, s, counted)
	request := ctrl.Request{NamespacedName: s.key("shop")}

	calls.Store(0)
	before := cpuTime(b)
	b.ReportAllocs()
	for b.Loop() {
		if result, err := r.Reconcile(b.Context(), request); err != nil || result.RequeueAfter != 0 {
			b.Fatalf("a pass ends with %v and is made again after %s", err, result.RequeueAfter)
		}
	}
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(calls.Load())/float64(b.N), "api-calls/op")
	if calls.Load() > 0 {
		b.Errorf("%d calls to the API server in %d passes", calls.Load(), b.N)
	}
}

// cpuTime is the CPU time of this process, which has the caches in it too.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

type counter struct {
	calls *atomic.Int64
	next  http.RoundTripper
}

func (c counter) RoundTrip(request *http.Request) (*http.Response, error) {
	c.calls.Add(1)
	return c.next.RoundTrip(request)
}

// cachedReconciler is the reconciler as Setup wires it, without a manager around it.
func cachedReconciler(b *testing.B, s *stack, counted *rest.Config) *controllers.Reconciler {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	options := controllers.CacheOptions(controllers.Options{Namespaces: []string{s.namespace}})
	options.Scheme = s.api.Scheme()
	children, err := cache.New(counted, options)
	must(err)
	metadata, err := cache.New(counted, cache.Options{Scheme: s.api.Scheme()})
	must(err)
	live, err := client.New(counted, client.Options{Scheme: s.api.Scheme()})
	must(err)
	k8s, err := client.New(counted, client.Options{Scheme: s.api.Scheme(), Cache: &client.CacheOptions{Reader: children}})
	must(err)
	configs := &metav1.PartialObjectMetadata{}
	configs.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	_, err = metadata.GetInformer(b.Context(), configs, cache.BlockUntilSynced(false))
	must(err)
	_, err = children.GetInformer(b.Context(), &v1alpha1.ScalableApp{}, cache.BlockUntilSynced(false))
	must(err)
	for _, kind := range observe.Kinds {
		_, err = children.GetInformer(b.Context(), kind.Object, cache.BlockUntilSynced(false))
		must(err)
	}
	for _, c := range []cache.Cache{children, metadata} {
		go func() { _ = c.Start(b.Context()) }()
		if !c.WaitForCacheSync(b.Context()) {
			b.Fatal("the caches do not fill")
		}
	}
	r := &controllers.Reconciler{
		Client: k8s, Recorder: s, Config: s.reconciler.Config,
		Observer: &observe.Observer{Cached: children, Live: live, Scheme: s.api.Scheme(), Now: time.Now,
			Config: &observe.ConfigReader{Metadata: metadata, Live: live}},
		Executor: &apply.Executor{Client: k8s, Live: live},
	}
	_, err = r.Reconcile(b.Context(), ctrl.Request{NamespacedName: s.key("shop")}) // reads the ConfigMap once
	must(err)
	return r
}
