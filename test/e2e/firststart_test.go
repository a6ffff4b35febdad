package e2e

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// Who makes a new database is killed in the middle of it, as by a lack of memory. It is made all the same.
func TestFirstStartKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := w.bare("shop", 1)
	app.Spec.Database = postgres(1)
	w.create(app)
	w.eventually(2*time.Minute, "the database is being made", func() error {
		for _, pod := range w.podsOf(naming.Selector(app, naming.ComponentDatabase)) {
			for _, c := range pod.Status.ContainerStatuses {
				if c.Name != components.DatabaseContainer || c.State.Running == nil {
					continue
				}
				for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
					for _, command := range w.processes(&pod, components.DatabaseContainer) {
						if strings.Contains(command, "initdb") {
							w.signal(&pod, components.DatabaseContainer, "", syscall.SIGKILL)
							return nil
						}
					}
				}
			}
		}
		return errors.New("no initdb was seen")
	})
	killed := time.Now()
	w.waitReady("shop")
	t.Logf("Ready %s after its maker was killed", time.Since(killed).Round(time.Second))
}
