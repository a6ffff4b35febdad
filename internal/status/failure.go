package status

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// Failure is why the operator could not write what it wants to write.
type Failure struct {
	Reason  string
	Message string
}

// failures are the reasons that come from writing, not from looking.
var failures = []string{v1alpha1.ReasonNameConflict, v1alpha1.ReasonForbidden, v1alpha1.ReasonQuotaExceeded, v1alpha1.ReasonRefused}

// StoredFailure is the failure that a stored status speaks of, or nil. It stands until a pass has
// written everything: to leave it out before would make the status flap.
func StoredFailure(stored v1alpha1.ScalableAppStatus) *Failure {
	stalled := meta.FindStatusCondition(stored.Conditions, v1alpha1.ConditionStalled)
	if stalled == nil || !slices.Contains(failures, stalled.Reason) {
		return nil
	}
	return &Failure{Reason: stalled.Reason, Message: stalled.Message}
}

// WithFailure is the status with Ready=False and Stalled=True for the failure.
func WithFailure(status, stored v1alpha1.ScalableAppStatus, failure Failure, now metav1.Time) v1alpha1.ScalableAppStatus {
	out := *status.DeepCopy()
	meta.RemoveStatusCondition(&out.Conditions, v1alpha1.ConditionReconciling)
	for kind, value := range map[string]metav1.ConditionStatus{
		v1alpha1.ConditionReady: metav1.ConditionFalse, v1alpha1.ConditionStalled: metav1.ConditionTrue,
	} {
		condition := metav1.Condition{
			Type: kind, Status: value, Reason: failure.Reason, Message: failure.Message,
			ObservedGeneration: out.ObservedGeneration, LastTransitionTime: now,
		}
		if before := meta.FindStatusCondition(stored.Conditions, kind); before != nil && before.Status == value {
			condition.LastTransitionTime = before.LastTransitionTime
		}
		meta.RemoveStatusCondition(&out.Conditions, kind)
		out.Conditions = append(out.Conditions, condition)
	}
	slices.SortFunc(out.Conditions, func(a, b metav1.Condition) int { return order(a.Type) - order(b.Type) })
	return out
}

// order is the order of the conditions in status.
func order(kind string) int {
	return slices.Index([]string{
		v1alpha1.ConditionReady, v1alpha1.ConditionDatabaseReady, v1alpha1.ConditionSessionsReady, v1alpha1.ConditionCacheReady,
		v1alpha1.ConditionAvailable, v1alpha1.ConditionAutoscalingReady, v1alpha1.ConditionTrafficReady,
		v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled,
	}, kind)
}
