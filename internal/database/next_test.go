package database

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// healthy is a database of three members, of which db-0 is the primary and db-1 is in step.
func healthy() Snapshot {
	replica := MemberState{Role: "replica", State: "running", Replication: "streaming", Timeline: 3, Location: 1000}
	primary := MemberState{Role: "primary", State: "running", Timeline: 3, Location: 1000}
	size := resource.MustParse("1Gi")
	return Snapshot{
		Now: now, Instances: 3, Synchronous: true, Initialized: true,
		Leader: LeaderRecord{Name: "db-0", Renewed: "r1"}, InStep: []string{"db-1"},
		Members: []Member{
			{Name: "db-0", UID: "u0", Labelled: true, Ready: true, State: primary},
			{Name: "db-1", UID: "u1", Ready: true, State: replica},
			{Name: "db-2", UID: "u2", Ready: true, State: replica},
		},
		Volumes: []Volume{{Name: "data-db-0", Requested: size, Wanted: size, Capacity: size}},
		Set:     &Set{UID: "set", ResourceVersion: "7", Replicas: 3, VolumeSize: size},
	}
}

func outdated(s *Snapshot, members ...int) {
	for _, i := range members {
		s.Members[i].Outdated = "the image is b now, not a"
	}
}

func pending(s *Snapshot, shrinks bool, members ...int) {
	for _, i := range members {
		s.Members[i].State.PendingRestart, s.Members[i].State.Shrinks = true, shrinks
	}
}

func TestNext(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Snapshot)
		// want are the actions, the urgent ones first; reason is a part of the reason.
		state  string
		want   []string
		reason string
	}{
		{"all is well", func(*Snapshot) {}, StateSettled, nil, ""},
		{"the first start", func(s *Snapshot) { s.Initialized, s.Leader.Name, s.Members = false, "", s.Members[:1] },
			StateStarting, nil, "for the first time"},

		{"a member that is none keeps the label of the primary", func(s *Snapshot) { s.Members[2].Labelled = true },
			StateSettled, []string{"take the label of the primary off db-2: db-0 is the leader"}, ""},
		{"nobody leads: no label is touched", func(s *Snapshot) { s.Leader.Name = "" }, StateNoLeader, nil, "Patroni elects"},

		{"the leader's pod is gone", func(s *Snapshot) { s.Members = s.Members[1:] },
			StateNoLeader, []string{"take the leadership from db-0: its pod is gone"}, "Patroni elects"},
		{"the leader's pod is gone, and commits are asynchronous: nobody knows whether it still writes",
			func(s *Snapshot) { s.Members, s.Synchronous, s.InStep = s.Members[1:], false, nil }, StateNoLeader, nil, "Patroni elects"},
		{"the leader's pod is gone, and no standby is in step", func(s *Snapshot) { s.Members, s.InStep = s.Members[1:], nil },
			StateNoLeader, nil, "no standby was in step with db-0"},
		{"the leader has ended in order, and no standby is in step", func(s *Snapshot) {
			s.Members, s.InStep, s.Leader.Name, s.LastPrimary = s.Members[1:], nil, "", "db-0"
		}, StateNoLeader, nil, "no standby was in step with db-0"},
		{"the leader's pod is gone, and the standby in step is too", func(s *Snapshot) { s.Members = s.Members[2:] },
			StateNoLeader, nil, "only db-1 or db-0 holds every acknowledged commit"},
		{"the leader's container has ended", func(s *Snapshot) {
			s.Members[0].Ready, s.Members[0].Ended = false, now.Add(-2*time.Second)
		}, StateNoLeader, []string{"take the leadership from db-0: the kubelet saw its container end"}, "Patroni elects"},
		{"the leader's container has just ended", func(s *Snapshot) {
			s.Members[0].Ready, s.Members[0].Ended = false, now.Add(-300*time.Millisecond)
		}, StateNoLeader, nil, "Patroni elects"},
		{"the leader's container has ended, by a clock that is ahead", func(s *Snapshot) {
			s.Members[0].Ready, s.Members[0].Ended = false, now.Add(time.Hour)
		}, StateNoLeader, []string{"take the leadership from db-0: the kubelet saw its container end"}, "Patroni elects"},
		{"the leader is silent for long: it is asked, and its leadership taken", func(s *Snapshot) { s.Leader.Seen = now.Add(-12 * time.Second) },
			StateSettled, []string{"take the leadership from db-0: it has not renewed its record for 11s and does not answer"}, ""},
		{"the leader is silent for long, and commits are asynchronous", func(s *Snapshot) {
			s.Leader.Seen, s.Synchronous = now.Add(-12*time.Second), false
		}, StateSettled, nil, ""},
		{"the leader is a little late", func(s *Snapshot) { s.Leader.Seen = now.Add(-6 * time.Second) }, StateSettled, nil, ""},
		{"the leader is silent: only its record tells", func(s *Snapshot) { s.Members[0].Ready = false },
			StateNoLeader, nil, "Patroni elects"},

		{"the leader's volume hangs: its pod is asked to end", func(s *Snapshot) { s.Members[0].VolumeStuck = now.Add(-time.Minute) },
			StateDegraded, []string{"delete pod db-0: its volume does not answer, and a standby in step can take over"}, "so commits hang"},
		{"the leader's volume hangs, and its pod was just asked to end: Patroni may renew once more", func(s *Snapshot) {
			s.Members[0].VolumeStuck, s.Members[0].Deleting, s.Members[0].Ready = now.Add(-time.Minute), true, false
			s.Leader.Seen = now.Add(-6 * time.Second)
		}, StateNoLeader, nil, "db-0 is being restarted"},
		{"the leader's volume hangs, and nobody renews any more: its leadership is taken", func(s *Snapshot) {
			s.Members[0].VolumeStuck, s.Members[0].Deleting, s.Members[0].Ready = now.Add(-time.Minute), true, false
			s.Leader.Seen = now.Add(-7 * time.Second)
		}, StateNoLeader, []string{"take the leadership from db-0: its volume does not answer, and a standby in step can take over"}, ""},
		{"the leader's volume hangs, and that of the standby in step too: nothing can be done", func(s *Snapshot) {
			s.Members[0].VolumeStuck, s.Members[1].VolumeStuck = now.Add(-time.Minute), now.Add(-time.Minute)
		}, StateDegraded, nil, "no standby is in step"},
		{"the leader's volume hangs, and commits are asynchronous", func(s *Snapshot) {
			s.Members[0].VolumeStuck, s.Synchronous = now.Add(-time.Minute), false
		}, StateDegraded, nil, "nobody takes over by itself with durability Asynchronous"},
		{"a replica's volume hangs: nothing is changed, and nothing is due", func(s *Snapshot) {
			outdated(s, 0)
			s.Members[2].VolumeStuck = now.Add(-time.Minute)
		}, StateDegraded, nil, "the volume of db-2 has not answered since"},
		{"a replica cannot start from its volume", func(s *Snapshot) {
			s.Members[2].Ready, s.Members[2].State = false, MemberState{Role: "replica", State: "start failed"}
		}, StateDegraded, nil, "db-2 does not follow the primary (it is not ready)"},

		{"new image: first the replica that is not in step", func(s *Snapshot) { outdated(s, 0, 1, 2) },
			StateChanging, []string{"delete pod db-2: the image is b now, not a"}, "db-2 is restarted"},
		{"new image: then the standby", func(s *Snapshot) { outdated(s, 0, 1) },
			StateChanging, []string{"delete pod db-1: the image is b now, not a"}, ""},
		{"new image: then the switchover, to the standby in step", func(s *Snapshot) { outdated(s, 0) },
			StateChanging, []string{"switch over from db-0 to db-1: db-0 has to restart: the image is b now, not a"}, ""},
		{"new image: after it the old primary is a replica", func(s *Snapshot) {
			outdated(s, 0)
			s.Leader.Name, s.InStep = "db-1", []string{"db-2"}
			s.Members[0].State, s.Members[1].State = s.Members[1].State, s.Members[0].State
			s.Members[0].Labelled, s.Members[1].Labelled = false, true
		}, StateChanging, []string{"delete pod db-0: the image is b now, not a"}, ""},
		{"new image: one at a time", func(s *Snapshot) {
			outdated(s, 0, 1)
			s.Members[2].Deleting, s.Members[2].Ready = true, false
		}, StateDegraded, nil, "db-2 is being restarted"},
		{"new image: not before all follow again", func(s *Snapshot) {
			outdated(s, 0, 1)
			s.Members[2].State.Replication = "in archive recovery"
		}, StateDegraded, nil, "db-2 does not follow"},
		{"new image that does not start: the rest stays as it is", func(s *Snapshot) {
			outdated(s, 0, 1)
			s.Members[2].Ready = false
		}, StateDegraded, nil, "db-2 does not follow the primary (it is not ready)"},
		{"the next image may be what mends it", func(s *Snapshot) {
			outdated(s, 0, 1, 2)
			s.Members[2].Ready = false
		}, StateDegraded, []string{"delete pod db-2: the image is b now, not a"}, ""},
		{"no standby in step: no switchover", func(s *Snapshot) {
			outdated(s, 0)
			s.InStep = nil
		}, StateChanging, nil, "no standby is in step"},
		{"a single member is simply restarted", func(s *Snapshot) {
			s.Instances, s.Members, s.InStep, s.Set.Replicas = 1, s.Members[:1], nil, 1
			outdated(s, 0)
		}, StateChanging, []string{"delete pod db-0: the image is b now, not a"}, ""},
		{"a single member that is away, and whose StatefulSet has no new template", func(s *Snapshot) {
			s.Instances, s.Members, s.InStep, s.Set.Replicas = 1, s.Members[:1], nil, 1
			outdated(s, 0)
			s.Members[0].Ready, s.Set.Behind = false, true
		}, StateNoLeader, nil, "db-0 is to be restarted: the image is b now, not a; its StatefulSet has not taken it up yet"},
		{"the primary is due, and its StatefulSet has no new template: no switchover either", func(s *Snapshot) {
			outdated(s, 0)
			s.Set.Behind = true
		}, StateChanging, nil, "its StatefulSet has not taken it up yet"},
		{"resources, and the StatefulSet has no new template: nothing is resized", func(s *Snapshot) {
			s.Members[2].Resize, s.Set.Behind = "more", true
		}, StateChanging, nil, "db-2 is to be resized: more; its StatefulSet has not taken it up yet"},
		{"a cutover shifts traffic: nothing begins", func(s *Snapshot) {
			outdated(s, 0, 1, 2)
			s.Hold = "a rollout shifts traffic"
		}, StateChanging, nil, "a rollout shifts traffic"},

		{"settings that wait: replicas first", func(s *Snapshot) { pending(s, false, 0, 1, 2) },
			StateChanging, []string{"restart PostgreSQL in db-2: changed settings wait for a restart"}, ""},
		{"settings that wait: the primary last", func(s *Snapshot) { pending(s, false, 0) }, StateChanging,
			[]string{"switch over from db-0 to db-1: db-0 has to restart: changed settings wait for a restart"}, ""},
		{"a setting that gets smaller: the primary first, in place", func(s *Snapshot) { pending(s, true, 0, 1, 2) }, StateChanging,
			[]string{"restart PostgreSQL in db-0: changed settings wait for a restart; a setting that gets smaller has to do so on the primary first"}, ""},
		{"then the replicas", func(s *Snapshot) { pending(s, true, 1, 2) }, StateChanging,
			[]string{"restart PostgreSQL in db-2: changed settings wait for a restart"}, ""},

		{"resources: in place, replicas first", func(s *Snapshot) { s.Members[0].Resize, s.Members[2].Resize = "more", "more" },
			StateChanging, []string{"resize pod db-2"}, "without a restart"},
		{"resources: the node is at it", func(s *Snapshot) { s.Members[2].Resizing = true }, StateSettled, nil, "the node resizes db-2"},
		{"resources: the node cannot: a new pod", func(s *Snapshot) { s.Members[2].ResizeRefused = "node has 2 CPUs" },
			StateChanging, []string{"delete pod db-2: the node cannot resize it in place: node has 2 CPUs"}, ""},

		{"a volume grows first, and nobody need run", func(s *Snapshot) {
			s.Volumes[0].Wanted = resource.MustParse("2Gi")
			s.Members, s.Hold = nil, "a rollout shifts traffic"
			outdated(s)
		}, StateNoLeader, []string{"grow data-db-0 to 2Gi"}, "grows from 1Gi to 2Gi"},
		{"then the StatefulSet is made anew", func(s *Snapshot) {
			s.Volumes[0].Wanted, s.Volumes[0].Requested = resource.MustParse("2Gi"), resource.MustParse("2Gi")
			s.Set.VolumeSize = resource.MustParse("1Gi")
		}, StateSettled, []string{"delete StatefulSet  and leave its pods"}, "made anew"},

		{"a volume that cannot grow is not touched, and the rest goes on", func(s *Snapshot) {
			s.Volumes[0].Wanted, s.Volumes[0].Fixed = resource.MustParse("2Gi"), "its class does not let it"
		}, StateSettled, nil, "data-db-0 cannot grow from 1Gi to 2Gi: its class does not let it"},

		{"fewer members, the primary stays", func(s *Snapshot) { s.Instances = 2 }, StateChanging, nil, ""},
		{"fewer members, the primary is among those that go", func(s *Snapshot) { s.Instances = 2; lead(s, 2) },
			StateChanging, []string{"switch over from db-2 to db-1: db-2 is among the members that go"}, ""},

		{"maintenance mode: nothing begins, and no leadership is taken", func(s *Snapshot) {
			outdated(s, 1)
			s.Members[0].Ready, s.Members[0].Ended = true, now.Add(-time.Minute)
			s.Members[1].State.Paused = true
		}, StateChanging, nil, "maintenance mode"},

		{"a person wants a switchover", func(s *Snapshot) { s.Word = Word{Token: "t", Switchover: true, From: "db-0"} },
			StateSettled, []string{"switch over from db-0 to db-1: a person asked for it"}, ""},
		{"a person wants another one than the standby in step", func(s *Snapshot) {
			s.Word = Word{Token: "t", Switchover: true, From: "db-0", To: "db-2"}
		}, StateSettled, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := healthy()
			test.edit(&s)
			d := Next(s)
			var got []string
			for _, a := range d.Urgent {
				got = append(got, a.String())
			}
			if d.Action != nil {
				got = append(got, d.Action.String())
			}
			if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
				t.Errorf("actions:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			if d.State != test.state {
				t.Errorf("the state is %s, want %s", d.State, test.state)
			}
			if !strings.Contains(d.Reason, test.reason) {
				t.Errorf("the reason is %q, want %q in it", d.Reason, test.reason)
			}
			if (d.Action != nil) != (d.Kind != "" && d.Action != nil) {
				t.Errorf("an action without a kind: %+v", d)
			}
		})
	}
}

// lead makes a member the primary.
func lead(s *Snapshot, i int) {
	s.Leader.Name, s.InStep = s.Members[i].Name, []string{"db-1"}
	s.Members[0].State, s.Members[i].State = s.Members[i].State, s.Members[0].State
	s.Members[0].Labelled, s.Members[i].Labelled = false, true
}

func TestMembersAreKeptUntilThePrimaryIsNotAmongThoseThatGo(t *testing.T) {
	s := healthy()
	s.Instances = 2
	if d := Next(s); d.Keep != 2 {
		t.Errorf("the set keeps %d members, want 2", d.Keep)
	}
	lead(&s, 2)
	if d := Next(s); d.Keep != 3 {
		t.Errorf("the set keeps %d members while db-2 leads, want 3", d.Keep)
	}
	s.Members[2].Ready = false
	if d := Next(s); d.Keep != 3 {
		t.Errorf("the set keeps %d members while nobody takes writes, want 3", d.Keep)
	}
}

func TestTheOldTemplateOfVolumesIsKeptUntilTheSetIsMadeAnew(t *testing.T) {
	s := healthy()
	s.Volumes[0].Wanted = resource.MustParse("2Gi")
	if d := Next(s); !d.KeepVolumeSize {
		t.Error("the StatefulSet is given a new template of volumes, which the API server refuses")
	}
	s.Set = nil
	s.Volumes[0].Requested = resource.MustParse("2Gi")
	if d := Next(s); d.KeepVolumeSize || d.Action != nil {
		t.Errorf("without a StatefulSet: %+v", d)
	}
}

func TestWhatFailsIsTriedOnceMore(t *testing.T) {
	s := healthy()
	outdated(&s, 0)
	first := Next(s)
	s.FailedAction, s.Failed, s.FailedTime = first.Action.String(), 1, now.Add(-5*time.Second)
	if d := Next(s); d.Action != nil || d.Wake != 10*time.Second || d.Lasting {
		t.Errorf("5 s after the first failure: %+v", d)
	}
	s.FailedTime = now.Add(-20 * time.Second)
	if d := Next(s); d.Action == nil {
		t.Errorf("20 s after the first failure: %+v", d)
	}
	s.Failed = 2
	if d := Next(s); d.Action != nil || !d.Lasting {
		t.Errorf("after the second failure: %+v", d)
	}
	s.Members[1].Outdated = "the image is c now" // another action is due
	if d := Next(s); d.Action == nil || d.Lasting {
		t.Errorf("another action: %+v", d)
	}
}

func TestWordsThatCannotBe(t *testing.T) {
	for to, want := range map[string]string{"db-2": "in step", "db-7": "no member db-7", "": ""} {
		s := healthy()
		s.Word = Word{Token: "t", Switchover: true, From: "db-0", To: to}
		d := Next(s)
		if refused := d.Handled && strings.Contains(d.Refused, want); refused != (want != "") {
			t.Errorf("to %q: handled %t, refused %q", to, d.Handled, d.Refused)
		}
	}
	unread := healthy()
	unread.Word = Word{Token: "swichover:db-0"}
	if d := Next(unread); !d.Handled || !strings.Contains(d.Refused, "not understood") || d.Action != nil {
		t.Errorf("a word that is not understood: %+v", d)
	}
	s := healthy()
	s.Word = Word{Token: "t", Switchover: true, From: "db-2"}
	if d := Next(s); !d.Handled || d.Refused != "" || d.Action != nil {
		t.Errorf("a word whose end has come: %+v", d)
	}
}
