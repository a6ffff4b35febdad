package integration

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// The operator's caches may be behind by any number of events. A pass on what was harms nothing that is:
// nothing is deleted, no password replaced, no pod taken away from what serves; and when the caches have
// caught up, the app is as it would have been.
func TestStaleCache(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	workload(s)
	s.ready()
	want := withoutAttempt(s.picture())
	passwords := s.passwords()
	replicas := s.replicas()
	past := s.seen.past
	events := len(past)
	if events < 120 || len(passwords) < 2 {
		t.Fatalf("%d events and %d passwords prove nothing", events, len(passwords))
	}
	// The app itself is seen as it is: with an old one no decision can be stored (see below).
	app := id{v1alpha1.GroupVersion.WithKind("ScalableApp"), s.key("shop")}
	for k := 0; k < events; k += 2 {
		s.seen.frozen = maps.Clone(past[k])
		s.seen.frozen[app] = s.seen.now[app]
		before := len(s.done)
		_, _ = s.pass() // conflicts and refusals are welcome
		for _, write := range s.done[before:] {
			if strings.HasPrefix(write, "delete") {
				t.Errorf("with a cache of event %d of %d it did %s", k, events, write)
			}
		}
		s.seen.thaw()
		if diff := cmp.Diff(passwords, s.passwords()); diff != "" {
			t.Fatalf("with a cache of event %d of %d passwords were replaced:\n%s", k, events, diff)
		}
		if got := s.replicas(); !noFewer(got, replicas) {
			t.Errorf("with a cache of event %d of %d pods were taken away: %v, and before %v", k, events, got, replicas)
		}
		s.settle()
		if diff := cmp.Diff(want, withoutAttempt(s.picture())); diff != "" {
			t.Fatalf("after a pass with a cache of event %d of %d the end is another:\n%s", k, events, diff)
		}
	}
	t.Logf("passes with caches of %d of %d events did no harm", (events+1)/2, events)
}

// withoutAttempt is a picture without the number of attempts: a cache without the user's ConfigMap makes
// another revision the candidate for a moment, and that counts. And without the time of the last drain, which
// begins anew when a cache shows the Service as it was.
func withoutAttempt(picture map[string]string) map[string]string {
	picture["ScalableApp/shop"] = regexp.MustCompile(`"attempt": \d+|\s*"drainTime": "TIME",`).ReplaceAllString(picture["ScalableApp/shop"], "")
	return picture
}

// With an app as it was before, the optimistic lock on the status stops the pass before it does anything.
func TestStaleAppIsStopped(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.deploy(whole)
	s.create(&corev1.ConfigMap{ObjectMeta: s.meta("settings")})
	s.settle()
	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.Cache = nil })
	s.settle()
	past := s.seen.past
	events := len(past)
	for k := 1; k < events; k += 5 {
		s.seen.frozen = past[k]
		before := len(s.done)
		_, _ = s.pass()
		for _, write := range s.done[before:] {
			if strings.HasPrefix(write, "delete") {
				t.Errorf("with a cache of event %d of %d it did %s", k, events, write)
			}
		}
		s.seen.thaw()
	}
	s.settle()
	s.ready()
}

// passwords are the values of the Secrets that are made once.
func (s *stack) passwords() map[string]string {
	out := map[string]string{}
	for _, secret := range all[corev1.Secret](s.seen) {
		if strings.HasSuffix(secret.Name, "-credentials") {
			out[secret.Name] = fmt.Sprint(secret.UID, secret.Data)
		}
	}
	return out
}

func (s *stack) replicas() map[string]int32 {
	out := map[string]int32{}
	for _, d := range all[appsv1.Deployment](s.seen) {
		out[d.Labels[naming.LabelComponent]] += *d.Spec.Replicas
	}
	return out
}

func noFewer(got, want map[string]int32) bool {
	for name, n := range want {
		if got[name] < n {
			return false
		}
	}
	return true
}

// In the midst of a rollout 2 pods of the new revision serve; it is taken back, and then tried again while
// the caches still show those 2. They are gone, so the old revision must keep its pods.
func TestStaleCacheTakesNoPodsAway(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	image := func(name string) {
		s.change(func(app *v1alpha1.ScalableApp) { app.Spec.App.Image = name })
	}
	s.deploy(`app: {image: "a", replicas: 3}`)
	s.settle()
	stable := revisionOf(s)
	image("b")
	for range 20 {
		if slices.ContainsFunc(all[appsv1.Deployment](s.seen), func(d *appsv1.Deployment) bool {
			return d.Name != stable && d.Status.ReadyReplicas >= 2
		}) {
			break
		}
		if _, err := s.pass(); err != nil {
			t.Fatal(err)
		}
		s.turn()
	}
	midway := maps.Clone(s.seen.now)
	image("a")
	s.settle()
	image("b")
	app := id{v1alpha1.GroupVersion.WithKind("ScalableApp"), s.key("shop")}
	midway[app] = s.seen.now[app]
	s.seen.frozen = midway
	for range 2 {
		// Made again at once: a conflict was met, so it did try to take pods away. Without one the pass
		// would sleep until the deadline, ten minutes off.
		if result, err := s.pass(); err != nil || result.RequeueAfter == 0 || result.RequeueAfter > time.Second {
			t.Errorf("a pass on old pods ends with %v and is made again after %s", err, result.RequeueAfter)
		}
		midway[app] = s.seen.now[app]
	}
	s.seen.thaw()
	for _, d := range all[appsv1.Deployment](s.seen) {
		if d.Name == stable && *d.Spec.Replicas != 3 {
			t.Errorf("of 3 pods that serve %s, %d are left", stable, *d.Spec.Replicas)
		}
	}
	s.settle()
	s.ready()
}

// An operator that was stopped between its decision and its writes, or that is no longer the leader and does
// not know it, takes no pod away because of what was wanted then.
func TestOldDecisionTakesNoPodAway(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.deploy(alone)
	s.settle()
	s.ready()
	scale := func(n int32) { s.change(func(app *v1alpha1.ScalableApp) { app.Spec.App.Replicas = &n }) }

	scale(2)
	s.limit = len(s.writes) + 1
	_, _ = s.pass() // it stores its decision and dies
	s.restart()
	before := s.replicas()
	app := id{v1alpha1.GroupVersion.WithKind("ScalableApp"), s.key("shop")}
	old := s.seen.now[app]
	scale(3)
	s.seen.frozen = maps.Clone(s.seen.now)
	s.seen.frozen[app] = old
	wrote := len(s.writes)
	_, _ = s.pass()
	s.seen.thaw()
	if len(s.writes) != wrote {
		t.Errorf("with the app as it was it wrote %v", s.writes[wrote:])
	}
	if got := s.replicas(); !noFewer(got, before) {
		t.Errorf("pods were taken away: %v, and before %v", got, before)
	}

	s.seen.frozen = nil
	scale(2) // and without a lag they are
	s.settle()
	if got := s.replicas(); noFewer(got, before) {
		t.Errorf("no pod was taken away: %v", got)
	}
}
