package status

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/internal/rollout"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// GateJob is what the Job of a gate says. PODS may hold pods of other Jobs, too. A Job that cannot even
// begin, because its image cannot be pulled, says nothing about the app; only when its time is up it has
// failed.
func GateJob(job *batchv1.Job, pods []*corev1.Pod) state.Sample {
	if job == nil {
		return state.Sample{Outcome: state.OutcomeNone}
	}
	pods = slices.DeleteFunc(slices.Clone(pods), func(pod *corev1.Pod) bool { return !metav1.IsControlledBy(pod, job) })
	sample := state.Sample{Outcome: state.OutcomeNone, Limit: "succeeded"}
	for _, c := range job.Status.Conditions {
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == batchv1.JobComplete:
			sample.Outcome, sample.Value = state.OutcomeGood, "succeeded"
			return sample
		case c.Type == batchv1.JobFailed:
			sample.Outcome, sample.Value = state.OutcomeBad, "failed"
			sample.Reason = fmt.Sprintf("Job %s failed (%s): %s", job.Name, c.Reason, c.Message)
			if words := firstTrouble(pods, crashTrouble); words != "" {
				sample.Reason = fmt.Sprintf("Job %s failed: %s", job.Name, words)
			}
			return sample
		}
	}
	if words := firstTrouble(pods, imageTrouble, configTrouble); words != "" {
		sample.Outcome, sample.Reason = state.OutcomeInconclusive, fmt.Sprintf("Job %s cannot begin: %s", job.Name, words)
	}
	return sample
}

// firstTrouble is the first trouble of the first pod that has one, in words. Unlike PodTrouble it hears
// pods that are on their way out: those of a Job whose time is up are.
func firstTrouble(pods []*corev1.Pod, looks ...func(*corev1.Pod) rollout.Obstacle) string {
	for _, look := range looks {
		for _, pod := range pods {
			if trouble := look(pod); trouble.Reason != "" {
				return fmt.Sprintf("pod %s: %s", pod.Name, trouble.Message)
			}
		}
	}
	return ""
}
