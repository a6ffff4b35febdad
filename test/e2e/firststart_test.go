package e2e

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// Who makes a new database is killed in the middle of it, as by a lack of memory. It is made all the same.
func TestFirstStartKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := w.bare("shop", 1)
	app.Spec.Database = postgres(1)
	app.Spec.Database.Postgres.Storage.OnDelete = v1alpha1.StorageDelete
	for tries := 1; ; tries++ { // it takes about a second, which a busy machine may miss
		w.create(app.DeepCopy())
		if w.killMaker(app, "initdb") {
			break
		}
		if tries == 5 {
			t.Fatal("the making of the database was missed 5 times")
		}
		w.remove(app.DeepCopy())
		w.waitNothingLeft("shop")
	}
	killed := time.Now()
	w.waitReady("shop")
	t.Logf("Ready %s after its maker was killed", time.Since(killed).Round(time.Second))
}

// killMaker kills the container in which a database is made, as soon as it runs a command that holds the words; it
// returns false when the database is there before that was seen.
func (w *world) killMaker(app *v1alpha1.ScalableApp, words string) (killed bool) {
	w.Helper()
	w.eventually(2*time.Minute, "the database is being made", func() error {
		for _, pod := range w.podsOf(naming.Selector(app, naming.ComponentDatabase)) {
			for _, c := range pod.Status.ContainerStatuses {
				if c.Name != components.DatabaseContainer || c.State.Running == nil {
					continue
				}
				for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
					for _, command := range w.processes(&pod, components.DatabaseContainer) {
						if strings.Contains(command, words) {
							w.signal(&pod, components.DatabaseContainer, "", syscall.SIGKILL)
							killed = true
							return nil
						}
					}
				}
			}
		}
		record := &corev1.ConfigMap{}
		if err := w.read(naming.PatroniRecords(app)[0], record); err == nil && record.Annotations[components.RecordInitialize] != "" {
			return nil
		}
		return errors.New("no " + words + " was seen")
	})
	return killed
}
