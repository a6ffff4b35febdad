package rollout

import (
	"fmt"
	"testing"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// cutover begins with v1 rolled out under a strategy, in a mode.
func (s *trace) cutover(strategy v1alpha1.RolloutStrategy, gateway bool, desired int32) {
	s.w = newWorld(desired, 1, 0)
	s.w.spec.Strategy, s.w.gateway = strategy, gateway
	s.start = s.w.now
	mode := "without a gateway"
	if gateway {
		mode = "with a gateway"
	}
	s.say("%d pods are wanted; %s, %s", desired, strategy, mode)
	s.mute = true
	s.play()
	s.mute, s.start = false, s.w.now
	s.say("v1 serves")
}

func (s *trace) steps(steps ...v1alpha1.CanaryStep) { s.w.spec.Canary.Steps = steps }

func (s *trace) gate(name string, when v1alpha1.GateTime) {
	s.w.spec.Gates = append(s.w.spec.Gates, v1alpha1.GateSpec{Name: name, When: when})
}

func (s *trace) verdict(revision, gate, verdict string) {
	s.say("gate %s says %s of %s", gate, verdict, revision)
	s.w.verdicts[revision+"/"+gate] = verdict
}

// tell is a person's word about the candidate.
func (s *trace) tell(verb string) {
	s.say("a person says %s", verb)
	s.w.word = fmt.Sprintf("%s:%s:%d:%d", verb, s.w.target, s.w.status.Attempt, s.w.status.Step)
}

func (s *trace) unsafe() {
	s.say("the migration of the candidate is not rollbackSafe")
	s.w.unsafe = true
}

// until goes on until the rollout is in a stage, or as far as it goes.
func (s *trace) until(stage string) {
	s.Helper()
	for range 60 {
		if s.tick(); s.w.status.Stage == stage {
			return
		}
	}
	s.Fatalf("never %s:\n%s", stage, s.text.String())
}

// untilStep goes on until the candidate has the traffic of a step, counted from 1, and its gates are asked.
func (s *trace) untilStep(step int32) {
	s.Helper()
	for range 60 {
		if s.tick(); s.w.status.Step == step && s.w.status.StepStartedTime != nil {
			return
		}
	}
	s.Fatalf("never at step %d:\n%s", step, s.text.String())
}

// half is a canary of one step with a pause, and a gate on each side of the first traffic.
func half(s *trace, gateway bool) {
	s.cutover(v1alpha1.RolloutCanary, gateway, 4)
	s.steps(v1alpha1.CanaryStep{Weight: 25, PauseSeconds: new(int32(30))})
	s.gate("smoke", v1alpha1.GateBeforeTraffic)
	s.gate("errors", v1alpha1.GateWithTraffic)
}

func green(s *trace, gateway bool) {
	s.cutover(v1alpha1.RolloutBlueGreen, gateway, 3)
	s.gate("smoke", v1alpha1.GateBeforeTraffic)
	s.gate("errors", v1alpha1.GateWithTraffic)
}

func rolled(s *trace, gateway bool) {
	s.cutover(v1alpha1.RolloutRolling, gateway, 3)
	s.gate("smoke", v1alpha1.GateBeforeTraffic)
	s.gate("errors", v1alpha1.GateWithTraffic)
}

// Each story, told for each strategy in both modes of traffic.
func TestCutoverTraces(t *testing.T) {
	ways := map[string]func(*trace, bool){"rolling": rolled, "bluegreen": green, "canary": half}
	for story, tell := range map[string]func(*trace){
		"success": func(s *trace) {
			s.release("v2")
			s.play()
		},
		"gate_before_traffic_fails": func(s *trace) {
			s.verdict("v2", "smoke", v1alpha1.VerdictFail)
			s.release("v2")
			s.play()
		},
		"gate_with_traffic_fails_then_a_fix": func(s *trace) {
			s.verdict("v2", "errors", v1alpha1.VerdictFail)
			s.release("v2")
			s.play()
			s.release("v3")
			s.play()
		},
		"aborted_by_hand_then_tried_again": func(s *trace) {
			s.release("v2")
			s.verdict("v2", "errors", v1alpha1.VerdictPending)
			s.untilStep(2)
			s.tell(VerbAbort)
			s.play()
			s.verdict("v2", "errors", v1alpha1.VerdictPass)
			s.tell(VerbRetry)
			s.play()
		},
		"bump_midway": func(s *trace) {
			s.release("v2")
			s.verdict("v2", "errors", v1alpha1.VerdictPending)
			s.untilStep(2)
			s.release("v3")
			s.play()
		},
		"revert_midway": func(s *trace) {
			s.release("v2")
			s.verdict("v2", "errors", v1alpha1.VerdictPending)
			s.untilStep(2)
			s.release("v1")
			s.play()
		},
		"undone_after_success": func(s *trace) {
			s.release("v2")
			s.until(v1alpha1.StageStable)
			s.release("v1")
			s.play()
		},
		"autoscaler_grows_midway_and_shrinks": func(s *trace) {
			s.release("v2")
			s.verdict("v2", "errors", v1alpha1.VerdictPending)
			s.untilStep(2)
			s.scale(6)
			s.ticks(6)
			s.scale(2)
			s.verdict("v2", "errors", v1alpha1.VerdictPass)
			s.play()
		},
		"candidate_loses_its_pods_midway": func(s *trace) {
			s.release("v2")
			s.verdict("v2", "errors", v1alpha1.VerdictPending)
			s.untilStep(2)
			s.lose("v2", 9)
			s.ticks(5)
			s.verdict("v2", "errors", v1alpha1.VerdictPass)
			s.play()
		},
		"broken_stable_is_fixed": func(s *trace) {
			s.breakDown("v1")
			s.ticks(2)
			s.release("v2")
			s.play()
		},
		"bad_image": func(s *trace) {
			s.release("v2!")
			s.play()
		},
		"inconclusive_then_promoted": func(s *trace) {
			s.verdict("v2", "errors", v1alpha1.VerdictInconclusive)
			s.release("v2")
			s.until(v1alpha1.StageInconclusive)
			s.tell(VerbPromoteFull)
			s.play()
		},
		"data_tier_away_midway": func(s *trace) {
			s.release("v2")
			s.untilStep(1)
			s.say("the database fails over")
			s.w.interlock = "database (no instance is the primary)"
			s.ticks(8)
			s.say("it is back")
			s.w.interlock = ""
			s.play()
		},
		"no_way_back_over_a_migration": func(s *trace) {
			s.unsafe()
			s.verdict("v2", "errors", v1alpha1.VerdictFail)
			s.release("v2")
			s.play()
			s.tell(VerbAbortForce)
			s.play()
		},
	} {
		for way, begin := range ways {
			for mode, gateway := range map[string]bool{"replicas": false, "gateway": true} {
				if way == "rolling" && gateway {
					continue // the route leads to the Service of all pods; the rest is the same
				}
				name := story + "_" + way + "_" + mode
				t.Run(name, func(t *testing.T) {
					s := &trace{T: t}
					begin(s, gateway)
					tell(s)
					testkit.Golden(t, name, s.text.String())
				})
			}
		}
	}
}

// What belongs to one strategy, or to what lies between them.
func TestSpecialTraces(t *testing.T) {
	for name, story := range map[string]func(*trace){
		"approval_bluegreen_with_preview": func(s *trace) {
			s.cutover(v1alpha1.RolloutBlueGreen, false, 4)
			s.w.spec.BlueGreen.PreviewReplicas = new(int32(1))
			s.w.spec.BlueGreen.Approval = v1alpha1.ApprovalRequired
			s.release("v2")
			s.until(v1alpha1.StageAwaitingApproval)
			s.tell(VerbPromote)
			s.play()
		},
		"approval_canary": func(s *trace) {
			s.cutover(v1alpha1.RolloutCanary, true, 4)
			s.steps(v1alpha1.CanaryStep{Weight: 5}, v1alpha1.CanaryStep{Weight: 50, Approval: v1alpha1.ApprovalRequired})
			s.release("v2")
			s.until(v1alpha1.StageAwaitingApproval)
			s.release("v3")
			s.say("the approval of v2 comes too late")
			s.w.word = "promote:v2:2:3"
			s.until(v1alpha1.StageAwaitingApproval)
			s.ticks(3)
			s.tell(VerbPromote)
			s.play()
		},
		"canary_of_one_pod_without_a_gateway": func(s *trace) {
			s.cutover(v1alpha1.RolloutCanary, false, 1)
			s.steps(v1alpha1.CanaryStep{Weight: 10, PauseSeconds: new(int32(10))})
			s.release("v2")
			s.play()
		},
		"canary_of_ten_pods_without_a_gateway": func(s *trace) {
			s.cutover(v1alpha1.RolloutCanary, false, 10)
			s.steps(v1alpha1.CanaryStep{Weight: 10}, v1alpha1.CanaryStep{Weight: 30}, v1alpha1.CanaryStep{Weight: 60})
			s.release("v2")
			s.play()
		},
		"bluegreen_to_canary_midway": func(s *trace) {
			green(s, true)
			s.release("v2")
			s.verdict("v2", "errors", v1alpha1.VerdictPending)
			s.untilStep(2)
			s.say("the strategy is changed to Canary")
			s.w.spec.Strategy = v1alpha1.RolloutCanary
			s.steps(v1alpha1.CanaryStep{Weight: 50})
			s.verdict("v2", "errors", v1alpha1.VerdictPass)
			s.play()
		},
		"rolling_to_bluegreen_midway": func(s *trace) {
			s.cutover(v1alpha1.RolloutRolling, false, 4)
			s.release("v2")
			s.ticks(6)
			s.say("the strategy is changed to BlueGreen")
			s.w.spec.Strategy = v1alpha1.RolloutBlueGreen
			s.play()
		},
		"canary_to_rolling_midway": func(s *trace) {
			half(s, false)
			s.release("v2")
			s.verdict("v2", "errors", v1alpha1.VerdictPending)
			s.untilStep(2)
			s.say("the strategy is changed to Rolling")
			s.w.spec.Strategy = v1alpha1.RolloutRolling
			s.verdict("v2", "errors", v1alpha1.VerdictPass)
			s.play()
		},
		"route_is_refused": func(s *trace) {
			half(s, true)
			s.w.refused = "Gateway web: NotAllowedByListeners"
			s.say("the Gateway accepts no new route")
			s.release("v2")
			s.ticks(12)
			s.say("the Gateway accepts routes again")
			s.w.refused = ""
			s.play()
		},
		"somebody_changes_the_service": func(s *trace) {
			half(s, false)
			s.verdict("v2", "smoke", v1alpha1.VerdictPending)
			s.release("v2")
			s.untilStep(1)
			s.say("somebody has the Service lead to all pods")
			s.w.flights = append(s.w.flights, flight{goal: s.w.written})
			s.w.written = everybody
			s.ticks(2)
			s.verdict("v2", "smoke", v1alpha1.VerdictPass)
			s.play()
		},
		"stable_is_lost_while_the_previous_is_kept": func(s *trace) {
			s.cutover(v1alpha1.RolloutBlueGreen, false, 2)
			s.release("v2")
			s.until(v1alpha1.StageStable)
			s.lose("v2", 2)
			s.play()
		},
		"candidate_that_comes_and_goes": func(s *trace) {
			green(s, false)
			s.verdict("v2", "smoke", v1alpha1.VerdictPending)
			s.release("v2")
			for range reopenLimit + 1 {
				s.untilStep(1)
				s.lose("v2", 1)
				s.ticks(1)
			}
			s.play()
		},
		"scaled_to_zero_midway": func(s *trace) {
			half(s, true)
			s.verdict("v2", "errors", v1alpha1.VerdictPending)
			s.release("v2")
			s.untilStep(2)
			s.scale(0)
			s.play()
			s.scale(2)
			s.play()
		},
		"promoted_in_full_from_a_preview": func(s *trace) {
			s.cutover(v1alpha1.RolloutBlueGreen, true, 4)
			s.w.spec.BlueGreen.PreviewReplicas = new(int32(1))
			s.gate("smoke", v1alpha1.GateBeforeTraffic)
			s.verdict("v2", "smoke", v1alpha1.VerdictPending)
			s.release("v2")
			s.untilStep(1)
			s.tell(VerbPromoteFull)
			s.play()
		},
		"bad_image_promoted_in_full": func(s *trace) {
			half(s, true)
			s.release("v2!")
			s.ticks(2)
			s.tell(VerbPromoteFull)
			s.play()
		},
		"bad_then_bad": func(s *trace) {
			half(s, false)
			s.release("v2!")
			s.ticks(4)
			s.release("v3!")
			s.play()
		},
		"image_and_replicas_change_together": func(s *trace) {
			half(s, true)
			s.release("v2")
			s.scale(6)
			s.ticks(5)
			s.release("v3")
			s.scale(3)
			s.play()
		},
		"pause_and_approval_longer_than_the_deadline": func(s *trace) {
			s.cutover(v1alpha1.RolloutCanary, true, 2)
			s.steps(v1alpha1.CanaryStep{Weight: 50, PauseSeconds: new(int32(300)), Approval: v1alpha1.ApprovalRequired})
			s.release("v2")
			s.until(v1alpha1.StageAwaitingApproval)
			s.ticks(20)
			s.tell(VerbPromote)
			s.play()
		},
		"scaled_while_waiting_for_approval": func(s *trace) {
			s.cutover(v1alpha1.RolloutCanary, false, 4)
			s.steps(v1alpha1.CanaryStep{Weight: 50, Approval: v1alpha1.ApprovalRequired})
			s.release("v2")
			s.until(v1alpha1.StageAwaitingApproval)
			s.scale(8)
			s.ticks(8)
			s.tell(VerbPromote)
			s.play()
		},
		"scaled_in_after_an_abort": func(s *trace) {
			half(s, false)
			s.verdict("v2", "errors", v1alpha1.VerdictFail)
			s.release("v2")
			s.until(v1alpha1.StageAborting)
			s.scale(2)
			s.play()
		},
		"undone_after_the_hold": func(s *trace) {
			half(s, true)
			s.release("v2")
			s.play()
			s.release("v1")
			s.play()
		},
		"bump_before_the_first_rollout_ends": func(s *trace) {
			s.w = newWorld(3, 1, 0)
			s.w.spec.Strategy = v1alpha1.RolloutBlueGreen
			s.start = s.w.now
			s.say("3 pods are wanted; BlueGreen, without a gateway; v1 cannot start")
			s.w.target = "v1!"
			s.ticks(3)
			s.release("v2")
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
