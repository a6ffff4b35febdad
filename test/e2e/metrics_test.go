package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// checkMetrics: beside each member of the database, and each pod of its poolers, an exporter tells that it sees
// the server and that nothing was refused to it.
func checkMetrics(w *world, name string) {
	w.Helper()
	pods := 0
	for component, lines := range map[string][]string{
		naming.ComponentDatabase: {"pg_up 1", "pg_exporter_last_scrape_error 0", "pg_settings_max_connections{", "pg_stat_archiver_failed_count{",
			"pg_stat_database_blks_hit{", "pg_locks_count{", "pg_wal_size_bytes ", "pg_stat_activity_count{", "pg_replication_lag_seconds "},
		naming.ComponentPooler: {"pgbouncer_up 1", "pgbouncer_pools_client_waiting_connections{", "pgbouncer_pools_client_maxwait_seconds{"},
	} {
		list := w.podsOf(naming.Selector(w.app(name), component))
		for i := range list {
			pod := &list[i]
			pods++
			w.eventually(time.Minute, "metrics of "+pod.Name, func() error {
				said, err := scrape(w, pod)
				if err != nil {
					return err
				}
				for _, line := range lines {
					if !strings.Contains(said, "\n"+line) {
						return fmt.Errorf("there is no %s", line)
					}
				}
				for line := range strings.SplitSeq(said, "\n") {
					if strings.HasPrefix(line, "pg_scrape_collector_success{") && !strings.HasSuffix(line, " 1") {
						return fmt.Errorf("%s", line)
					}
				}
				return nil
			})
		}
	}
	if pods == 0 {
		w.Error("there is no pod that could tell")
	}
}

// scrape reads the port named metrics.
func scrape(w *world, pod *corev1.Pod) (string, error) {
	for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
		for _, port := range c.Ports {
			if port.Name != "metrics" {
				continue
			}
			url := "http://" + net.JoinHostPort(pod.Status.PodIP, fmt.Sprint(port.ContainerPort)) + "/metrics"
			request, err := http.NewRequestWithContext(w.ctx, http.MethodGet, url, nil)
			if err != nil {
				return "", err
			}
			response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
			if err != nil {
				return "", err
			}
			defer func() { _ = response.Body.Close() }()
			raw, err := io.ReadAll(response.Body)
			return string(raw), err
		}
	}
	return "", fmt.Errorf("%s has no port named metrics", pod.Name)
}

// checkRefusedParameter: PostgreSQL's own word on a setting that it would not start with is in the condition, and
// the running database is not touched, whatever else is wanted.
func checkRefusedParameter(w *world, name string) {
	w.Helper()
	before := w.podsOf(naming.Selector(w.app(name), naming.ComponentDatabase))
	for parameter, c := range map[string]struct{ value, want string }{
		"work_mem":                 {"16QB", `invalid value for parameter "work_mem": "16QB"`},
		"wrk_mem":                  {"16MB", `unrecognized configuration parameter "wrk_mem"`},
		"shared_preload_libraries": {"nothere", `could not access file "nothere"`},
		"shared_buffers":           {"4GB", "and the limit is 512MB"},
	} {
		w.changeApp(name, func(app *v1alpha1.ScalableApp) {
			app.Spec.Database.Postgres.Parameters = map[string]v1alpha1.PostgresParameter{
				parameter: v1alpha1.PostgresParameter(c.value), "max_connections": "150"}
		})
		w.waitStalled(name, v1alpha1.ReasonInvalidSpec, c.want)
		if got := w.sql(name, "SELECT current_setting('max_connections') || current_setting('work_mem')"); got != "2004MB" {
			w.Errorf("with %s refused, max_connections and work_mem are %s", parameter, got)
		}
	}
	w.changeApp(name, func(app *v1alpha1.ScalableApp) {
		app.Spec.Database.Postgres.Parameters = map[string]v1alpha1.PostgresParameter{"work_mem": "8MB"}
	})
	w.waitReady(name)
	w.eventually(time.Minute, "the setting that is right is in force", func() error {
		if got := w.sql(name, "SELECT current_setting('work_mem')"); got != "8MB" {
			return fmt.Errorf("work_mem is %s", got)
		}
		return nil
	})
	after := w.podsOf(naming.Selector(w.app(name), naming.ComponentDatabase))
	for i := range after {
		if i >= len(before) || after[i].UID != before[i].UID || restarts(&after[i]) != restarts(&before[i]) {
			w.Errorf("%s was restarted", after[i].Name)
		}
	}
}

// restarts is how often the kubelet has restarted the containers of a pod.
func restarts(pod *corev1.Pod) (n int32) {
	for _, c := range pod.Status.ContainerStatuses {
		n += c.RestartCount
	}
	return n
}
