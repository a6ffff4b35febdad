package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// step is a step of a rollout, as spec.rollout asks for it.
type step struct {
	weight int32
	// pods says which pods there are, where that is not plain from the weight.
	pods     string
	gates    []string
	pause    time.Duration
	approval bool
}

// defaultSteps are the steps of a canary that names none.
var defaultSteps = []v1alpha1.CanaryStep{
	{Weight: 10, PauseSeconds: new(int32(60))}, {Weight: 50, PauseSeconds: new(int32(60))},
}

// strategyOf is the strategy, with its default.
func strategyOf(spec v1alpha1.RolloutSpec) v1alpha1.RolloutStrategy {
	if spec.Strategy == "" {
		return v1alpha1.RolloutRolling
	}
	return spec.Strategy
}

// stepsOf are the steps in which a new revision takes over.
func stepsOf(spec v1alpha1.RolloutSpec) []step {
	before, with := gatesAt(spec, v1alpha1.GateBeforeTraffic), gatesAt(spec, v1alpha1.GateWithTraffic)
	switch strategyOf(spec) {
	case v1alpha1.RolloutBlueGreen:
		pods := "all pods"
		if n := spec.BlueGreen.PreviewReplicas; n != nil {
			pods = fmt.Sprintf("%d preview %s", *n, plural(int(*n), "pod", "pods"))
		}
		return []step{
			{pods: pods, gates: before, approval: spec.BlueGreen.Approval == v1alpha1.ApprovalRequired},
			{weight: 100, gates: with},
		}
	case v1alpha1.RolloutCanary:
		asked := spec.Canary.Steps
		if len(asked) == 0 {
			asked = defaultSteps
		}
		steps := []step{{gates: before}}
		for _, each := range asked {
			s := step{weight: each.Weight, gates: with, approval: each.Approval == v1alpha1.ApprovalRequired}
			if each.PauseSeconds != nil {
				s.pause = time.Duration(*each.PauseSeconds) * time.Second
			}
			steps = append(steps, s)
		}
		if asked[len(asked)-1].Weight < 100 {
			steps = append(steps, step{weight: 100, gates: with})
		}
		return steps
	default:
		last := step{weight: 100, pods: "pods replace pods, traffic follows them", gates: with}
		if len(before) == 0 {
			return []step{last}
		}
		return []step{{pods: "one pod", gates: before}, last}
	}
}

func gatesAt(spec v1alpha1.RolloutSpec, when v1alpha1.GateTime) []string {
	var names []string
	for i := range spec.Gates {
		if spec.Gates[i].Time() == when {
			names = append(names, spec.Gates[i].Name)
		}
	}
	return names
}

// knownSteps are the steps of the rollout under way, or nil if it does not go by those of the spec: the first
// rollout, and the way back to a revision that has proven itself, have one step.
func knownSteps(app *v1alpha1.ScalableApp) []step {
	steps, r := stepsOf(app.Spec.Rollout), app.Status.Rollout
	if r.Candidate == nil || int(r.Steps) != len(steps) || r.Step < 1 || r.Step > r.Steps {
		return nil
	}
	return steps
}

// share is what traffic a step gives.
func (s step) share() string {
	switch s.weight {
	case 0:
		return "no traffic"
	case 100:
		return "all traffic"
	default:
		return fmt.Sprintf("%d%% of the traffic", s.weight)
	}
}

// words are a step as a person would write it down.
func (s step) words() string {
	parts := []string{s.share()}
	if s.pods != "" {
		parts = append(parts, s.pods)
	}
	if len(s.gates) > 0 {
		parts = append(parts, plural(len(s.gates), "gate ", "gates ")+strings.Join(s.gates, ", "))
	}
	if s.pause > 0 {
		parts = append(parts, "at least "+brief(s.pause))
	}
	if s.approval {
		parts = append(parts, "a person's approval")
	}
	return strings.Join(parts, "; ")
}

// brief is a duration without what is zero at its end.
func brief(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return text
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// steps are the steps of the rollout that the file would begin, in words; empty if it begins none.
func (f *forecast) steps() string {
	spec, r := f.after.app.Spec.Rollout, f.after.app.Status.Rollout
	target := f.after.wanted.Name
	switch {
	case f.newRevision():
	case r.Candidate == nil || r.Candidate.Revision != target || sameSteps(f.before.app.Spec.Rollout, spec):
		return "" // nothing is rolled out, or it goes on as before
	}
	switch {
	case r.Stable == nil:
		return "One step: no revision serves yet, so there is nothing to be careful of.\n"
	case r.Stable.Revision == target:
		return fmt.Sprintf("One step: revision %d serves already, and the traffic goes back to it.\n", r.Stable.Number)
	case proven(f.after.seen.Revision(target)):
		return fmt.Sprintf("One step: %s was rolled out in full once, so its gates are not asked again.\n", target)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "The steps of the rollout (%s):\n", strategyOf(spec))
	for i, each := range stepsOf(spec) {
		fmt.Fprintf(&b, "  %d  %s\n", i+1, each.words())
	}
	if hold := spec.RollbackHoldSeconds; hold != nil && strategyOf(spec) != v1alpha1.RolloutRolling {
		kept := time.Duration(max(*hold, 30)) * time.Second
		fmt.Fprintf(&b, "Then the pods of revision %d are kept for %s: so long the way back takes no start of pods.\n", r.Stable.Number, brief(kept))
	}
	return b.String()
}

func sameSteps(a, b v1alpha1.RolloutSpec) bool {
	words := func(spec v1alpha1.RolloutSpec) []string {
		out := []string{string(strategyOf(spec))}
		for _, each := range stepsOf(spec) {
			out = append(out, each.words())
		}
		return out
	}
	return slices.Equal(words(a), words(b))
}

// proven says whether a revision was rolled out in full.
func proven(record *appsv1.ControllerRevision) bool {
	return record != nil && record.Annotations[naming.AnnotationProven] != ""
}
