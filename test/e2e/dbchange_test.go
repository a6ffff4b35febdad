package e2e

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// dbChange is a change to a database that is in use, and what it may cost.
type dbChange struct {
	name string
	edit func(*v1alpha1.PostgresSpec)
	// done sees that it is in force.
	done func(f *failovers) error
	// pods says that no pod may be made anew, restarts that no container may be restarted, primary that it may
	// not be another one.
	pods, restarts, primary bool
}

var dbChanges = []dbChange{
	{name: "a setting that is taken up at once", pods: true, restarts: true, primary: true,
		edit: func(p *v1alpha1.PostgresSpec) {
			p.Parameters = map[string]v1alpha1.PostgresParameter{"work_mem": "12MB"}
		},
		done: func(f *failovers) error { return f.everySetting("work_mem", "12MB") }},
	{name: "a setting that takes a restart, larger", pods: true, restarts: true,
		edit: func(p *v1alpha1.PostgresSpec) { p.Parameters["max_connections"] = "250" },
		done: func(f *failovers) error { return f.everySetting("max_connections", "250") }},
	{name: "a setting that takes a restart, smaller", pods: true, restarts: true,
		edit: func(p *v1alpha1.PostgresSpec) { p.Parameters["max_connections"] = "150" },
		done: func(f *failovers) error { return f.everySetting("max_connections", "150") }},
	{name: "CPU", pods: true, restarts: true, primary: true,
		edit: func(p *v1alpha1.PostgresSpec) {
			spec := v1alpha1.ScalableAppSpec{Database: &v1alpha1.DatabaseSpec{Postgres: p}}
			p.Resources = components.DatabaseResources(&v1alpha1.ScalableApp{Spec: spec})
			p.Resources.Requests[corev1.ResourceCPU] = resource.MustParse("150m")
		},
		done: func(f *failovers) error { return f.everyCPU("150m") }},
	{name: "more memory", pods: true, restarts: true,
		edit: func(p *v1alpha1.PostgresSpec) {
			p.Resources.Limits[corev1.ResourceMemory] = resource.MustParse("640Mi")
		},
		done: func(f *failovers) error { return f.everySetting("shared_buffers", "160MB") }},
	{name: "larger volumes", pods: true, restarts: true, primary: true,
		edit: func(p *v1alpha1.PostgresSpec) { p.Storage.Size = resource.MustParse("320Mi") },
		done: func(f *failovers) error { return f.everyVolume("320Mi") }},
	{name: "one instance more",
		edit: func(p *v1alpha1.PostgresSpec) { p.Instances = 3 },
		done: func(f *failovers) error { return f.members(3) }},
	{name: "one instance less, which is the primary",
		edit: func(p *v1alpha1.PostgresSpec) { p.Instances = 2 },
		done: func(f *failovers) error { return f.members(2) }},
}

// Whatever is changed about a database in use, it goes on taking writes, but for the moment of a switchover, and
// loses none; and what can be done without a restart is.
func TestDatabaseChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.sized("256Mi")
	load := w.startWriters(w.databaseURI("shop"), 4)
	t.Logf("change | what | until in force | seconds without writes | transactions that failed")
	for _, change := range dbChanges {
		if change.name == "one instance less, which is the primary" {
			f.lead(naming.Database(f.app(f.name)) + "-2")
		}
		f.change(change, load)
	}
	took, gap := f.fillAndGrow(load, "640Mi")
	t.Logf("change | %s", row("the disk is full, and grows", seconds(took), seconds(gap), ""))
	acknowledged, lost := load.finish()
	t.Logf("change | %d commits were acknowledged, %d of them are lost", acknowledged, lost)
	if lost > 0 {
		t.Errorf("%d of %d acknowledged commits are lost", lost, acknowledged)
	}
}

// sized is a database of two whose volumes have a true end.
func (w *world) sized(size string) *failovers {
	w.Helper()
	app := w.bare("shop", 1)
	app.Spec.Database = postgres(2)
	app.Spec.Database.Postgres.Storage = v1alpha1.StorageSpec{Size: resource.MustParse(size), StorageClassName: new("sized")}
	w.create(app)
	w.waitReady("shop")
	return &failovers{world: w, name: "shop"}
}

func (f *failovers) change(change dbChange, load *writers) {
	f.Helper()
	primary, before := f.settled().Name, f.lives()
	failed, began := load.failed(), time.Now()
	f.changeApp(f.name, func(app *v1alpha1.ScalableApp) { change.edit(app.Spec.Database.Postgres) })
	f.eventually(4*time.Minute, change.name+" is in force", func() error { return change.done(f) })
	took := time.Since(began)
	f.waitReady(f.name)
	f.onePrimary()
	gap := load.gap(began, time.Minute)
	f.Logf("change | %s", row(change.name, seconds(took), seconds(gap), load.failed()-failed))
	after := f.lives()
	for name, life := range before {
		now, there := after[name]
		switch {
		case !there: // it was to go
		case change.pods && now.uid != life.uid:
			f.Errorf("%s: pod %s was made anew", change.name, name)
		case change.restarts && now.restarts != life.restarts:
			f.Errorf("%s: the container of %s was restarted", change.name, name)
		}
	}
	if change.primary && f.leader() != primary {
		f.Errorf("%s: the primary is %s now, not %s", change.name, f.leader(), primary)
	}
}

// life tells one life of a pod from the next.
type life struct {
	uid      string
	restarts int32
}

func (f *failovers) lives() map[string]life {
	f.Helper()
	out := map[string]life{}
	for _, pod := range f.podsOf(naming.Selector(f.app(f.name), naming.ComponentDatabase)) {
		l := life{uid: string(pod.UID)}
		for _, c := range pod.Status.ContainerStatuses {
			l.restarts += c.RestartCount
		}
		out[pod.Name] = l
	}
	return out
}

// eachMember asks every member a question that has one answer.
func (f *failovers) eachMember(question, want string) error {
	f.Helper()
	secret := &corev1.Secret{}
	f.must(f.read(naming.DatabaseCredentials(f.app(f.name)), secret))
	for _, pod := range f.podsOf(naming.Selector(f.app(f.name), naming.ComponentDatabase)) {
		ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
		conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://monitor:%s@%s:5432/postgres?sslmode=prefer", secret.Data["MONITOR_PASSWORD"], pod.Status.PodIP))
		var got string
		if err == nil {
			err = conn.QueryRow(ctx, question).Scan(&got)
			_ = conn.Close(ctx)
		}
		cancel()
		if err != nil || got != want {
			return fmt.Errorf("%s: %s is %q, want %q: %w", pod.Name, question, got, want, errors.Join(err, errNotYet))
		}
	}
	return nil
}

func (f *failovers) everySetting(name, want string) error {
	f.Helper()
	return f.eachMember("SHOW "+name, want)
}

func (f *failovers) everyCPU(want string) error {
	f.Helper()
	for _, pod := range f.podsOf(naming.Selector(f.app(f.name), naming.ComponentDatabase)) {
		for _, c := range pod.Status.ContainerStatuses {
			if c.Name == components.DatabaseContainer && (c.Resources == nil || c.Resources.Requests.Cpu().Cmp(resource.MustParse(want)) != 0) {
				return fmt.Errorf("%s has %v", pod.Name, c.Resources)
			}
		}
	}
	return nil
}

func (f *failovers) everyVolume(want string) error {
	f.Helper()
	claims := &corev1.PersistentVolumeClaimList{}
	f.must(api.List(f.ctx, claims, client.InNamespace(f.namespace)))
	for _, claim := range claims.Items {
		if has := claim.Status.Capacity[corev1.ResourceStorage]; has.Cmp(resource.MustParse(want)) != 0 {
			return fmt.Errorf("%s has %s", claim.Name, has.String())
		}
	}
	return nil
}

func (f *failovers) members(want int) error {
	f.Helper()
	if n := len(f.podsOf(naming.Selector(f.app(f.name), naming.ComponentDatabase))); n != want {
		return fmt.Errorf("there are %d members, want %d", n, want)
	}
	return isReady(f.app(f.name))
}

// lead makes a member the primary, which has to be in step first.
func (f *failovers) lead(member string) {
	f.Helper()
	f.eventually(4*time.Minute, member+" leads", func() error {
		leader := f.leader()
		if leader == member {
			return nil
		}
		app := f.app(f.name)
		if app.Status.Database.HandledAction == app.Annotations[naming.AnnotationDatabaseAction] {
			to := member
			if len(app.Status.Database.Synchronous) > 0 && app.Status.Database.Synchronous[0] != member {
				to = "" // whoever is in step; then another is
			}
			f.changeApp(f.name, func(app *v1alpha1.ScalableApp) {
				annotate(app, naming.AnnotationDatabaseAction, "switchover:"+leader+":"+to+":"+strconv.FormatInt(time.Now().UnixNano(), 36))
			})
		}
		return fmt.Errorf("%s does; refused: %q", leader, app.Status.Database.RefusedMessage)
	})
	f.waitReady(f.name)
}

// fillAndGrow fills the primary's volume until nothing can be written, and has it grow to the size while it is
// full. It returns how long that took, until all are ready, and the longest time without writes.
func (f *failovers) fillAndGrow(load *writers, size string) (took, gap time.Duration) {
	f.Helper()
	primary := f.settled()
	began := time.Now()
	f.fill(primary)
	f.eventually(2*time.Minute, "the full volume is noticed: nothing is written, or another member leads", func() error {
		load.mu.Lock()
		defer load.mu.Unlock()
		if last := load.acks[len(load.acks)-1].at; time.Since(last) < 2*time.Second && f.leader() == primary.Name {
			return errNotYet
		}
		return nil
	})
	f.changeApp(f.name, func(app *v1alpha1.ScalableApp) {
		app.Spec.Database.Postgres.Storage.Size = resource.MustParse(size)
	})
	f.eventually(4*time.Minute, "the volumes are larger", func() error { return f.everyVolume(size) })
	f.waitReady(f.name)
	return time.Since(began), load.gap(began, 2*time.Minute)
}
