package status

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/database"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// databaseReady is the condition DatabaseReady: the database takes writes, all its members are in step, and
// nothing is being changed.
func databaseReady(in Input) verdict {
	const kind = v1alpha1.ConditionDatabaseReady
	spec := in.App.Spec.Database
	switch {
	case spec == nil:
		return verdict{}
	case spec.External != nil:
		return externalDatabase(in)
	}
	if v, stands := restoreObstacle(in); stands {
		return v
	}
	v := members(in, server{
		kind: kind, name: naming.Database(in.App), component: naming.ComponentDatabase,
		wanted: spec.Postgres.Instances, class: spec.Postgres.Storage.StorageClassName, ordered: true,
	})
	status, d := databaseStatus(in), in.Database
	switch {
	case !v.ok && status.ReadyInstances > 0 && status.Primary != "":
		v.message = fmt.Sprintf("%s takes writes, but %s", status.Primary, v.message)
	case d != nil && d.NoLeader != "" && (in.App.Status.Rollout.Stable != nil || d.Stuck || d.Overdue): // no news at the first start
		v = leaderless(v, d)
	case v.ok && status.Primary == "":
		v = bad(kind, v1alpha1.ReasonUnavailable, "no instance is the primary")
	case v.ok && len(status.Synchronous) == 0 && spec.Postgres.Instances > 1 &&
		spec.Postgres.Durability != v1alpha1.DurabilityAsynchronous:
		v = bad(kind, v1alpha1.ReasonDegraded, "%s takes writes, but no standby is in step", status.Primary)
	case v.ok && d != nil && d.State == database.StateDegraded:
		v = bad(kind, v1alpha1.ReasonDegraded, "%s takes writes, but %s", status.Primary, d.Reason)
	case v.ok:
		v.message = fmt.Sprintf("%s takes writes, %d of %d instances are ready", status.Primary, status.ReadyInstances, status.Instances)
		v = pooled(in, v)
	}
	return changing(unjudged(in, troubled(v, status, d)), status, d)
}

// leaderless says that nobody takes the writes. A person need not look while it is an election in its first seconds.
func leaderless(v verdict, d *database.Decision) verdict {
	if v.ok {
		v = bad(v.kind, v1alpha1.ReasonUnavailable, "%s", d.NoLeader)
	} else {
		v.message += "; " + d.NoLeader
	}
	if d.Stuck || d.Overdue {
		v.message += runbook("database-no-leader")
	}
	return v
}

// troubled says what a member lacks that needs a person.
func troubled(v verdict, status *v1alpha1.DatabaseStatus, d *database.Decision) verdict {
	if d == nil || d.Trouble == "" {
		return v
	}
	switch {
	case v.ok, v.reason == v1alpha1.ReasonDegraded:
		v = bad(v.kind, v1alpha1.ReasonDegraded, "%s", d.Trouble)
		if status.Primary != "" {
			v.message = status.Primary + " is the primary, but " + v.message
		}
	case status.Primary != "":
		v.reason, v.message = v1alpha1.ReasonDegraded, v.message+"; "+d.Trouble
	default:
		v.message += "; " + d.Trouble
	}
	v.message += runbook(d.Runbook)
	v.lasting = v.lasting || len(d.Lost) > 0 && status.Primary != ""
	return v
}

// unjudged says that changed settings wait for PostgreSQL's word.
func unjudged(in Input, v verdict) verdict {
	if !v.ok || in.Unjudged == "" {
		return v
	}
	return bad(v.kind, v1alpha1.ReasonProgressing, "%s; its new settings wait until PostgreSQL has judged them: %s", v.message, in.Unjudged)
}

// runbook is where a person finds what to do.
func runbook(name string) string { return "; see docs/runbooks/" + name + ".md" }

// changing adds to a verdict what is being changed.
func changing(v verdict, status *v1alpha1.DatabaseStatus, d *database.Decision) verdict {
	if d == nil || d.Kind == "" || status.Primary == "" {
		return v
	}
	message := d.Reason
	if o := status.Operation; o != nil && o.Message != "" {
		message += ": " + o.Message
	}
	switch {
	case d.Lasting:
		v.ok, v.reason, v.lasting = false, v1alpha1.ReasonChangeFailed, true
		message += runbook("database-change-failed")
	case v.ok:
		v.ok, v.reason = false, v1alpha1.ReasonProgressing
	}
	v.message += "; " + message
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

// databaseStatus is the state of the database that the operator runs.
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
		var said struct {
			Timeline int64 `json:"timeline"`
			Pending  bool  `json:"pending_restart"`
		}
		_ = json.Unmarshal([]byte(pod.Annotations["status"]), &said) // what cannot be read says nothing
		if said.Pending {
			status.PendingRestart = append(status.PendingRestart, pod.Name)
		}
		if !Serving(pod) {
			continue
		}
		status.ReadyInstances++
		// Both must say so: a node that froze keeps its label, and a leader record outlives its pod.
		if pod.Labels[naming.LabelRole] == "primary" && pod.Name == leader {
			status.Primary, status.Timeline = pod.Name, said.Timeline
		}
	}
	if record := in.Observed.ConfigMap(naming.DatabaseSync(in.App)); record != nil && status.Primary != "" {
		for name := range strings.SplitSeq(record.Annotations["sync_standby"], ",") {
			if name != "" {
				status.Synchronous = append(status.Synchronous, name)
			}
		}
	}
	if in.Database != nil {
		status.Lost = in.Database.Lost
	}
	status.Backup = backupStatus(in)
	status.Operation = operation(in)
	status.HandledAction, status.RefusedMessage = handledAction(in)
	return status
}

// operation is the change that is under way. When it began, and how often it failed, is that of the stored
// one as long as it is the same change.
func operation(in Input) *v1alpha1.OperationStatus {
	d := in.Database
	if d == nil || d.Kind == "" {
		return nil
	}
	now := metav1.NewTime(in.Observed.Now)
	o := &v1alpha1.OperationStatus{Kind: d.Kind, Target: d.Target, Reason: d.Reason, StartedTime: &now}
	if stored := in.App.Status.Database; stored != nil && stored.Operation != nil &&
		stored.Operation.Kind == o.Kind && stored.Operation.Target == o.Target {
		before := stored.Operation
		o.StartedTime = before.StartedTime
		if before.ObservedGeneration == in.App.Generation {
			o.Action, o.Failures, o.FailedTime = before.Action, before.Failures, before.FailedTime
			o.Message, o.ObservedGeneration = before.Message, before.ObservedGeneration
		}
	}
	return o
}

// handledAction is the person's word that has had its answer, and why it was refused, if it was.
func handledAction(in Input) (word, refused string) {
	word = in.App.Annotations[naming.AnnotationDatabaseAction]
	stored := in.App.Status.Database
	switch {
	case word == "":
		return "", ""
	case in.Database != nil && in.Database.Handled:
		return word, in.Database.Refused
	case stored != nil:
		return stored.HandledAction, stored.RefusedMessage
	default:
		return "", ""
	}
}

// WithFailedAction is the status with an action on the database that failed.
func WithFailedAction(status v1alpha1.ScalableAppStatus, action, message string, now metav1.Time) v1alpha1.ScalableAppStatus {
	out := *status.DeepCopy()
	if out.Database == nil || out.Database.Operation == nil {
		return out
	}
	o := out.Database.Operation
	if o.Action != action {
		o.Failures = 0
	}
	o.Action, o.Failures, o.FailedTime, o.Message, o.ObservedGeneration = action, o.Failures+1, &now, message, out.ObservedGeneration
	return out
}
