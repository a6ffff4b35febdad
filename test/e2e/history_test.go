package e2e

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// history is every version of every ScalableApp of a world. Each is held against the rules of kstatus
// when it is seen, so every test also tests that.
type history struct {
	mu       sync.Mutex
	versions []version
}

type version struct {
	seen time.Time
	app  *v1alpha1.ScalableApp
}

// record starts to write the history down, until the test ends.
func record(w *world) *history {
	w.Helper()
	h := &history{}
	list := &v1alpha1.ScalableAppList{}
	w.must(api.List(w.ctx, list, client.InNamespace(w.namespace)))
	from := list.ResourceVersion
	done := make(chan struct{})
	go func() {
		defer close(done)
		for w.ctx.Err() == nil {
			from = h.follow(w, from)
		}
	}()
	w.Cleanup(func() { <-done })
	return h
}

// follow watches from a version on and returns the last version that it saw.
func (h *history) follow(w *world, from string) string {
	stream, err := api.Watch(w.ctx, &v1alpha1.ScalableAppList{}, client.InNamespace(w.namespace),
		&client.ListOptions{Raw: listFrom(from)})
	if err != nil {
		time.Sleep(pollEvery)
		return from
	}
	defer stream.Stop()
	for event := range stream.ResultChan() {
		app, ok := event.Object.(*v1alpha1.ScalableApp)
		if !ok {
			return "" // the version is too old; from now on
		}
		from = app.ResourceVersion
		if event.Type == watch.Deleted {
			continue
		}
		h.mu.Lock()
		h.versions = append(h.versions, version{time.Now(), app})
		h.mu.Unlock()
		if err := kstatus(app); err != nil {
			w.Errorf("status of %s breaks the rules of kstatus: %v\n%s", app.Name, err, describeApp(app))
		}
	}
	return from
}

// since are the versions of an app that were seen at or after a time.
func (h *history) since(name string, from time.Time) []*v1alpha1.ScalableApp {
	h.mu.Lock()
	defer h.mu.Unlock()
	var apps []*v1alpha1.ScalableApp
	for _, v := range h.versions {
		if v.app.Name == name && !v.seen.Before(from) {
			apps = append(apps, v.app)
		}
	}
	return apps
}

// first is the first version of an app, seen at or after a time, that is as wanted.
func (h *history) first(name string, from time.Time, is func(*v1alpha1.ScalableApp) bool) (version, bool) {
	for _, v := range h.between(name, from, time.Now()) {
		if is(v.app) {
			return v, true
		}
	}
	return version{}, false
}

// between are the versions of an app that were seen from one time until before another.
func (h *history) between(name string, from, to time.Time) []version {
	h.mu.Lock()
	defer h.mu.Unlock()
	var versions []version
	for _, v := range h.versions {
		if v.app.Name == name && !v.seen.Before(from) && v.seen.Before(to) {
			versions = append(versions, v)
		}
	}
	return versions
}

// kstatus checks the conventions that `kubectl wait`, helm --wait and Argo CD rely on: a status that
// speaks of the newest spec says exactly one of Ready, Reconciling and Stalled.
func kstatus(app *v1alpha1.ScalableApp) error {
	status := app.Status
	if status.ObservedGeneration == -1 {
		if len(status.Conditions) > 0 {
			return fmt.Errorf("observedGeneration is -1, but there are conditions")
		}
		return nil
	}
	ready := meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady)
	reconciling := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReconciling)
	stalled := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionStalled)
	said := 0
	for _, is := range []bool{ready, reconciling != nil, stalled != nil} {
		if is {
			said++
		}
	}
	switch {
	case said != 1:
		return fmt.Errorf("ready=%t reconciling=%t stalled=%t, want exactly one", ready, reconciling != nil, stalled != nil)
	case reconciling != nil && reconciling.Status != "True", stalled != nil && stalled.Status != "True":
		return fmt.Errorf("Reconciling and Stalled are there only while True")
	}
	for _, c := range status.Conditions {
		if c.ObservedGeneration != status.ObservedGeneration || c.Reason == "" || c.LastTransitionTime.IsZero() {
			return fmt.Errorf("condition %s is not complete: %+v", c.Type, c)
		}
	}
	return nil
}
