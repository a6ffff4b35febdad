package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/cli"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// The volumes of a session store grow while it is in use: no pod is restarted, and no session lost. Its metrics
// are there, and its exporter may die without harm.
func TestRedisVolumesGrow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := w.redisApp(3)
	app.Spec.Sessions.Redis.Storage.StorageClassName = new("sized")
	w.create(app)
	w.waitReady("shop")
	load := w.startSessions("shop")
	defer load.end()
	load.acknowledgedAfter(time.Now())
	pods := map[string]string{naming.LabelInstance: "shop", naming.LabelComponent: naming.ComponentSessions}
	before := lives(w.podsOf(pods))

	began := time.Now()
	w.changeApp("shop", func(app *v1alpha1.ScalableApp) { app.Spec.Sessions.Redis.Storage.Size = resource.MustParse("384Mi") })
	w.eventually(4*time.Minute, "the volumes are larger", func() error { return w.sessionVolumes("384Mi") })
	took := time.Since(began)
	w.waitReady("shop")
	load.acknowledgedAfter(time.Now())
	t.Logf("three volumes grow in %s; nobody could log in for %s", seconds(took), seconds(load.gap(began)))
	if lost := load.lost(); lost > 0 {
		t.Errorf("%d sessions are lost", lost)
	}
	// They go with the app (onDelete), so the StatefulSet owns them; the one before must not have taken them along.
	w.eventually(time.Minute, "the StatefulSet is made anew and owns the volumes", func() error {
		set := &appsv1.StatefulSet{}
		if err := w.read("shop-sessions", set); err != nil {
			return err
		}
		if size := set.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests[corev1.ResourceStorage]; size.String() != "384Mi" {
			return fmt.Errorf("its template has %s", size.String())
		}
		return w.sessionVolumesOf(set)
	})

	for _, pod := range w.podsOf(pods) {
		w.eventually(time.Minute, "metrics of "+pod.Name, func() error { return redisUp(w, &pod) })
	}
	if out := w.inPod("shop-sessions-0", "metrics", "sh", "-c", `for p in /proc/[0-9]*; do read -r n <$p/comm && case $n in prometheus-redi*) kill -9 ${p#/proc/} && echo killed ;; esac; done`); !strings.Contains(out, "killed") {
		t.Fatalf("the exporter was not killed: %s", out)
	}
	w.eventually(time.Minute, "metrics again", func() error {
		pod := &corev1.Pod{}
		if err := w.read("shop-sessions-0", pod); err != nil {
			return err
		}
		return redisUp(w, pod)
	})
	if after := lives(w.podsOf(pods)); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("pods or containers were made anew: %v, before %v", after, before)
	}

	out := &strings.Builder{}
	streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: out}
	if code := cli.Run(w.ctx, "test", []string{"redis-cli", "shop", "-n", w.namespace, "--", "SET", "asked", "by-a-person"}, streams); code != 0 || strings.TrimSpace(out.String()) != "OK" {
		t.Errorf("redis-cli: %d %s", code, out)
	}
}

// A volume whose class cannot grow is said, and the sessions go on.
func TestRedisVolumeCannotGrow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(w.redisApp(1)) // on the cluster's default class, which does not let volumes grow
	w.waitReady("shop")
	w.changeApp("shop", func(app *v1alpha1.ScalableApp) { app.Spec.Sessions.Redis.Storage.Size = resource.MustParse("384Mi") })
	w.eventually(time.Minute, "the condition says it", func() error {
		app := w.app("shop")
		if err := isCondition(app, v1alpha1.ConditionSessionsReady, metav1.ConditionFalse, v1alpha1.ReasonChangeFailed); err != nil {
			return err
		}
		for _, c := range app.Status.Conditions {
			if c.Type == v1alpha1.ConditionSessionsReady && strings.Contains(c.Message, "docs/runbooks/redis-volume-cannot-grow.md") {
				return nil
			}
		}
		return errors.New("no runbook")
	})
	w.must(w.sessionVolumes("256Mi"))
	// What serves holds up no release.
	w.changeApp("shop", func(app *v1alpha1.ScalableApp) { app.Spec.App.Image = image110 })
	w.eventually(readyWithin, "the new version is rolled out", func() error {
		if s := w.app("shop").Status.Rollout.Stable; s == nil || s.Image != image110 {
			return errNotYet
		}
		return nil
	})
}

// sessionVolumes says whether every volume of the session store, and the template for more, has the size.
func (w *world) sessionVolumes(size string) error {
	w.Helper()
	claims := &corev1.PersistentVolumeClaimList{}
	labels := client.MatchingLabels{naming.LabelComponent: naming.ComponentSessions}
	if err := api.List(w.ctx, claims, client.InNamespace(w.namespace), labels); err != nil {
		return err
	}
	if len(claims.Items) == 0 {
		return errors.New("no volumes")
	}
	want := resource.MustParse(size)
	for _, claim := range claims.Items {
		if have := claim.Status.Capacity[corev1.ResourceStorage]; have.Cmp(want) != 0 {
			return fmt.Errorf("%s has %s", claim.Name, have.String())
		}
	}
	return nil
}

// sessionVolumesOf says whether a StatefulSet owns the volumes, and none of them is about to go.
func (w *world) sessionVolumesOf(set *appsv1.StatefulSet) error {
	claims := &corev1.PersistentVolumeClaimList{}
	labels := client.MatchingLabels{naming.LabelComponent: naming.ComponentSessions}
	if err := api.List(w.ctx, claims, client.InNamespace(w.namespace), labels); err != nil {
		return err
	}
	for _, claim := range claims.Items {
		if len(claim.OwnerReferences) != 1 || claim.OwnerReferences[0].UID != set.UID || claim.DeletionTimestamp != nil {
			return fmt.Errorf("%s is owned by %v, deleted %v", claim.Name, claim.OwnerReferences, claim.DeletionTimestamp)
		}
	}
	return nil
}

// lives are pods with the restarts of their containers.
func lives(pods []corev1.Pod) map[string]string {
	out := map[string]string{}
	for _, pod := range pods {
		restarts := int32(0)
		for _, c := range pod.Status.ContainerStatuses {
			restarts += c.RestartCount
		}
		out[pod.Name] = fmt.Sprintf("%s, %d restarts", pod.UID, restarts)
	}
	return out
}

// redisUp asks the exporter of a pod.
func redisUp(w *world, pod *corev1.Pod) error {
	request, err := http.NewRequestWithContext(w.ctx, http.MethodGet, "http://"+pod.Status.PodIP+":9121/metrics", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if !strings.Contains(string(body), "\nredis_up 1\n") {
		return errors.New("no redis_up 1")
	}
	return nil
}
