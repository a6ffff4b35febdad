package components

import (
	"encoding/json"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// AskedResources are resources as naming.AnnotationResources holds them.
func AskedResources(r corev1.ResourceRequirements) string {
	text, err := json.Marshal(corev1.ResourceRequirements{Requests: r.Requests, Limits: r.Limits})
	if err != nil {
		panic("components: resources cannot be written: " + err.Error()) // only strings
	}
	return string(text)
}

// MemberResources are the resources that a pod of the database was asked to have. What the cluster adds to every
// new pod, by a LimitRange or a webhook, is not among them: another pod would get it again. Of a pod that was made
// before this was written down, they are what it has of the names that are wanted.
func MemberResources(pod *corev1.Pod, want corev1.ResourceRequirements) corev1.ResourceRequirements {
	var asked corev1.ResourceRequirements
	if json.Unmarshal([]byte(pod.Annotations[naming.AnnotationResources]), &asked) == nil {
		return asked
	}
	of := func(have, want corev1.ResourceList) corev1.ResourceList {
		some := corev1.ResourceList{}
		for name := range want {
			if quantity, there := have[name]; there {
				some[name] = quantity
			}
		}
		return some
	}
	for _, c := range pod.Spec.Containers {
		if c.Name == DatabaseContainer {
			asked.Requests, asked.Limits = of(c.Resources.Requests, want.Requests), of(c.Resources.Limits, want.Limits)
		}
	}
	return asked
}

// DatabaseTakenUp says whether a pod that the StatefulSet makes now is as the spec wants it: its template has what
// a running pod is held against, and its controller has seen that.
func DatabaseTakenUp(in Input, set *appsv1.StatefulSet) bool {
	has := set.Spec.Template.Annotations
	return set.DeletionTimestamp.IsZero() && set.Status.ObservedGeneration >= set.Generation &&
		has[annotationConfig] == databaseShape(in) && has[naming.AnnotationResources] == AskedResources(DatabaseResources(in.App))
}
