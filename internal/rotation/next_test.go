package rotation

import (
	"strings"
	"testing"
	"time"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// base is the snapshot of an app whose password was never rotated and is asked for.
func base(change func(*Snapshot)) Snapshot {
	s := Snapshot{Now: now, Name: App, Kind: Pods, Wanted: "t1"}
	change(&s)
	return s
}

func TestNext(t *testing.T) {
	at := func(step string, change func(*Record)) func(*Snapshot) {
		return func(s *Snapshot) {
			s.Record = Record{Token: "t1", Step: step, Since: now.Add(-time.Minute), Second: step != StepPrepare}
			if change != nil {
				change(&s.Record)
			}
		}
	}
	bound := func(ago time.Duration) func(*Record) {
		return func(r *Record) { r.Bound = now.Add(-ago) }
	}
	both := func(changes ...func(*Snapshot)) func(*Snapshot) {
		return func(s *Snapshot) {
			for _, change := range changes {
				change(s)
			}
		}
	}
	members := func(s *Snapshot) { s.Kind, s.Name = Members, Replication }
	for _, test := range []struct {
		name   string
		seen   func(*Snapshot)
		phase  string
		to     string // the step that is written, "done", "bound", or "" for nothing
		second bool
		words  string
	}{
		{"nobody asked", func(s *Snapshot) { s.Wanted = "" }, "", "", false, ""},
		{"it begins with the idle one", func(*Snapshot) {}, PhaseRequested, StepPrepare, false, "begins"},
		{"not while the database is not well", func(s *Snapshot) { s.Hold = "no leader" }, PhaseRequested, "", false, "no leader"},
		{"not while a rollout is under way", func(s *Snapshot) { s.Rollout = "a rollout" }, PhaseRequested, "", false, "a rollout"},
		{"members do not care for rollouts", both(members, func(s *Snapshot) { s.Rollout = "a rollout" }), PhaseRequested, StepPrepare, false, ""},
		{"once for each token", func(s *Snapshot) { s.Record = Record{Token: "t1", Rotated: now} }, PhaseDone, "", false, ""},
		{"another token is another rotation", func(s *Snapshot) { s.Record = Record{Token: "t0", Second: true} },
			PhaseRequested, StepPrepare, true, ""},
		{"prepared, but not on all", both(at(StepPrepare, nil), func(s *Snapshot) { s.Unprepared = "db-1 does not know it" }),
			PhasePreparing, "", false, "db-1"},
		{"prepared", at(StepPrepare, nil), PhasePreparing, StepSwitch, true, "everywhere"},
		{"and back to the first", both(at(StepPrepare, nil), func(s *Snapshot) { s.Record.Second = true }), PhasePreparing, StepSwitch, false, ""},
		{"a password of its own is done", both(at(StepPrepare, nil), func(s *Snapshot) { s.Kind = InPlace }), PhasePreparing, "done", false, ""},
		{"the binding is not written yet", at(StepSwitch, nil), PhaseSwitching, "", false, "binding"},
		{"the binding is written", both(at(StepSwitch, nil), func(s *Snapshot) { s.Bound = true }), PhaseSwitching, "bound", true, ""},
		{"nodes may not know it yet", both(at(StepSwitch, bound(Margin-time.Second)), func(s *Snapshot) { s.Bound = true }),
			PhaseSwitching, "", false, "node"},
		{"no rollout into another", both(at(StepSwitch, bound(Margin)), func(s *Snapshot) { s.Bound, s.Rollout = true, "a rollout" }),
			PhaseSwitching, "", false, "a rollout"},
		{"the app takes it up", both(at(StepSwitch, bound(Margin)), func(s *Snapshot) { s.Bound = true }), PhaseSwitching, StepRoll, true, ""},
		{"old pods", both(at(StepRoll, bound(time.Minute)), func(s *Snapshot) { s.OldPods = []string{"a", "b", "c", "d", "e"} }),
			PhaseRollingOut, "", false, "a, b, c and 2 more"},
		{"no old pods", at(StepRoll, bound(time.Minute)), PhaseRollingOut, StepRetire, true, ""},
		{"the old one is not ended while the database is not well", both(at(StepRoll, nil), func(s *Snapshot) { s.Hold = "away" }),
			PhaseRollingOut, "", false, "away"},
		{"still let in", both(at(StepRetire, nil), func(s *Snapshot) { s.Unretired = "db-0 lets it in" }), PhaseRetiring, "", false, "db-0"},
		{"let in nowhere", at(StepRetire, nil), PhaseRetiring, "done", true, ""},
		{"a member streams as the old one", both(at(StepSwitch, nil), members, func(s *Snapshot) { s.Unswitched = "db-1 does not stream" }),
			PhaseSwitching, "", false, "db-1"},
		{"all members have changed over", both(at(StepSwitch, nil), members), PhaseSwitching, StepRetire, true, ""},
		{"the next request waits", both(at(StepRoll, nil), func(s *Snapshot) { s.Wanted, s.OldPods = "t2", []string{"a"} }),
			PhaseRollingOut, "", false, "t2 comes next"},
		{"a request that was taken back goes on to its end", both(at(StepRoll, nil), func(s *Snapshot) { s.Wanted = "" }),
			PhaseRollingOut, StepRetire, true, ""},
		{"a step of tomorrow", at("Dance", nil), "Dance", "", false, "newer operator"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := base(test.seen)
			d := Next(s)
			to, second := "", false
			if d.Write != nil {
				to, second = d.Write.Step, d.Write.Second
				switch to {
				case "":
					to = "done"
				case s.Record.Step:
					to = "bound"
				}
			}
			if d.Phase != test.phase || to != test.to || second != test.second || !strings.Contains(d.Message, test.words) {
				t.Errorf("phase %q to %q (second %v): %q\nwant  %q to %q (second %v) with %q",
					d.Phase, to, second, d.Message, test.phase, test.to, test.second, test.words)
			}
		})
	}
}

// Every step is written with the token, and the revision takes it up with the step Roll and not before.
func TestCourse(t *testing.T) {
	s := base(func(s *Snapshot) { s.Record = Record{Token: "t0", Taken: "t0", Second: true}; s.Bound = true })
	file := File{Credentials: map[string]Record{App: s.Record}}
	var course []string
	for range 10 {
		d := Next(s)
		if d.Write == nil {
			s.Now = s.Now.Add(time.Second)
			if d.Phase == PhaseDone {
				break
			}
			s.Now = s.Now.Add(d.Wake)
			continue
		}
		file = file.With(App, *d.Write)
		s.Record = *d.Write
		course = append(course, s.Record.Step+" "+s.Record.Taken)
		if rotating := s.Record.Step != ""; file.Rotating != rotating {
			t.Errorf("at %q rotating is %v", s.Record.Step, file.Rotating)
		}
	}
	want := "Prepare t0,Switch t0,Switch t0,Roll t1,Retire t1, t1"
	if got := strings.Join(course, ","); got != want || s.Record.Second || file.Generation != 3 || s.Record.Rotated.IsZero() {
		t.Errorf("%s, second %v, generation %d; want %s, the first in use, 3 generations", got, s.Record.Second, file.Generation, want)
	}
}

func TestAllTakenUpTogether(t *testing.T) {
	ready := Record{Token: "t1", Step: StepSwitch, Since: now, Bound: now.Add(-Margin)}
	app := Snapshot{Now: now, Name: App, Kind: Pods, Record: ready, Bound: true, Wanted: "t1"}
	sessions := Snapshot{Now: now, Name: Sessions, Kind: Pods, Wanted: "t1", Record: Record{Token: "t1", Step: StepPrepare}, Unprepared: "not yet"}
	replication := Snapshot{Now: now, Name: Replication, Kind: Members, Wanted: "t1", Record: Record{Token: "t1", Step: StepSwitch}}

	all := All([]Snapshot{app, replication, sessions})
	if all[0].Write != nil || !strings.Contains(all[0].Message, "sessions") {
		t.Errorf("the app is taken up before the sessions: %+v", all[0])
	}
	if all[1].Write == nil {
		t.Errorf("the members wait for the app: %+v", all[1])
	}
	sessions.Record, sessions.Bound = ready, true
	for _, d := range All([]Snapshot{app, sessions}) {
		if d.Write == nil || d.Write.Step != StepRoll {
			t.Errorf("not taken up: %+v", d)
		}
	}
	sessions.Record = Record{Token: "t0"}
	sessions.Wanted, sessions.Hold = "", "gone"
	if d := All([]Snapshot{app, sessions})[0]; d.Write == nil {
		t.Errorf("waits for what nobody asked for: %+v", d)
	}
}

// Pods are held against the API server's clock, which may be another than the operator's.
func TestCutoff(t *testing.T) {
	behind := now.Add(-time.Hour)
	s := base(func(s *Snapshot) { s.Record = Record{Token: "t1", Step: StepSwitch}; s.Bound, s.Written = true, behind })
	d := Next(s)
	if d.Write == nil || !d.Write.Bound.Equal(now) || !d.Write.Cutoff().Equal(behind.Add(Margin)) {
		t.Fatalf("%+v", d.Write)
	}
	s.Record = *d.Write
	if d = Next(s); d.Write != nil || d.Wake != Margin {
		t.Errorf("it does not wait by its own clock: %+v", d)
	}
	if r := (Record{Bound: now}); !r.Cutoff().Equal(now.Add(Margin)) {
		t.Errorf("without the API server's word %s", r.Cutoff())
	}
}

func TestSlow(t *testing.T) {
	s := base(func(s *Snapshot) {
		s.Record = Record{Token: "t1", Step: StepRoll, Since: now.Add(-Patience - time.Second)}
		s.OldPods = []string{"shop-1"}
	})
	if !Next(s).Slow {
		t.Error("a step that does not come on is not slow")
	}
}

func TestParseRequest(t *testing.T) {
	for text, want := range map[string]string{
		"app:2026-11":              "app @ 2026-11",
		"app,replication, cache:x": "app replication cache @ x",
		"app,app:x":                "app @ x",
	} {
		r, err := ParseRequest(text)
		if got := strings.Join(r.Names, " ") + " @ " + r.Token; err != nil || got != want {
			t.Errorf("%s is %s (%v), not %s", text, got, err, want)
		}
	}
	long := "app:" + strings.Repeat("x", 64)
	for _, text := range []string{"", "app", "app:", ":x", "database:x", "app,,cache:x", long, "app:a b", `app:"`} {
		if _, err := ParseRequest(text); err == nil || !strings.Contains(err.Error(), "write NAME") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestImpossible(t *testing.T) {
	app := &v1alpha1.ScalableApp{}
	app.Name = "shop"
	app.Spec.Database = &v1alpha1.DatabaseSpec{External: &v1alpha1.ExternalDatabaseSpec{SecretName: "legacy"}}
	if err := Impossible(app, App); err == nil || !strings.Contains(err.Error(), "external") {
		t.Errorf("external: %v", err)
	}
	if err := Impossible(app, Cache); err == nil || !strings.Contains(err.Error(), "spec.cache") {
		t.Errorf("none: %v", err)
	}
	app.Spec.Database = &v1alpha1.DatabaseSpec{Postgres: &v1alpha1.PostgresSpec{}}
	for _, name := range []string{App, Replication, Superuser} {
		if err := Impossible(app, name); err != nil {
			t.Error(err)
		}
	}
}

func TestFileIsReadAsWritten(t *testing.T) {
	f := File{}.With(App, Record{Token: "t1", Step: StepPrepare, Since: now})
	got, err := Read(f.Bytes())
	if err != nil || got.Generation != 1 || !got.Rotating || got.Credentials[App] != f.Credentials[App] {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Read([]byte("{")); err == nil {
		t.Error("a broken file is read")
	}
}

// Pods tell in whole seconds when they were made: one of the new revision, which is made as soon as it may be, must
// not look older than that.
func TestCutoffIsAWholeSecond(t *testing.T) {
	for _, bound := range []time.Time{now, now.Add(time.Nanosecond), now.Add(300 * time.Millisecond)} {
		cutoff := Record{Bound: bound}.Cutoff()
		may := bound.Add(Margin)
		if made := may.Truncate(time.Second); made.Before(cutoff) || may.Sub(cutoff) >= time.Second {
			t.Errorf("bound at %s: %s", bound, cutoff)
		}
	}
}
