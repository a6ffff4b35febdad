package observe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/podmetrics"
	"github.com/scalableapp/scalableapp-operator/internal/probe"
	"github.com/scalableapp/scalableapp-operator/internal/promql"
	"github.com/scalableapp/scalableapp-operator/internal/state"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// rollingOut is the app in a rollout from shop-old to shop-new, at step 2 of 4 with 10 percent.
func rollingOut(t *testing.T, gates string) (*v1alpha1.ScalableApp, *state.Observed) {
	t.Helper()
	app := testkit.App(t, testkit.Small+"\nrollout: {strategy: Canary, gates: ["+gates+"]}")
	app.Status.Rollout = v1alpha1.RolloutStatus{
		Candidate: &v1alpha1.RevisionStatus{Revision: "shop-new", Image: "registry.example/shop:2"},
		Stable:    &v1alpha1.RevisionStatus{Revision: "shop-old"},
		Plan:      "Canary 0 10 50 100",
		Step:      2, Steps: 4, Attempt: 1, Weight: new(int32(10)), StepStartedTime: &metav1.Time{Time: testkit.Born.Time},
	}
	return app, &state.Observed{Now: testkit.Born.Add(40 * time.Second)}
}

// cluster are clients that find every host name at one server, as the cluster's DNS would find a Service.
func cluster(server *httptest.Server) *Gates {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	return &Gates{Pods: &podmetrics.Reader{}, Prometheus: &promql.Client{},
		Prober: &probe.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// servesAt is a pod of a revision that serves at a server of the test.
func servesAt(app *v1alpha1.ScalableApp, server *httptest.Server, revision, name string) *corev1.Pod {
	pod := testkit.Serve(testkit.Pod(app, naming.ComponentApp, name))
	pod.UID = types.UID("uid-" + name)
	pod.Labels[naming.LabelRevision] = revision
	host, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	pod.Status.PodIP = host
	number, _ := strconv.ParseInt(port, 10, 32)
	app.Spec.App.Metrics = &v1alpha1.MetricsSpec{Port: new(int32(number))}
	return pod
}

const (
	selftest = "{name: selftest, http: {path: /selftest}}"
	ask      = "{name: ask, webhook: {url: 'http://deploy.example/may-go-on'}}"
	smoke    = "{name: smoke, job: {command: [/smoke]}, when: WithTraffic}"
	errs     = "{name: errs, metric: {source: Pods, indicator: ErrorRatio, max: '0.01'}}"
	slow     = "{name: slow, metric: {source: Prometheus, max: '1', prometheus: {address: 'http://127.0.0.1:1', query: up}}}"
)

func TestNothingIsAsked(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.ScalableApp, *state.Observed){
		"nothing is rolled out": func(app *v1alpha1.ScalableApp, _ *state.Observed) { app.Status.Rollout.Candidate = nil },
		"the candidate is given up": func(app *v1alpha1.ScalableApp, _ *state.Observed) {
			app.Status.Rollout.Failure = &v1alpha1.FailureStatus{}
		},
		"paused":                 func(app *v1alpha1.ScalableApp, _ *state.Observed) { app.Spec.Paused = new(true) },
		"the step has not begun": func(app *v1alpha1.ScalableApp, _ *state.Observed) { app.Status.Rollout.StepStartedTime = nil },
		"before traffic, with traffic": func(app *v1alpha1.ScalableApp, _ *state.Observed) {
			app.Status.Rollout.Step = 1
		},
		"the period is not over": func(app *v1alpha1.ScalableApp, seen *state.Observed) {
			for _, name := range []string{"ask", "errs", "slow"} {
				app.Status.Rollout.Gates = append(app.Status.Rollout.Gates,
					v1alpha1.GateStatus{Name: name, SampledTime: &metav1.Time{Time: seen.Now.Add(-9 * time.Second)}})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked: %s", r.URL) }))
			defer server.Close()
			app, seen := rollingOut(t, strings.Join([]string{ask, errs, slow}, ", "))
			seen.Pods = []*corev1.Pod{servesAt(app, server, "shop-new", "new-1")}
			change(app, seen)
			if err := (&Observer{Gates: cluster(server)}).gates(t.Context(), app, seen); err != nil || len(seen.Gates) != 0 {
				t.Errorf("%+v, %v", seen.Gates, err)
			}
		})
	}
}

func TestGatesOfAStep(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, strings.TrimSpace(fmt.Sprintf("%s http://%s%s %s", r.Method, r.Host, r.URL.Path, body)))
	}))
	defer server.Close()
	everything := strings.Join([]string{selftest, ask, smoke, slow}, ", ")

	app, seen := rollingOut(t, everything)
	o := &Observer{Gates: cluster(server)}
	if err := o.gates(t.Context(), app, seen); err != nil {
		t.Fatal(err)
	}
	want := map[string]state.Sample{
		"ask":   {Outcome: state.OutcomeGood, Value: "200 OK", Limit: "2xx"},
		"smoke": {Outcome: state.OutcomeNone},
		"slow":  {Reason: "the Prometheus cannot be asked: dial tcp 127.0.0.1:1: connect: connection refused"},
	}
	if diff := cmp.Diff(want, seen.Gates); diff != "" {
		t.Error(diff)
	}
	app.Status.Rollout.Step = 1
	if err := o.gates(t.Context(), app, seen); err != nil {
		t.Fatal(err)
	}
	want = map[string]state.Sample{"selftest": {Outcome: state.OutcomeGood, Value: "200 OK", Limit: "2xx or 3xx"}}
	if diff := cmp.Diff(want, seen.Gates); diff != "" {
		t.Error(diff)
	}
	wantAsked := []string{
		`POST http://deploy.example/may-go-on {"namespace":"prod","app":"shop","revision":"shop-new","image":"registry.example/shop:2","step":2,"weight":10}`,
		`GET http://shop-new.prod.svc/selftest`,
	}
	if diff := cmp.Diff(wantAsked, asked); diff != "" {
		t.Error(diff)
	}
}

func TestGatesWithoutClients(t *testing.T) {
	app, seen := rollingOut(t, strings.Join([]string{ask, smoke, errs, slow}, ", "))
	if err := new(Observer).gates(t.Context(), app, seen); err != nil {
		t.Fatal(err)
	}
	nothing := state.Sample{Reason: "this operator has nothing to ask gates with"}
	want := map[string]state.Sample{"ask": nothing, "errs": nothing, "slow": nothing, "smoke": {Outcome: state.OutcomeNone}}
	if diff := cmp.Diff(want, seen.Gates); diff != "" {
		t.Error(diff)
	}
	app.Status.Rollout.StepStartedTime, app.Status.Rollout.Step = nil, 1
	seen.Gates = nil
	if err := new(Observer).gates(t.Context(), app, seen); err != nil || seen.Gates != nil {
		t.Errorf("%+v, %v", seen.Gates, err)
	}
}

// The plugin looks at Jobs and asks nobody.
func TestSilentGates(t *testing.T) {
	app, seen := rollingOut(t, strings.Join([]string{ask, smoke, errs, slow}, ", "))
	o := &Observer{Gates: &Gates{Silent: true}}
	if err := o.gates(t.Context(), app, seen); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]state.Sample{"smoke": {Outcome: state.OutcomeNone}}, seen.Gates); diff != "" {
		t.Error(diff)
	}
	app.Status.Rollout.StepStartedTime, app.Status.Rollout.Step, seen.Gates = nil, 1, nil
	if err := o.gates(t.Context(), app, seen); err != nil || seen.Gates != nil {
		t.Errorf("%+v, %v", seen.Gates, err)
	}
}

func TestJobGate(t *testing.T) {
	app, seen := rollingOut(t, smoke)
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: naming.Gate("shop-new", "smoke"), UID: "uid-of-job",
		Annotations: map[string]string{naming.AnnotationAttempt: "1", naming.AnnotationStep: "2"}}}
	job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
	seen.Jobs = []*batchv1.Job{job}
	for _, c := range []struct {
		attempt, step int32
		want          state.Outcome
	}{{1, 2, state.OutcomeGood}, {2, 2, state.OutcomeNone}, {1, 3, state.OutcomeNone}} {
		app.Status.Rollout.Attempt, app.Status.Rollout.Step = c.attempt, c.step
		if err := new(Observer).gates(t.Context(), app, seen); err != nil || seen.Gates["smoke"].Outcome != c.want {
			t.Errorf("attempt %d, step %d: %+v, %v", c.attempt, c.step, seen.Gates, err)
		}
	}
}

// metricsServer serves a counter that the test may raise.
func metricsServer(t *testing.T, good, bad *atomic.Int64) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE http_requests_total counter\nhttp_requests_total{code=\"200\"} %d\nhttp_requests_total{code=\"500\"} %d\n",
			good.Load(), bad.Load())
	}))
	t.Cleanup(server.Close)
	return server
}

func TestPodMetricsGate(t *testing.T) {
	var good, bad atomic.Int64
	server := metricsServer(t, &good, &bad)
	app, seen := rollingOut(t, "{name: errs, metric: {source: Pods, indicator: ErrorRatio, max: '0.1', maxRatioToStable: '2'}}")
	fresh, ending := servesAt(app, server, "shop-new", "new-1"), servesAt(app, server, "shop-new", "new-2")
	stable := servesAt(app, server, "shop-old", "old-1")
	ending.DeletionTimestamp, ending.Status.PodIP = &testkit.Born, "192.0.2.1"
	seen.Pods = []*corev1.Pod{fresh, ending, stable}
	o := &Observer{Gates: cluster(server)}
	sample := func() state.Sample {
		t.Helper()
		if err := o.gates(t.Context(), app, seen); err != nil {
			t.Fatal(err)
		}
		return seen.Gates["errs"]
	}
	if got := sample(); got.Outcome != state.OutcomeNone {
		t.Errorf("the first look: %+v", got)
	}
	good.Add(95)
	bad.Add(5)
	if diff := cmp.Diff(state.Sample{Outcome: state.OutcomeGood, Value: "0.05", Limit: "0.1"}, sample()); diff != "" {
		t.Error(diff)
	}
	// At the last step the stable revision has no traffic: what compares is held against max alone.
	app.Status.Rollout.Step = 4
	seen.Pods = []*corev1.Pod{fresh}
	good.Add(95)
	bad.Add(5)
	if diff := cmp.Diff(state.Sample{Outcome: state.OutcomeGood, Value: "0.05", Limit: "0.1"}, sample()); diff != "" {
		t.Error(diff)
	}
	app.Spec.Rollout.Gates[0].Metric.Max = ""
	seen.Gates = nil
	if got := sample(); len(seen.Gates) != 0 {
		t.Errorf("what can only compare is asked: %+v", got)
	}
}

func TestMetricsAreReadWhereTheRevisionServesThem(t *testing.T) {
	app, seen := rollingOut(t, errs)
	app.Spec.App.Port = new(int32(9000))
	pod := testkit.Serve(testkit.Pod(app, naming.ComponentApp, "p"))
	pod.Labels[naming.LabelRevision], pod.Status.PodIP = "shop-new", "fd00::1"
	seen.Pods = []*corev1.Pod{pod}
	record := func(app string) *appsv1.ControllerRevision {
		return &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: "shop-new"},
			Data: runtime.RawExtension{Raw: []byte(`{"format":1,"bindings":{},"app":` + app + `}`)}}
	}
	for want, r := range map[string]*appsv1.ControllerRevision{
		"http://[fd00::1]:9000/metrics": nil,
		"http://[fd00::1]:8080/metrics": record(`{"image":"i"}`),
		"http://[fd00::1]:7000/metrics": record(`{"image":"i","port":7000}`),
		"http://[fd00::1]:9090/m":       record(`{"image":"i","metrics":{"port":9090,"path":"/m"}}`),
	} {
		seen.Revisions = nil
		if r != nil {
			seen.Revisions = append(seen.Revisions, r)
		}
		got := asking{nil, app, seen}.targets("shop-new")
		if len(got) != 1 || got[0].URL != want {
			t.Errorf("%+v, want %s", got, want)
		}
	}
}

// A query that does not parse is found before the first pod is there, and asked once.
func TestDryQuestions(t *testing.T) {
	target := httptest.NewServer(http.NotFoundHandler())
	defer target.Close()
	address, err := url.Parse(testkit.Prometheus(t, strings.TrimPrefix(target.URL, "http://")))
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		httputil.NewSingleHostReverseProxy(address).ServeHTTP(w, r)
	}))
	defer proxy.Close()
	gateOf := func(name, query string) string {
		return fmt.Sprintf("{name: %s, metric: {source: Prometheus, max: '1', prometheus: {address: '%s', query: '%s'}}}", name, proxy.URL, query)
	}
	app, seen := rollingOut(t, strings.Join([]string{gateOf("broken", "sum(up[$(window)]"), gateOf("empty", "nosuchmetric"), slow, ask}, ", "))
	app.Status.Rollout.StepStartedTime, app.Status.Rollout.Step = nil, 1
	o := &Observer{Gates: cluster(target)}
	observe := func(wantAsked int64) {
		t.Helper()
		seen.Gates = nil
		if err := o.gates(t.Context(), app, seen); err != nil {
			t.Fatal(err)
		}
		broken := seen.Gates["broken"]
		if len(seen.Gates) != 1 || broken.Outcome != state.OutcomeInvalid || !strings.HasPrefix(broken.Reason, "the query does not parse: ") {
			t.Errorf("%+v", seen.Gates)
		}
		if n := asked.Load(); n != wantAsked {
			t.Errorf("asked %d times, want %d", n, wantAsked)
		}
	}
	observe(2)
	observe(2) // remembered
	app.Generation++
	observe(4)

	app.Status.Rollout.Step = 2 // between two steps there is nothing to find out
	seen.Gates = nil
	if err := o.gates(t.Context(), app, seen); err != nil || seen.Gates != nil || asked.Load() != 4 {
		t.Errorf("%+v, %v, asked %d times", seen.Gates, err, asked.Load())
	}
	// In the step itself it is the same.
	app.Status.Rollout.StepStartedTime = &metav1.Time{Time: testkit.Born.Time}
	if err := o.gates(t.Context(), app, seen); err != nil || seen.Gates["broken"].Outcome != state.OutcomeInvalid ||
		seen.Gates["empty"].Outcome != state.OutcomeInconclusive {
		t.Errorf("%+v, %v", seen.Gates, err)
	}
}

// Sources that hang are waited for together, not one after the other.
func TestGatesAreAskedInParallel(t *testing.T) {
	app, seen := rollingOut(t, "")
	specs := make([]v1alpha1.GateSpec, 16)
	for i := range specs {
		specs[i].Name = fmt.Sprint("g", i)
	}
	var here sync.WaitGroup
	here.Add(len(specs))
	samples := asking{nil, app, seen}.all(t.Context(), time.Minute, specs, func(ctx context.Context, g *v1alpha1.GateSpec) state.Sample {
		here.Done()
		here.Wait() // each waits until all are asked
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("asked without a deadline")
		}
		return state.Sample{Value: g.Name}
	})
	if len(samples) != len(specs) || samples["g7"].Value != "g7" {
		t.Errorf("%+v", samples)
	}
}
