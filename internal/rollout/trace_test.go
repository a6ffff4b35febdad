package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// The stories of rollouts, played to their end: each line is one pass, with what was seen, what was
// decided, and why. One tick takes 10 s; in it each revision gets the pods that it lacks and one of its
// pods becomes available. Read the golden files to learn what the operator does.
func TestTraces(t *testing.T) {
	for name, story := range map[string]func(*trace){
		"first_rollout": func(s *trace) {
			s.begin(3, 1, 0)
			s.play()
		},
		"bump": func(s *trace) {
			s.serve(3, 1, 0)
			s.release("v2")
			s.play()
		},
		"bump_with_max_unavailable": func(s *trace) {
			s.serve(4, 0, 2)
			s.release("v2")
			s.play()
		},
		"bad_image_and_fix": func(s *trace) {
			s.serve(3, 1, 0)
			s.release("v2!")
			s.play()
			s.release("v3")
			s.play()
		},
		"revert_midway": func(s *trace) {
			s.serve(3, 1, 0)
			s.release("v2")
			s.ticks(4)
			s.release("v1")
			s.play()
		},
		"bump_midway": func(s *trace) {
			s.serve(3, 1, 0)
			s.release("v2")
			s.ticks(4)
			s.release("v3")
			s.play()
		},
		"autoscaler_grows_midway": func(s *trace) {
			s.serve(3, 1, 0)
			s.release("v2")
			s.ticks(3)
			s.scale(6)
			s.play()
		},
		"pods_of_the_target_lost_midway": func(s *trace) {
			s.serve(3, 1, 0)
			s.release("v2")
			s.ticks(5)
			s.lose("v2", 2)
			s.play()
		},
		"broken_stable_is_fixed_by_a_bump": func(s *trace) {
			s.serve(3, 1, 0)
			s.breakDown("v1")
			s.ticks(2)
			s.release("v2")
			s.play()
		},
		"broken_stable_and_broken_candidate_are_fixed_by_a_bump": func(s *trace) {
			s.serve(3, 1, 0)
			s.breakDown("v1")
			s.release("v2!")
			s.ticks(3)
			s.release("v3")
			s.play()
		},
		"migration_fails_and_is_tried_again": migrationStory,
		"waits_for_the_data_tier":            dataTierStory,
		"scale_to_zero_and_back": func(s *trace) {
			s.serve(3, 1, 0)
			s.scale(0)
			s.play()
			s.scale(2)
			s.play()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &trace{T: t}
			story(s)
			testkit.Golden(t, name, s.text.String())
		})
	}
}

func migrationStory(s *trace) {
	s.serve(2, 1, 0)
	s.w.migration["v2"] = MigrationRunning
	s.release("v2")
	s.ticks(2)
	s.say("the migration fails for good")
	s.w.migration["v2"] = MigrationFailed
	s.play()
	s.say("somebody deletes the Job")
	s.w.migration["v2"] = MigrationRunning
	s.ticks(2)
	s.say("the migration succeeds")
	s.w.migration["v2"] = MigrationNone
	s.play()
}

func dataTierStory(s *trace) {
	s.begin(2, 1, 0)
	s.say("the database is not ready")
	s.w.obstacle = Obstacle{Reason: v1alpha1.ReasonWaitingForDataTier, Message: "v1 waits for the data tier"}
	s.ticks(2)
	s.say("the database is ready")
	s.w.obstacle = Obstacle{}
	s.play()
	s.say("the database goes away; what runs is left alone")
	s.w.obstacle = Obstacle{Reason: v1alpha1.ReasonWaitingForDataTier, Message: "v2 waits for the data tier"}
	s.play()
	s.release("v2")
	s.ticks(2)
	s.say("the database is back")
	s.w.obstacle = Obstacle{}
	s.play()
}

type trace struct {
	*testing.T
	w    *world
	text strings.Builder
	// start is the time of the first line, last the line before.
	start time.Time
	last  string
	mute  bool
}

func (s *trace) say(format string, args ...any) { fmt.Fprintf(&s.text, "# "+format+"\n", args...) }

func (s *trace) begin(desired, surge, unavailable int32) {
	s.w = newWorld(desired, surge, unavailable)
	s.start = s.w.now
	s.say("%d pods are wanted, with maxSurge %d and maxUnavailable %d", desired, surge, unavailable)
}

// serve begins with v1 rolled out.
func (s *trace) serve(desired, surge, unavailable int32) {
	s.begin(desired, surge, unavailable)
	s.mute = true
	s.play()
	s.mute, s.start = false, s.w.now
	s.say("v1 serves")
}

func (s *trace) release(revision string) {
	s.say("the user deploys %s", revision)
	s.w.target = revision
}

func (s *trace) scale(desired int32) {
	s.say("%d pods are wanted", desired)
	s.w.desired = desired
}

func (s *trace) lose(revision string, n int) {
	s.say("a node goes, and with it %d pods of %s", n, revision)
	for range n {
		s.w.lose(revision)
	}
}

func (s *trace) breakDown(revision string) {
	s.say("all pods of %s stop serving, for good", revision)
	set := s.w.sets[revision]
	set.broken, set.starting, set.available = true, set.starting+set.available, 0
}

// play goes on until nothing changes any more and nothing is to be waited for.
func (s *trace) play() {
	s.Helper()
	for range 200 {
		before := s.picture() + s.w.status.Stage
		wake := s.tick()
		if before == s.picture()+s.w.status.Stage && wake == 0 && s.w.status.Traffic.SettledTime != nil {
			return
		}
	}
	s.Fatalf("no rest:\n%s", s.text.String())
}

func (s *trace) ticks(n int) {
	for range n {
		s.tick()
	}
}

func (s *trace) tick() (wake time.Duration) {
	w := s.w
	d := Next(w.input())
	line := strings.TrimRight(fmt.Sprintf("%-22s -> %-22s %s%s %s: %s",
		s.picture(), sizesOf(d), trafficOf(d.Status.Traffic), d.Status.Stage, d.Reason, d.Status.Message), ": ")
	if d.Stalled {
		line += " [stalled]"
	}
	if line != s.last && !s.mute {
		fmt.Fprintf(&s.text, "%4.0fs  %s\n", w.now.Sub(s.start).Seconds(), line)
		s.last = line
	}
	w.act(d, w.versions())
	if d.Wake == again {
		return d.Wake
	}
	w.takeUp()
	for _, name := range w.names() {
		w.start(name)
		w.replicate(name)
	}
	w.collect()
	w.now = w.now.Add(10 * time.Second)
	return d.Wake
}

// picture is the pods of each revision as SERVING/ASKED, oldest first.
func (s *trace) picture() string {
	names := s.w.names()
	slices.Reverse(names)
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s %d/%d", name, s.w.sets[name].available, s.w.sets[name].replicas))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// trafficOf is where traffic is led, with "…" until proxies follow; nothing while it goes to all pods.
func trafficOf(t *v1alpha1.TrafficStatus) string {
	if t.Service == "" && len(t.Backends) == 0 && t.SettledTime != nil {
		return ""
	}
	text := "[all"
	if t.Service != "" || len(t.Backends) > 0 {
		var parts []string
		for _, b := range t.Backends {
			if b.Weight > 0 {
				parts = append(parts, fmt.Sprintf("%s %d%%", b.Revision, b.Weight))
			}
		}
		text = "[" + strings.Join(parts, " ")
		if t.Service == "" {
			text += " by pods"
		}
	}
	if t.SettledTime == nil {
		text += " …"
	}
	return fmt.Sprintf("%-14s ", text+"]")
}

func sizesOf(d Decision) string {
	var parts []string
	for _, size := range d.Sizes {
		parts = append(parts, fmt.Sprintf("%s %d", size.Revision, size.Replicas))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
