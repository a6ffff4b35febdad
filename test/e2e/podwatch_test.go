package e2e

import (
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// podWatch writes down how many pods of an app there are at each time, as the API server says it and not
// as the operator does.
type podWatch struct {
	mu     sync.Mutex
	pods   map[string]podState
	counts []podCount
}

type podState struct {
	set                   string
	serving, alive, there bool
}

// podCount is the number of pods of each set from a time on.
type podCount struct {
	from time.Time
	// serving pods are ready and not asked to end; alive are all that are not asked to end; there are all.
	serving, alive, there map[string]int
}

func (c podCount) served() int { return sum(c.serving) }
func (c podCount) total() int  { return sum(c.alive) }

func sum(counts map[string]int) int {
	n := 0
	for v := range maps.Values(counts) {
		n += v
	}
	return n
}

// watchPods watches the pods with the labels until the test ends. The value of the label set tells to
// which set a pod belongs.
func (w *world) watchPods(labels map[string]string, set string) *podWatch {
	w.Helper()
	p := &podWatch{pods: map[string]podState{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for from := ""; w.ctx.Err() == nil; {
			from = p.follow(w, labels, set, from)
		}
	}()
	w.Cleanup(func() { <-done })
	return p
}

// follow watches from a version on; from none, all pods that are there come first. It returns the last
// version that it saw.
func (p *podWatch) follow(w *world, labels map[string]string, set, from string) string {
	stream, err := api.Watch(w.ctx, &corev1.PodList{}, client.InNamespace(w.namespace),
		client.MatchingLabels(labels), &client.ListOptions{Raw: listFrom(from)})
	if err != nil {
		time.Sleep(pollEvery)
		return from
	}
	defer stream.Stop()
	for event := range stream.ResultChan() {
		pod, ok := event.Object.(*corev1.Pod)
		if !ok {
			return ""
		}
		from = pod.ResourceVersion
		p.saw(event.Type, pod, set)
	}
	return from
}

func (p *podWatch) saw(what watch.EventType, pod *corev1.Pod, set string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	there := what != watch.Deleted
	alive := there && pod.DeletionTimestamp == nil &&
		pod.Status.Phase != corev1.PodFailed && pod.Status.Phase != corev1.PodSucceeded
	state := podState{set: pod.Labels[set], there: there, alive: alive, serving: alive && isPodReady(pod)}
	if p.pods[pod.Name] == state {
		return
	}
	p.pods[pod.Name] = state
	count := podCount{from: time.Now(), serving: map[string]int{}, alive: map[string]int{}, there: map[string]int{}}
	for _, s := range p.pods {
		if s.there {
			count.there[s.set]++
		}
		if s.alive {
			count.alive[s.set]++
		}
		if s.serving {
			count.serving[s.set]++
		}
	}
	p.counts = append(p.counts, count)
}

func isPodReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// between are the counts of a time, that with which it began included.
func (p *podWatch) between(from, to time.Time) []podCount {
	p.mu.Lock()
	defer p.mu.Unlock()
	var counts []podCount
	for i, c := range p.counts {
		if last := i+1 == len(p.counts) || p.counts[i+1].from.After(from); last && c.from.Before(to) {
			counts = append(counts, c)
		}
	}
	return counts
}

// when is the first time since another at which the counts satisfy a condition.
func (p *podWatch) when(since time.Time, is func(podCount) bool) (time.Time, bool) {
	for _, c := range p.between(since, time.Now().Add(time.Hour)) {
		if is(c) {
			return later(c.from, since), true
		}
	}
	return time.Time{}, false
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// least is the smallest number of serving pods in a time, most the greatest number of pods.
func (p *podWatch) least(from, to time.Time) int {
	least := -1
	for _, c := range p.between(from, to) {
		if n := c.served(); least < 0 || n < least {
			least = n
		}
	}
	return least
}

func (p *podWatch) most(from, to time.Time) int {
	most := 0
	for _, c := range p.between(from, to) {
		most = max(most, c.total())
	}
	return most
}

// appPods watches the pods of the app.
func (w *world) appPods(name string) *podWatch {
	w.Helper()
	app := w.app(name)
	return w.watchPods(naming.Selector(app, naming.ComponentApp), naming.LabelRevision)
}
