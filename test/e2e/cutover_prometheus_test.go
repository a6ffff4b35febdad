package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// machine is the address of the machine itself in the local cluster's network.
const machine = "10.89.0.254"

// A gate that asks a Prometheus: a bad version goes back by what it says, a good one goes on.
func TestCutoverByPrometheus(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skipf("there is no Prometheus on this machine (Debian's package is called prometheus): %v", err)
	}
	w := newWorld(t)
	app := w.cutoverApp("shop", v1alpha1.RolloutCanary, true)
	app.Spec.Rollout.Gates = []v1alpha1.GateSpec{{
		Name: "errors", PeriodSeconds: new(int32(2)), Samples: new(int32(2)), Metric: &v1alpha1.MetricGate{
			Source: v1alpha1.MetricSourcePrometheus, Max: "0.05",
			Prometheus: &v1alpha1.PrometheusQuery{Address: startPrometheus(w, program), Query: `` +
				`(sum(rate(http_requests_total{revision="$(revision)",code=~"5.."}[6s])) or vector(0))` +
				` / sum(rate(http_requests_total{revision="$(revision)"}[6s]))`},
		},
	}}
	w.create(app)
	c := w.startCutover("shop", cutoverRate)
	time.Sleep(3 * time.Second) // a measurement, not a wait: what "before" is
	c.gateFails()
	l := c.begin("success", c.next())
	candidate := c.candidate(l.changed)
	l.done = c.promoted(l.changed, candidate)
	l.settled, l.cutover = l.done, l.done.Sub(l.changed)
	c.end(l, candidate)
	c.finish()
}

// prometheusConfig has the pods told by this test: Debian's Prometheus does not know Kubernetes.
const prometheusConfig = `
global: {scrape_interval: 1s}
scrape_configs:
- job_name: shop
  http_sd_configs:
  - {url: %q, refresh_interval: 1s}
`

// podTargets serves the pods of the world's apps as Prometheus wants to be told of them.
func podTargets(w *world) string {
	w.Helper()
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		list := &corev1.PodList{}
		if err := api.List(r.Context(), list, client.InNamespace(w.namespace), client.HasLabels{naming.LabelRevision}); err != nil {
			http.Error(rw, err.Error(), http.StatusServiceUnavailable)
			return
		}
		groups := []group{}
		for i := range list.Items {
			if pod := &list.Items[i]; pod.Status.PodIP != "" {
				groups = append(groups, group{Targets: []string{pod.Status.PodIP + ":8080"},
					Labels: map[string]string{"revision": pod.Labels[naming.LabelRevision]}})
			}
		}
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(groups)
	}))
	w.Cleanup(server.Close)
	return server.URL
}

// startPrometheus runs a Prometheus on this machine that reads the pods of the world's apps, and returns its
// address as the cluster sees it.
func startPrometheus(w *world, program string) string {
	w.Helper()
	folder := w.TempDir()
	config := filepath.Join(folder, "prometheus.yml")
	w.must(os.WriteFile(config, fmt.Appendf(nil, prometheusConfig, podTargets(w)), 0o600))
	listener, err := net.Listen("tcp", machine+":0") // to learn of a free port
	w.must(err)
	address := listener.Addr().String()
	w.must(listener.Close())

	output, err := os.Create(filepath.Join(folder, "log"))
	w.must(err)
	run := exec.Command(program, "--config.file="+config,
		"--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address="+address)
	run.Stdout, run.Stderr = output, output
	w.must(run.Start())
	w.Cleanup(func() {
		_ = run.Process.Kill()
		_ = run.Wait()
		if said, _ := os.ReadFile(output.Name()); w.Failed() {
			w.Logf("Prometheus said:\n%s", said)
		}
		_ = output.Close()
	})
	w.eventually(time.Minute, "Prometheus is ready", func() error {
		answer, err := http.Get("http://" + address + "/-/ready")
		if err != nil {
			return err
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", answer.StatusCode)
		}
		return nil
	})
	return "http://" + address
}
