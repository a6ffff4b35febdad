package cli

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/status"
)

// The parts that a revision can have in an app.
const (
	roleCandidate = "candidate"
	roleStable    = "stable"
	rolePrevious  = "previous"
	roleLeaving   = "leaving"
	roleUndone    = "undone"
)

// liveRevision is a revision that has a part in what runs.
type liveRevision struct {
	name, image, role, weight string
	number                    int64
	available, wanted         int32
	// note is what else there is to say of it.
	note string
	// waiting are the pods that do not serve, each as the cells of its line.
	waiting [][]string
}

// manyPods is how many pods that do not serve are named; a thousand would say no more.
const manyPods = 3

// revisionsOf are the revisions that have a part in what runs: the candidate, the stable one, the one before
// whose pods are kept, and then those that still have pods.
func revisionsOf(s sight) []liveRevision {
	r := s.app.Status.Rollout
	var out []liveRevision
	known := map[string]bool{}
	add := func(stored *v1alpha1.RevisionStatus, role, weight string) {
		if stored == nil || known[stored.Revision] {
			return
		}
		known[stored.Revision] = true
		out = append(out, alive(s, *stored, role, weight))
	}
	weight := weights(s.app)
	add(r.Candidate, roleCandidate, weight(r.Candidate))
	add(r.Stable, roleStable, weight(r.Stable))
	add(r.Previous, rolePrevious, weight(r.Previous))
	if left := until(r.HoldTime, s.seen.Now); left > 0 && r.Previous != nil && len(out) > 0 && out[len(out)-1].role == rolePrevious {
		out[len(out)-1].note = "kept for an instant way back, " + remaining(left)
	}
	for _, d := range slices.Backward(s.seen.Deployments) {
		stored := v1alpha1.RevisionStatus{Revision: d.Labels[naming.LabelRevision]}
		if d.Spec.Replicas != nil && *d.Spec.Replicas == 0 && d.Status.Replicas == 0 || stored.Revision == "" {
			continue
		}
		if record := s.seen.Revision(stored.Revision); record != nil {
			stored.Number = record.Revision
			if full, err := revision.Stored(record); err == nil {
				stored.Image = full.Inputs.App.Image
			}
		}
		add(&stored, roleLeaving, weight(&stored))
	}
	return out
}

// weights tell each revision's share of the traffic as it is wanted. While there is no candidate,
// status.rollout.weight is the stable revision's.
func weights(app *v1alpha1.ScalableApp) func(*v1alpha1.RevisionStatus) string {
	r := app.Status.Rollout
	shares := map[string]int32{}
	if r.Weight != nil {
		if r.Stable != nil {
			shares[r.Stable.Revision] = *r.Weight
		}
		if r.Candidate != nil {
			if r.Stable != nil {
				shares[r.Stable.Revision] = 100 - *r.Weight
			}
			shares[r.Candidate.Revision] = *r.Weight
		}
	}
	if r.Traffic != nil && strategyOf(app.Spec.Rollout) != v1alpha1.RolloutRolling { // there, traffic follows the pods
		for _, backend := range r.Traffic.Backends {
			shares[backend.Revision] = backend.Weight
		}
	}
	return func(stored *v1alpha1.RevisionStatus) string {
		if stored == nil {
			return ""
		}
		share, known := shares[stored.Revision]
		if !known {
			return ""
		}
		return fmt.Sprintf("%3d%%", share)
	}
}

func alive(s sight, stored v1alpha1.RevisionStatus, role, weight string) liveRevision {
	r := liveRevision{
		name: stored.Revision, image: stored.Image, number: stored.Number, role: role, weight: weight,
		available: stored.AvailableReplicas, wanted: stored.Replicas,
	}
	if d := s.seen.Deployment(stored.Revision); d != nil {
		r.wanted, r.available = 1, 0
		if d.Spec.Replicas != nil {
			r.wanted = *d.Spec.Replicas
		}
	}
	pods := s.seen.PodsWith(map[string]string{naming.LabelRevision: stored.Revision, naming.LabelComponent: naming.ComponentApp})
	if len(pods) > 0 {
		r.available = 0
	}
	for _, pod := range pods {
		if status.Serving(pod) {
			r.available++
			continue
		}
		r.waiting = append(r.waiting, podWords(s.app, pod))
	}
	if more := len(r.waiting) - manyPods; more > 0 {
		r.waiting = append(r.waiting[:manyPods], []string{fmt.Sprintf("… and %d more pods that do not serve", more)})
	}
	return r
}

// podWords says why a pod does not serve; what the headline says already is not repeated.
func podWords(app *v1alpha1.ScalableApp, pod *corev1.Pod) []string {
	words := strings.TrimPrefix(status.PodTrouble([]*corev1.Pod{pod}).Message, "pod "+pod.Name+": ")
	if strings.Contains(headline(app), words) {
		words = ""
	}
	return []string{pod.Name, podState(pod), nodeOf(pod), words}
}

// undoOf are the two revisions of an app's undo: FROM, which the spec asked for, and TO, which runs
// instead.
func undoOf(app *v1alpha1.ScalableApp) (from, to string) {
	from, to, _ = strings.Cut(app.Annotations[naming.AnnotationUndo], ":")
	return from, to
}
