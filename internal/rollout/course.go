package rollout

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/gate"
)

// Course is a strategy as steps of one machine.
type Course struct {
	Strategy v1alpha1.RolloutStrategy
	// Gateway says that weights are exact: an HTTPRoute gives them. Otherwise they are numbers of pods.
	Gateway bool
	Steps   []Step
	// Short are the steps of a revision that has nothing to prove: the first one, one that was rolled out
	// in full before, one that a person has promoted in full.
	Short []Step
	// Proven says that the target was rolled out in full before.
	Proven bool
}

// Step is a share of the traffic, what it needs and what is asked while it lasts.
type Step struct {
	// Weight is the candidate's share of the traffic, in percent.
	Weight int32
	// Scale is the share for which the candidate has pods: that of the next step while it has no traffic.
	Scale int32
	// Pods is the number of pods instead, when it is not 0; never more than are wanted.
	Pods int32
	// Roll says that pods replace pods, and that traffic follows them.
	Roll bool
	// Gates are the gates of this step, in the order of the spec.
	Gates []Rule
	// Pause is how long the step lasts at least.
	Pause time.Duration
	// Approval says that a person has to agree before the next step.
	Approval bool
}

// Rule is a gate of a step.
type Rule struct {
	Name string
	// Abort says that the app goes back when the gate says nothing for too long; otherwise it waits.
	Abort bool
}

// NewCourse is the course that the spec describes.
//
//	BlueGreen: 0 (preview, gates, approval), 100 (gates)
//	Canary:    0 (gates), each step (gates, pause, approval), 100 (gates)
//	Rolling:   0 (one pod; only with gates before traffic), roll (gates)
func NewCourse(spec *v1alpha1.RolloutSpec, gateway bool) Course {
	c := Course{Strategy: spec.Strategy, Gateway: gateway}
	before, with, alone := rules(spec.Gates, 0), rules(spec.Gates, 1), rules(spec.Gates, 100)
	switch spec.Strategy {
	case v1alpha1.RolloutBlueGreen:
		preview := Step{Scale: 100, Gates: before, Approval: spec.BlueGreen.Approval == v1alpha1.ApprovalRequired}
		if n := spec.BlueGreen.PreviewReplicas; n != nil {
			preview.Pods = *n
		}
		c.Steps = []Step{preview, {Weight: 100, Scale: 100, Gates: alone}}
		c.Short = []Step{{Weight: 100, Scale: 100}}
	case v1alpha1.RolloutCanary:
		c.Steps = canarySteps(spec.Canary.Steps, before, with, alone)
		c.Short = []Step{{Weight: 100, Scale: 100}}
	default:
		c.Strategy = v1alpha1.RolloutRolling
		c.Short = []Step{{Weight: 100, Scale: 100, Roll: true}}
		c.Steps = []Step{{Weight: 100, Scale: 100, Roll: true, Gates: alone}}
		if len(before) > 0 {
			c.Steps = append([]Step{{Pods: 1, Gates: before}}, c.Steps...)
		}
	}
	return c
}

// defaultCanary are the steps of a canary that names none.
func defaultCanary() []v1alpha1.CanaryStep {
	return []v1alpha1.CanaryStep{{Weight: 10, PauseSeconds: new(int32(60))}, {Weight: 50, PauseSeconds: new(int32(60))}}
}

func canarySteps(spec []v1alpha1.CanaryStep, before, with, alone []Rule) []Step {
	if len(spec) == 0 {
		spec = defaultCanary()
	}
	steps := []Step{{Scale: spec[0].Weight, Gates: before}}
	for _, s := range spec {
		step := Step{Weight: s.Weight, Scale: s.Weight, Gates: with, Approval: s.Approval == v1alpha1.ApprovalRequired}
		if s.Weight == 100 {
			step.Gates = alone
		}
		if s.PauseSeconds != nil {
			step.Pause = time.Duration(*s.PauseSeconds) * time.Second
		}
		steps = append(steps, step)
	}
	if spec[len(spec)-1].Weight < 100 {
		steps = append(steps, Step{Weight: 100, Scale: 100, Gates: alone})
	}
	return steps
}

// GatesAt are the gates that are asked at a step with that share of the traffic, as they are to be asked
// there: without traffic those that need none; with all of it, those that need no other revision beside.
func GatesAt(gates []v1alpha1.GateSpec, weight int32) []v1alpha1.GateSpec {
	switch weight {
	case 0:
		return gate.OfStep(gates, v1alpha1.GateBeforeTraffic)
	case 100:
		return gate.Alone(gate.OfStep(gates, v1alpha1.GateWithTraffic))
	default:
		return gate.OfStep(gates, v1alpha1.GateWithTraffic)
	}
}

// Asked are the gates that are asked at the step that is stored: none unless the step has all that it
// needs.
func Asked(gates []v1alpha1.GateSpec, stored v1alpha1.RolloutStatus) []v1alpha1.GateSpec {
	weights := strings.Fields(stored.Plan)
	if stored.StepStartedTime == nil || stored.Failure != nil || stored.Step < 1 || int(stored.Step) >= len(weights) {
		return nil
	}
	weight, err := strconv.ParseInt(weights[stored.Step], 10, 32)
	if err != nil {
		return nil
	}
	return GatesAt(gates, int32(weight))
}

func rules(gates []v1alpha1.GateSpec, weight int32) []Rule {
	var out []Rule
	for _, g := range GatesAt(gates, weight) {
		out = append(out, Rule{Name: g.Name, Abort: g.OnInconclusive == v1alpha1.InconclusiveAbort})
	}
	return out
}

// rolling says whether pods replace pods.
func (c *Course) rolling() bool { return c.Strategy == v1alpha1.RolloutRolling }

// stepsFor are the steps that the target has to take.
func (c *Course) stepsFor(status v1alpha1.RolloutStatus, desired int32) []Step {
	if c.Proven || status.Stable == nil || status.FullTime != nil || desired == 0 {
		return c.Short
	}
	return c.Steps
}

// plan is the course in a line. Another line means that the steps of a rollout under way have changed.
func (c *Course) plan(steps []Step) string {
	words := []string{string(c.Strategy)}
	for _, step := range steps {
		words = append(words, fmt.Sprint(step.Weight))
	}
	return strings.Join(words, " ")
}

// asks says whether the step has something to wait for once pods and traffic are there.
func (s *Step) asks() bool { return len(s.Gates) > 0 || s.Pause > 0 || s.Approval }

// pods is the number of pods that the candidate needs for the step, of those wanted.
func (c *Course) pods(s Step, desired int32) int32 {
	switch {
	case s.Pods > 0:
		return min(s.Pods, desired)
	case !c.Gateway && !s.Roll && s.Scale < 100:
		candidate, _ := fit(s.Scale, desired)
		return candidate
	default:
		return portion(s.Scale, desired)
	}
}

// portion is how many of the wanted pods a share of the traffic needs, rounded up.
func portion(weight, desired int32) int32 { return (weight*desired + 99) / 100 }

// fit is how many pods of the candidate and of the stable revision come nearest to a weight between 0 and
// 100, when their pods share the traffic: of the wanted number of pods and one more, the better, with at
// least one pod of each. A tie favours fewer pods, and among those more of the candidate.
func fit(weight, desired int32) (candidate, stable int32) {
	if desired == 0 {
		return 0, 0
	}
	best := int32(-1)
	for total := max(desired, 2); total <= desired+1; total++ {
		for c := total - 1; c >= 1; c-- {
			// |c/total - weight/100|, over a common denominator that is the same for both totals.
			off := abs(c*100-weight*total) * (2*desired + 1 - total)
			if best < 0 || off < best {
				best, candidate, stable = off, c, total-c
			}
		}
	}
	return candidate, stable
}

func abs(n int32) int32 {
	if n < 0 {
		return -n
	}
	return n
}
