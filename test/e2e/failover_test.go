package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/patroni"
)

// failovers is a database under writers.
type failovers struct {
	*world
	name string
	// mayStay says that the same member may lead again within the same container: Patroni's own timing gives a
	// server that ended five minutes to start again.
	mayStay bool
}

// database is an app with a database alone that is worth a look, and the way to it.
func (w *world) database(name string, instances int32, durability v1alpha1.Durability) *failovers {
	w.Helper()
	app := w.bare(name, 1)
	app.Spec.Database = postgres(instances)
	app.Spec.Database.Postgres.Durability = durability
	w.create(app)
	w.waitReady(name)
	return &failovers{world: w, name: name}
}

// settled waits until all members of the database serve and a standby is in step, and returns the primary's
// pod. It asks the members and not the operator, which may sit on a silent node and tell of the past.
func (f *failovers) settled() *corev1.Pod {
	f.Helper()
	var primary *corev1.Pod
	f.eventually(4*time.Minute, "all members serve and one is in step", func() error {
		app, sync := f.app(f.name), &corev1.ConfigMap{}
		f.must(f.read(naming.DatabaseSync(app), sync))
		members := f.podsOf(naming.Selector(app, naming.ComponentDatabase))
		serve := 0
		for i := range members {
			if isPodReady(&members[i]) && members[i].DeletionTimestamp == nil {
				serve++
			}
			if members[i].Name == f.leader() {
				primary = &members[i]
			}
		}
		if serve < int(app.Spec.Database.Postgres.Instances) || sync.Annotations["leader"] != f.leader() || sync.Annotations["sync_standby"] == "" {
			return fmt.Errorf("%d members serve, %q leads, in step is %q", serve, f.leader(), sync.Annotations["sync_standby"])
		}
		return nil
	})
	return primary
}

func (f *failovers) leader() string {
	f.Helper()
	record := &corev1.ConfigMap{}
	f.must(f.read(naming.DatabaseLeader(f.app(f.name)), record))
	return record.Annotations["leader"]
}

// outage hurts the primary once and measures how long nothing was written.
func (f *failovers) outage(fault fault, load *writers) time.Duration {
	f.Helper()
	before := f.settled()
	for fault.fresh && restarts(before) > 0 {
		f.must(api.Delete(f.ctx, before))
		f.takenOver(before, load)
		before = f.settled()
	}
	if fault.node {
		before = f.apart(before)
	}
	began := time.Now()
	mend := fault.hurt(f, before)
	mended := mend == nil
	defer func() {
		if !mended {
			mend()
		}
	}()
	if fault.inPlace {
		f.eventually(90*time.Second, "another member leads, or the same one takes writes again", func() error {
			if f.leader() == before.Name && !load.last().After(began.Add(5*time.Second)) {
				return errNotYet
			}
			return nil
		})
	} else {
		f.takenOver(before, load)
	}
	elected := time.Since(began)
	time.Sleep(fault.until - time.Since(began)) // the fault's own length
	if !mended {
		mend()
		mended = true
	}
	f.settled()
	f.onePrimary()
	gap := load.gap(began, time.Minute)
	f.Logf("%s: %s leads instead of %s after %s, %s without writes", fault.name, f.leader(), before.Name, seconds(elected), seconds(gap))
	return gap
}

// takenOver waits until the primary that is lost has a successor. That is another member, or the same one in a new
// life: a StatefulSet gives a pod that was force-deleted a successor of its name at once, and the one that has all
// that was ever written may be back before the other one has found that the old primary no longer answers.
func (f *failovers) takenOver(lost *corev1.Pod, load *writers) {
	f.Helper()
	began := time.Now()
	var reborn time.Time // when it was first seen that the same member is the primary in a new life
	f.eventually(90*time.Second, "another member leads, or the same one in a new life", func() error {
		leader := f.leader()
		if leader != "" && leader != lost.Name || f.mayStay && load.last().After(began.Add(5*time.Second)) {
			return nil
		}
		now := &corev1.Pod{}
		if err := api.Get(f.ctx, client.ObjectKeyFromObject(lost), now); err != nil {
			return err
		}
		anew := now.UID != lost.UID || restarts(now) > restarts(lost)
		if leader == "" || !anew || !isPodReady(now) || now.Labels[naming.LabelRole] != "primary" {
			return fmt.Errorf("the leader is %q", leader)
		}
		if reborn.IsZero() {
			reborn = time.Now()
		}
		if !load.last().After(reborn) {
			return fmt.Errorf("%s leads again, and takes no writes", leader)
		}
		return nil
	})
}

// apart sees to it that the primary does not share its node with what the test needs meanwhile: this machine
// reaches Services by the first node, and the operator, of which there is one here, shall be there too. It returns
// the primary's pod.
func (f *failovers) apart(primary *corev1.Pod) *corev1.Pod {
	f.Helper()
	const first = "n1"
	if primary.Spec.NodeName == first {
		sync := &corev1.ConfigMap{}
		f.must(f.read(naming.DatabaseSync(f.app(f.name)), sync))
		secret := &corev1.Secret{}
		f.must(f.read(naming.DatabaseCredentials(f.app(f.name)), secret))
		user, password := components.PatroniLogin(secret)
		f.must((&patroni.Client{}).Switchover(f.ctx, patroni.Member{Host: primary.Status.PodIP, User: user, Password: password},
			primary.Name, sync.Annotations["sync_standby"]))
		f.eventually(time.Minute, "the primary is on another node than "+first, func() error {
			if f.leader() == primary.Name {
				return errNotYet
			}
			return nil
		})
		primary = f.settled()
	}
	operators, err := operatorPods(f.ctx)
	f.must(err)
	for i := range operators {
		if operators[i].Spec.NodeName == primary.Spec.NodeName {
			f.cordon(primary.Spec.NodeName, true)
			f.must(api.Delete(f.ctx, &operators[i]))
			f.eventually(2*time.Minute, "the operator is on another node", func() error {
				now, err := operatorPods(f.ctx)
				if err != nil || len(now) != 1 || !isPodReady(&now[0]) || now[0].Name == operators[i].Name {
					return fmt.Errorf("%d pods; %w", len(now), errors.Join(err, errNotYet))
				}
				return nil
			})
			f.cordon(primary.Spec.NodeName, false)
		}
	}
	return primary
}

// onePrimary sees that just one pod carries the label that clients are led by.
func (f *failovers) onePrimary() {
	f.Helper()
	labels := naming.Selector(f.app(f.name), naming.ComponentDatabase)
	labels[naming.LabelRole] = "primary"
	f.eventually(time.Minute, "one pod is labelled as the primary", func() error {
		if found := f.podsOf(labels); len(found) != 1 || found[0].Name != f.leader() {
			return fmt.Errorf("%d pods are; the leader is %s", len(found), f.leader())
		}
		return nil
	})
}

// Whatever happens to the primary, another member takes over by itself, within seconds, and no acknowledged
// commit is lost.
func TestFailover(t *testing.T) {
	w := newWorld(t)
	f := w.database("shop", 2, v1alpha1.DurabilityPreferred)
	load := f.measure("", faults)
	f.upgradeOperator(load)
	f.count("", load)
}

// The same faults, again and again, to a database as the operator keeps it and to one with the timing that Patroni
// has by default and an operator that is paused.
func TestBenchFailover(t *testing.T) {
	if os.Getenv("E2E_BENCH") == "" {
		t.Skip("a bench: make bench-failover")
	}
	t.Run("ours", func(t *testing.T) {
		f := newWorld(t).database("shop", 2, v1alpha1.DurabilityPreferred)
		load := f.measure("ours", faults)
		for range repeats() {
			f.upgradeOperator(load)
		}
		f.count("ours", load)
	})
	t.Run("full", func(t *testing.T) {
		f := newWorld(t).sized("256Mi")
		load := f.startWriters(f.databaseURI(f.name), 4)
		var gaps []time.Duration
		for i := range repeats() {
			took, gap := f.fillAndGrow(load, fmt.Sprintf("%dMi", 384+128*i))
			f.Logf("disk filled, and grown while it was full: all ready after %s, %s without writes", seconds(took), seconds(gap))
			gaps = append(gaps, gap)
		}
		slices.Sort(gaps)
		f.Logf("failover | ours | %s", row("disk filled and grown", seconds(gaps[len(gaps)/2]), seconds(gaps[len(gaps)-1]), load.failed()))
		f.count("ours", load)
	})
	t.Run("defaults", func(t *testing.T) {
		f := newWorld(t).database("shop", 2, v1alpha1.DurabilityPreferred)
		f.patroniDefaults()
		f.mayStay = true
		f.count("Patroni's defaults", f.measure("Patroni's defaults", slices.DeleteFunc(slices.Clone(faults), func(fault fault) bool {
			return fault.name == "planned switchover" // that goes through the operator
		})))
	})
}

// patroniDefaults gives the database the timing that Patroni has by default and pauses the operator.
func (f *failovers) patroniDefaults() {
	f.Helper()
	f.changeApp(f.name, func(app *v1alpha1.ScalableApp) { app.Spec.Paused = new(true) })
	f.eventually(time.Minute, "the operator knows that it is paused", func() error {
		if app := f.app(f.name); app.Status.ObservedGeneration != app.Generation {
			return errNotYet
		}
		return nil
	})
	change(f.world, naming.PatroniRecords(f.app(f.name))[0], &corev1.ConfigMap{}, func(record *corev1.ConfigMap) {
		var config map[string]any
		f.must(json.Unmarshal([]byte(record.Annotations["config"]), &config))
		maps.Copy(config, map[string]any{"ttl": 30, "loop_wait": 10, "retry_timeout": 10, "primary_start_timeout": 300, "failsafe_mode": false})
		raw, err := json.Marshal(config)
		f.must(err)
		record.Annotations["config"] = string(raw)
	})
	time.Sleep(15 * time.Second) // all members take it up with their next loop
}

// repeats is how often a fault is measured: once in a test, five times in a bench.
func repeats() int {
	if os.Getenv("E2E_BENCH") != "" {
		return 5
	}
	return 1
}

// measure hurts the database in all these ways and prints what it cost.
func (f *failovers) measure(who string, faults []fault) *writers {
	f.Helper()
	load := f.startWriters(f.databaseURI(f.name), 4)
	f.Logf("failover | %s | fault | seconds without writes: median | worst | transactions that failed", who)
	for _, fault := range faults {
		if only := os.Getenv("E2E_FAULT"); only != "" && !slices.Contains(strings.Split(only, "|"), fault.name) {
			continue
		}
		var gaps []time.Duration
		failed := load.failed()
		for range repeats() {
			gaps = append(gaps, f.outage(fault, load))
		}
		slices.Sort(gaps)
		f.Logf("failover | %s | %s", who, row(fault.name, seconds(gaps[len(gaps)/2]), seconds(gaps[len(gaps)-1]), load.failed()-failed))
	}
	return load
}

// count sees that no acknowledged commit is lost.
func (f *failovers) count(who string, load *writers) {
	f.Helper()
	acknowledged, lost := load.finish()
	f.Logf("failover | %s | %d commits were acknowledged, %d of them are lost", who, acknowledged, lost)
	if lost > 0 {
		f.Errorf("%d of %d acknowledged commits are lost", lost, acknowledged)
	}
}

// upgradeOperator replaces the operator by a new rollout of its Deployment. The database takes no notice.
func (f *failovers) upgradeOperator(load *writers) {
	f.Helper()
	f.settled()
	runs := func() map[string]int32 {
		found := map[string]int32{}
		for _, pod := range f.podsOf(naming.Selector(f.app(f.name), naming.ComponentDatabase)) {
			for _, c := range pod.Status.ContainerStatuses {
				found[string(pod.UID)+" "+c.Name] = c.RestartCount
			}
		}
		return found
	}
	before, leader, failed, began := runs(), f.leader(), load.failed(), time.Now()
	old, err := operatorPods(f.ctx)
	f.must(err)
	operator := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: operatorName, Namespace: operatorNamespace}}
	f.must(api.Patch(f.ctx, operator, client.RawPatch("application/merge-patch+json",
		fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"upgraded-at":%q}}}}}`, began.Format(time.RFC3339Nano)))))
	f.eventually(2*time.Minute, "a new operator has taken over", func() error {
		now, err := operatorPods(f.ctx)
		if err != nil || len(now) != 1 || !isPodReady(&now[0]) || now[0].Name == old[0].Name {
			return fmt.Errorf("%d pods; %w", len(now), errors.Join(err, errNotYet))
		}
		return nil
	})
	f.changeApp(f.name, func(app *v1alpha1.ScalableApp) { // it is at work
		app.Spec.App.Replicas = new(3 - *app.Spec.App.Replicas)
	})
	f.waitReady(f.name)
	if after := runs(); !maps.Equal(before, after) || f.leader() != leader {
		f.Errorf("the operator was upgraded: the members' containers and their restarts were %v under %s and are %v under %s", before, leader, after, f.leader())
	}
	f.Logf("failover | operator upgraded: %s without writes, %d transactions failed, 0 restarts", seconds(load.gap(began, time.Minute)), load.failed()-failed)
}
