package status

import (
	"fmt"
	"slices"
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
	if v := database(in); !v.ok && v.reason != "" {
		if status := databaseStatus(in); status == nil || status.Primary == "" {
			add("database", v)
		}
	}
	if v := sessions(in); !v.ok && v.reason != "" && v.reason != v1alpha1.ReasonMemoryNearlyFull && !mastered(sessionsStatus(in)) {
		add("sessions", v)
	}
	if v := cache(in); !v.ok && v.reason != "" && !mastered(cacheStatus(in)) && in.App.Status.Rollout.Stable == nil {
		add("cache", v)
	}
	return strings.Join(waits, ", ")
}

// mastered says whether a Redis takes writes, whatever else it lacks. A single member that is being replaced
// still counts as away.
func mastered(status *v1alpha1.RedisStatus) bool {
	return status != nil && status.Master != "" && status.Members > 1
}

// database is the condition DatabaseReady.
func database(in Input) verdict {
	const kind = v1alpha1.ConditionDatabaseReady
	spec := in.App.Spec.Database
	switch {
	case spec == nil:
		return verdict{}
	case spec.External != nil:
		return externalDatabase(in)
	}
	v := members(in, server{
		kind: kind, name: naming.Database(in.App), component: naming.ComponentDatabase,
		wanted: spec.Postgres.Instances, class: spec.Postgres.Storage.StorageClassName,
	})
	status := databaseStatus(in)
	switch {
	case !v.ok && status.ReadyInstances > 0 && status.Primary != "":
		v.message = fmt.Sprintf("%s takes writes, but %s", status.Primary, v.message)
	case v.ok && status.Primary == "":
		v = bad(kind, v1alpha1.ReasonUnavailable, "no instance is the primary")
	case v.ok && len(status.Synchronous) == 0 && spec.Postgres.Instances > 1 &&
		spec.Postgres.Durability != v1alpha1.DurabilityAsynchronous:
		v = bad(kind, v1alpha1.ReasonDegraded, "%s takes writes, but no standby is in step", status.Primary)
	case v.ok:
		v.message = fmt.Sprintf("%s takes writes, %d of %d instances are ready", status.Primary, status.ReadyInstances, status.Instances)
	}
	return v
}

func externalDatabase(in Input) verdict {
	const kind = v1alpha1.ConditionDatabaseReady
	name := in.App.Spec.Database.External.SecretName
	if !in.Observed.External.Exists {
		v := bad(kind, v1alpha1.ReasonSecretMissing, "Secret %s (database.external.secretName) does not exist; create it with a key uri", name)
		v.lasting = true
		return v
	}
	if slices.Contains(in.Observed.External.Keys, "uri") {
		return good(kind, fmt.Sprintf("bound to the database that Secret %s names", name))
	}
	v := bad(kind, v1alpha1.ReasonSecretIncomplete, "Secret %s (database.external.secretName) has no key uri; add it: postgres://USER:PASSWORD@HOST:PORT/DATABASE", name)
	v.lasting = true
	return v
}

func databaseStatus(in Input) *v1alpha1.DatabaseStatus {
	if in.App.Spec.Database == nil || in.App.Spec.Database.Postgres == nil {
		return nil
	}
	status := &v1alpha1.DatabaseStatus{Instances: in.App.Spec.Database.Postgres.Instances}
	leader := ""
	if record := in.Observed.ConfigMap(naming.DatabaseLeader(in.App)); record != nil {
		leader = record.Annotations["leader"]
	}
	for _, pod := range in.Observed.PodsWith(naming.Selector(in.App, naming.ComponentDatabase)) {
		if !Serving(pod) {
			continue
		}
		status.ReadyInstances++
		// Both must say so: a node that froze keeps its label, and a leader record outlives its pod.
		if pod.Labels[naming.LabelRole] == "primary" && pod.Name == leader {
			status.Primary = pod.Name
		}
	}
	if record := in.Observed.ConfigMap(naming.DatabaseSync(in.App)); record != nil && status.Primary != "" {
		for name := range strings.SplitSeq(record.Annotations["sync_standby"], ",") {
			if name != "" {
				status.Synchronous = append(status.Synchronous, name)
			}
		}
	}
	return status
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
