package status

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/scalableapp/scalableapp-operator/internal/state"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

func TestGateJob(t *testing.T) {
	job := func(kind batchv1.JobConditionType, status corev1.ConditionStatus) *batchv1.Job {
		j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j", UID: "uid-of-j"}}
		if kind != "" {
			j.Status.Conditions = []batchv1.JobCondition{{Type: kind, Status: status, Reason: "DeadlineExceeded", Message: "Job was active longer than specified deadline"}}
		}
		return j
	}
	of := func(owner string, c corev1.ContainerStatus) *corev1.Pod {
		pod := podWith("p", c)
		pod.OwnerReferences = []metav1.OwnerReference{{UID: types.UID("uid-of-" + owner), Controller: new(true)}}
		return pod
	}
	said := corev1.ContainerStatus{Name: "app", State: corev1.ContainerState{Terminated: ended(3, "Error", "checking /\n/cart answers 500\n")}}
	ending := of("j", said)
	ending.DeletionTimestamp = &testkit.Born

	for name, c := range map[string]struct {
		job  *batchv1.Job
		pods []*corev1.Pod
		want state.Sample
	}{
		"none":    {nil, nil, state.Sample{Outcome: state.OutcomeNone}},
		"runs":    {job("", ""), nil, state.Sample{Outcome: state.OutcomeNone, Limit: "succeeded"}},
		"not yet": {job(batchv1.JobComplete, corev1.ConditionFalse), nil, state.Sample{Outcome: state.OutcomeNone, Limit: "succeeded"}},
		"complete": {job(batchv1.JobComplete, corev1.ConditionTrue), nil,
			state.Sample{Outcome: state.OutcomeGood, Value: "succeeded", Limit: "succeeded"}},
		"failed with last words": {job(batchv1.JobFailed, corev1.ConditionTrue), []*corev1.Pod{of("another", waiting("ErrImagePull", "")), ending},
			state.Sample{Outcome: state.OutcomeBad, Value: "failed", Limit: "succeeded",
				Reason: "Job j failed: pod p: container app ends with exit code 3 (Error): /cart answers 500"}},
		"failed without a word": {job(batchv1.JobFailed, corev1.ConditionTrue), []*corev1.Pod{of("another", said)},
			state.Sample{Outcome: state.OutcomeBad, Value: "failed", Limit: "succeeded",
				Reason: "Job j failed (DeadlineExceeded): Job was active longer than specified deadline"}},
		"no image": {job("", ""), []*corev1.Pod{of("j", waiting("ErrImagePull", "not found"))},
			state.Sample{Limit: "succeeded", Reason: "Job j cannot begin: pod p: image shop:2 cannot be pulled: not found"}},
		"cannot start": {job("", ""), []*corev1.Pod{of("j", waiting("CreateContainerConfigError", "secret \"x\" not found"))},
			state.Sample{Limit: "succeeded", Reason: "Job j cannot begin: pod p: container app cannot start: secret \"x\" not found"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, GateJob(c.job, c.pods)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
