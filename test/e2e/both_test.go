package e2e

import (
	"slices"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
)

// The primary of the database and the master of the sessions are killed in the same moment. Both come back by
// themselves, no commit is lost, and the app, which was not touched, serves every request again.
func TestBothEngines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := w.sample()
	memory := resource.MustParse("64Mi")
	app.Spec.Sessions.Redis = &v1alpha1.SessionRedisSpec{
		Members: 3, Memory: &memory, Persistence: v1alpha1.PersistenceEnabled,
		Storage: v1alpha1.StorageSpec{Size: resource.MustParse("256Mi"), OnDelete: v1alpha1.StorageDelete},
	}
	app.Spec.Cache = nil // its requests would not need the database
	w.create(app)
	w.waitReady(app.Name)
	f := &failovers{world: w, name: app.Name}
	commits, sessions := w.startWriters(w.databaseURI(app.Name), 2), w.startSessions(app.Name)
	defer sessions.end()
	sessions.acknowledgedAfter(time.Now())

	var writes, logins []time.Duration
	var table []string
	for range repeats() {
		primary, master := f.settled(), &corev1.Pod{}
		w.must(w.read(w.redisMaster(app.Name), master))
		traffic, lost := w.startTraffic(app.Name, w.rate()/5, true), sessions.lost()
		began := time.Now()
		w.signal(primary, components.DatabaseContainer, "", syscall.SIGKILL)
		w.signal(master, "redis", "redis-server", syscall.SIGKILL)
		f.takenOver(primary, commits)
		sessions.acknowledgedAfter(time.Now().Add(5 * time.Second)) // long enough for what comes late
		f.settled()
		w.waitReady(app.Name)
		writes, logins = append(writes, commits.gap(began, time.Minute)), append(logins, sessions.gap(began))
		result := traffic.end()
		if result.Failed() > 0 {
			w.Logf("of the app's requests meanwhile failed:\n%s", result.Why(5))
		}
		table = append(table, row("both killed", seconds(writes[len(writes)-1]), seconds(logins[len(logins)-1]),
			sessions.lost()-lost, result.Failed()))
		again := w.startTraffic(app.Name, w.rate()/5, true)
		time.Sleep(3 * time.Second) // a measurement: the app's pods have found both again
		again.finish()
	}
	acknowledged, missing := commits.finish()
	slices.Sort(writes)
	slices.Sort(logins)
	w.Logf("both engines | fault | seconds without writes | without logins | sessions lost | the app's requests that failed")
	for _, line := range table {
		w.Logf("both engines | %s", line)
	}
	w.Logf("both engines | median %s | %s; of %d acknowledged commits %d are lost",
		seconds(writes[len(writes)/2]), seconds(logins[len(logins)/2]), acknowledged, missing)
	if missing > 0 {
		t.Errorf("%d of %d acknowledged commits are lost", missing, acknowledged)
	}
}
