package status

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// DataTierObstacle is what the first pod of a new revision must wait for, in words; empty means
// nothing. It asks for less than DatabaseReady does: a release, which may be the mending one, must not
// wait for a lost replica, and only the very first one waits for the cache.
func DataTierObstacle(in Input) string {
	var waits []string
	add := func(part string, v verdict) { waits = append(waits, fmt.Sprintf("%s (%s)", part, v.message)) }
	if v := databaseReady(in); !v.ok && v.reason != "" {
		if status := databaseStatus(in); status == nil || status.Primary == "" {
			add("database", v)
		}
	}
	if wantsPooler(in.App) && len(waits) == 0 {
		if missing := noPooler(in, naming.PoolerReadWrite); missing != "" {
			waits = append(waits, "database ("+missing+")")
		}
	}
	if v := sessions(in); !v.ok && v.reason != "" && !servesOn(v) && !mastered(sessionsStatus(in)) {
		add("sessions", v)
	}
	if v := cache(in); !v.ok && v.reason != "" && !mastered(cacheStatus(in)) && in.App.Status.Rollout.Stable == nil {
		add("cache", v)
	}
	return strings.Join(waits, ", ")
}

// servesOn says of a Redis that is not as it shall be that it serves all the same.
func servesOn(v verdict) bool {
	return v.reason == v1alpha1.ReasonMemoryNearlyFull || v.reason == v1alpha1.ReasonChangeFailed
}

// mastered says whether a Redis takes writes, whatever else it lacks. A single member that is being replaced
// still counts as away.
func mastered(status *v1alpha1.RedisStatus) bool {
	return status != nil && status.Master != "" && status.Members > 1
}

// server is a part of the data tier: a StatefulSet with that many pods, and the StorageClass that the
// spec names for its volumes.
type server struct {
	kind, name, component string
	wanted                int32
	class                 *string
	// ordered says that the operator restarts the pods itself, and so knows which are of old settings.
	ordered bool
}

// members says how the pods of a part of the data tier are.
func members(in Input, s server) verdict {
	kind, name, wanted, class := s.kind, s.name, s.wanted, s.class
	if class != nil && !in.Observed.StorageClasses[*class] {
		v := bad(kind, v1alpha1.ReasonStorageClassMissing, "StorageClass %s does not exist; create it, or create the app with another", *class)
		v.lasting = true
		return v
	}
	set := in.Observed.StatefulSet(name)
	if set == nil {
		return bad(kind, v1alpha1.ReasonProgressing, "%s is being created", name)
	}
	pods := in.Observed.PodsWith(naming.Selector(in.App, s.component))
	ready := int32(0)
	for _, pod := range pods {
		if Serving(pod) {
			ready++
		}
	}
	switch {
	case ready >= wanted && (s.ordered || set.Status.ObservedGeneration >= set.Generation && set.Status.UpdatedReplicas >= wanted):
		return good(kind, fmt.Sprintf("%d of %d pods are ready", ready, wanted))
	case ready >= wanted:
		return bad(kind, v1alpha1.ReasonProgressing, "pods of %s are being replaced", name)
	}
	v := bad(kind, v1alpha1.ReasonProgressing, "%d of %d pods are ready", ready, wanted)
	if trouble := PodTrouble(pods); trouble.Reason != "" && trouble.Reason != v1alpha1.ReasonNeverReady {
		v.reason, v.message = trouble.Reason, v.message+": "+trouble.Message
	}
	if warning := warningOf(in, name, pods); warning != "" {
		v.message += ": " + warning
		v.reason = v1alpha1.ReasonVolumePending
		if strings.Contains(warning, "exceeded quota") {
			v.reason, v.lasting = v1alpha1.ReasonQuotaExceeded, true
		}
	}
	return v
}

// warningOf is what the cluster says in events of a StatefulSet whose pods cannot be made, or of
// their volumes; a StatefulSet has no condition for it.
func warningOf(in Input, name string, pods []*corev1.Pod) string {
	if warning := in.Observed.Warnings["StatefulSet/"+name]; warning != "" {
		return warning
	}
	for _, pod := range pods {
		for _, volume := range pod.Spec.Volumes {
			if volume.PersistentVolumeClaim == nil {
				continue
			}
			if warning := in.Observed.Warnings["PersistentVolumeClaim/"+volume.PersistentVolumeClaim.ClaimName]; warning != "" {
				return warning
			}
		}
	}
	return ""
}
