package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

const (
	benchPods = 4
	labelSet  = "set"
)

// contestant is a way to take an app from one version to the next.
type contestant struct {
	name string
	// start brings the app up, says how requests reach it, and under which names its pods count.
	start func(*world) (to way, pods *podWatch)
	// bump changes the version.
	bump func(*world)
	// gone waits for the end.
	gateway bool
}

// BenchCutover in all but the name: the same bump of the same app, done in each way there is, one after the
// other. All contestants' app ends at once when it is told to: the sample app's own patience is switched off.
func TestBenchCutover(t *testing.T) {
	if os.Getenv("E2E_BENCH") == "" {
		t.Skip("a measurement and no test: make bench-cutover")
	}
	var table []string
	for _, c := range contestants() {
		t.Run(strings.NewReplacer(" ", "", ",", "").Replace(c.name), func(t *testing.T) {
			w := newWorld(t)
			table = append(table, c.measure(w))
		})
	}
	fmt.Printf("\nA bump of %d pods at %s requests/s\n\n| %s |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n", benchPods, rateText(),
		row("who, how", "sent", "failed", "p99 before", "p99 during",
			"new one serves all after", "old one gone after", "extra pods", "operator's writes"))
	for _, line := range table {
		fmt.Printf("| %s |\n", line)
	}
}

func rateText() string {
	if text := os.Getenv("E2E_RATE"); text != "" {
		return text
	}
	return "50"
}

func contestants() []contestant {
	all := []contestant{
		{name: "Deployment", start: startPlain(false), bump: bumpPlain},
		{name: "Deployment with preStop", start: startPlain(true), bump: bumpPlain},
	}
	for _, of := range []struct {
		strategy v1alpha1.RolloutStrategy
		gateway  bool
	}{
		{v1alpha1.RolloutRolling, false}, {v1alpha1.RolloutBlueGreen, false}, {v1alpha1.RolloutCanary, false},
		{v1alpha1.RolloutBlueGreen, true}, {v1alpha1.RolloutCanary, true},
	} {
		all = append(all, contestant{
			name: string(of.strategy) + ", " + modeName(of.gateway), gateway: of.gateway,
			start: startOurs(of.strategy, of.gateway),
			bump: func(w *world) {
				w.changeApp("shop", func(app *v1alpha1.ScalableApp) { app.Spec.App.Image = image110 })
			},
		})
	}
	return all
}

func startOurs(strategy v1alpha1.RolloutStrategy, gateway bool) func(*world) (way, *podWatch) {
	return func(w *world) (way, *podWatch) {
		app := w.cutoverApp("shop", strategy, gateway)
		app.Spec.App.Replicas = new(int32(benchPods))
		app.Spec.App.Env = env("DRAIN_SECONDS", "0")
		app.Spec.Rollout.Gates, app.Spec.Rollout.RollbackHoldSeconds = nil, new(int32(0))
		if strategy == v1alpha1.RolloutCanary {
			app.Spec.Rollout.Canary.Steps = []v1alpha1.CanaryStep{
				{Weight: 25, PauseSeconds: new(int32(5))}, {Weight: 50, PauseSeconds: new(int32(5))},
			}
		}
		w.create(app)
		w.waitReady("shop")
		return w.way("shop"), w.appPods("shop")
	}
}

// startPlain is what somebody writes who has no operator: a Deployment with its default strategy, probes,
// and a Service.
func startPlain(preStop bool) func(*world) (way, *podWatch) {
	return func(w *world) (way, *podWatch) {
		labels := map[string]string{"app": "plain"}
		w.create(plain(w.namespace, preStop))
		w.create(&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: "plain", Namespace: w.namespace},
			Spec: corev1.ServiceSpec{Selector: labels,
				Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
		})
		w.eventually(2*time.Minute, "the Deployment is available", func() error {
			d := &appsv1.Deployment{}
			w.must(w.read("plain", d))
			if d.Status.AvailableReplicas < benchPods {
				return fmt.Errorf("%d of %d pods are", d.Status.AvailableReplicas, benchPods)
			}
			return nil
		})
		return way{base: w.base("plain")}, w.watchPods(labels, labelSet)
	}
}

func plain(namespace string, preStop bool) *appsv1.Deployment {
	get := func(path string, period int32) *corev1.Probe {
		return &corev1.Probe{PeriodSeconds: period, ProbeHandler: corev1.ProbeHandler{
			HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(8080)}}}
	}
	container := corev1.Container{
		Name: "app", Image: image100, ReadinessProbe: get("/readyz", 2), LivenessProbe: get("/livez", 10),
		Env: append(env("DRAIN_SECONDS", "0"), corev1.EnvVar{Name: "APP_REVISION", Value: "old"}),
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), RunAsNonRoot: new(true), RunAsUser: new(int64(65532)),
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
	if preStop {
		container.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 10}}}
	}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "plain", Namespace: namespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(benchPods)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "plain"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "plain", labelSet: "old"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{container}},
			},
		},
	}
}

func bumpPlain(w *world) {
	w.Helper()
	change(w, "plain", &appsv1.Deployment{}, func(d *appsv1.Deployment) {
		d.Spec.Template.Labels[labelSet] = "new"
		d.Spec.Template.Spec.Containers[0].Image = image110
		d.Spec.Template.Spec.Containers[0].Env[1].Value = "new"
	})
}

// measure does the bump under load and tells of it in a line.
func (c contestant) measure(w *world) string {
	w.Helper()
	to, pods := c.start(w)
	shower := w.startShower(to, w.rate())
	time.Sleep(setting(w.T, "E2E_BEFORE", 15*time.Second)) // the measurement of "before"
	old := pods.now()
	log := openAudit(w.T)
	changed := time.Now()
	c.bump(w)
	var gone time.Time
	w.eventually(5*time.Minute, "no old pod is left", func() error {
		var ok bool
		gone, ok = pods.when(changed, func(n podCount) bool {
			left := 0
			for set := range old.there {
				left += n.there[set]
			}
			return left == 0 && n.served() >= benchPods
		})
		if !ok {
			return errNotYet
		}
		return nil
	})
	time.Sleep(3 * time.Second) // a measurement: whether the end hurts
	ended := time.Now()
	result := shower.finish()
	during := result.Between(changed, ended)
	serves := changed
	for _, s := range led(during, c.gateway).Samples {
		if s.Err == nil && old.there[s.By] > 0 {
			serves = later(s.Due, serves)
		}
	}
	writes := "-"
	if strings.Contains(c.name, ",") {
		writes = fmt.Sprint(writesIn(w, log))
	}
	if during.Failed() > 0 {
		w.Logf("failed:\n%s", during.Why(10))
	}
	return row(c.name, during.Sent(), during.Failed(), millis(result.Between(result.Began, changed).Quantile(0.99)),
		millis(during.Quantile(0.99)), seconds(serves.Sub(changed)), seconds(gone.Sub(changed)),
		max(0, pods.most(changed, ended)-benchPods), writes)
}

// now is how many pods there are.
func (p *podWatch) now() podCount {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[len(p.counts)-1]
}

// writesIn counts the operator's writes in the world's namespace.
func writesIn(w *world, log *auditLog) int {
	w.Helper()
	requests := slices.DeleteFunc(costly(log.more(w.T)), func(r request) bool {
		return r.Object.Namespace != w.namespace || r.Verb == "get" || r.Verb == "list" || r.Object.Resource == "events"
	})
	w.Logf("the operator's writes:\n%s", tally(requests))
	return len(requests)
}
