package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
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

const prometheusConfig = `
global: {scrape_interval: 1s}
scrape_configs:
- job_name: shop
  kubernetes_sd_configs:
  - {role: pod, kubeconfig_file: %q, namespaces: {names: [%q]}}
  relabel_configs:
  - {source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_component], regex: app, action: keep}
  - {source_labels: [__meta_kubernetes_pod_label_apps_scalableapp_dev_revision], target_label: revision}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
`

// startPrometheus runs a Prometheus on this machine that reads the pods of the world's apps, and returns its
// address as the cluster sees it.
func startPrometheus(w *world, program string) string {
	w.Helper()
	folder := w.TempDir()
	kubeconfig, err := filepath.Abs(os.Getenv("KUBECONFIG"))
	w.must(err)
	config := filepath.Join(folder, "prometheus.yml")
	w.must(os.WriteFile(config, fmt.Appendf(nil, prometheusConfig, kubeconfig, w.namespace), 0o600))
	listener, err := net.Listen("tcp", machine+":0") // to learn of a free port
	w.must(err)
	address := listener.Addr().String()
	w.must(listener.Close())

	output, err := os.Create(filepath.Join(folder, "log"))
	w.must(err)
	run := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address="+address)
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
