package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rollout"
)

// strategyOf is the strategy, with its default.
func strategyOf(spec v1alpha1.RolloutSpec) v1alpha1.RolloutStrategy {
	return rollout.NewCourse(&spec, false).Strategy
}

// stepsOf are the steps in which a new revision takes over, as the operator goes them.
func stepsOf(spec v1alpha1.RolloutSpec) []rollout.Step {
	return rollout.NewCourse(&spec, false).Steps
}

// knownSteps are the steps of the rollout under way, or nil if it does not go by those of the spec: the first
// rollout, the way back to a revision that has proven itself, and one that was promoted in full have one step.
func knownSteps(app *v1alpha1.ScalableApp) []rollout.Step {
	steps, r := stepsOf(app.Spec.Rollout), app.Status.Rollout
	if r.Candidate == nil || r.FullTime != nil || int(r.Steps) != len(steps) || r.Step < 1 || r.Step > r.Steps {
		return nil
	}
	return steps
}

// share is what traffic a step gives.
func share(s rollout.Step) string {
	switch s.Weight {
	case 0:
		return "no traffic"
	case 100:
		return "all traffic"
	default:
		return fmt.Sprintf("%d%% of the traffic", s.Weight)
	}
}

// stepWords are a step as a person would write it down.
func stepWords(s rollout.Step) string {
	parts := []string{share(s)}
	switch {
	case s.Roll:
		parts = append(parts, "pods replace pods, traffic follows them")
	case s.Pods > 0:
		parts = append(parts, fmt.Sprintf("%d %s", s.Pods, plural(int(s.Pods), "pod", "pods")))
	case s.Weight == 0 && s.Scale == 100:
		parts = append(parts, "all pods")
	}
	if len(s.Gates) > 0 {
		var names []string
		for _, rule := range s.Gates {
			names = append(names, rule.Name)
		}
		parts = append(parts, plural(len(names), "gate ", "gates ")+strings.Join(names, ", "))
	}
	if s.Pause > 0 {
		parts = append(parts, "at least "+brief(s.Pause))
	}
	if s.Approval {
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
		fmt.Fprintf(&b, "  %d  %s\n", i+1, stepWords(each))
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
			out = append(out, stepWords(each))
		}
		return out
	}
	return slices.Equal(words(a), words(b))
}

// proven says whether a revision was rolled out in full.
func proven(record *appsv1.ControllerRevision) bool {
	return record != nil && record.Annotations[naming.AnnotationProven] != ""
}
