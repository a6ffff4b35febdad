// Package status makes the whole new status of an app in one value: one function for each condition,
// recomputed in every pass from what was seen.
package status

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/database"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rollout"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// Input is all that the status is made from.
type Input struct {
	App      *v1alpha1.ScalableApp
	Observed *state.Observed
	// Desired is the number of app pods that shall serve.
	Desired int32
	// Rollout is what was decided about the rollout.
	Rollout rollout.Decision
	// Database is what was decided about the database; nil without one that the operator runs.
	Database *database.Decision
	// Unjudged is why PostgreSQL has not judged its new settings yet, "" if nothing waits for that.
	Unjudged string
	// RedisChange is what is still to be done to a Redis, in words, by its StatefulSet's name.
	RedisChange map[string]string
	// RedisTrouble is what keeps its volumes from growing until a person helps.
	RedisTrouble map[string]string
	// BackupTrouble is what keeps the volume of the backups from growing until a person helps.
	BackupTrouble string
	// Rotation is what was decided about the rotations of credentials.
	Rotation Rotation
}

// verdict is the state of one component; the zero verdict means that the spec does not ask for it.
type verdict struct {
	kind    string
	ok      bool
	reason  string
	message string
	// lasting troubles do not pass by themselves.
	lasting bool
	// aside verdicts have a condition of their own, but no say in Ready.
	aside bool
}

func good(kind, message string) verdict {
	return verdict{kind: kind, ok: true, reason: v1alpha1.ReasonReady, message: message}
}

func bad(kind, reason, format string, args ...any) verdict {
	return verdict{kind: kind, reason: reason, message: fmt.Sprintf(format, args...)}
}

// Build makes the whole new status.
func Build(in Input) v1alpha1.ScalableAppStatus {
	status := v1alpha1.ScalableAppStatus{
		ObservedGeneration: in.App.Generation,
		App:                appStatus(in),
		Rollout:            in.Rollout.Status,
		Database:           databaseStatus(in),
		Sessions:           sessionsStatus(in),
		Cache:              cacheStatus(in),
		Credentials:        credentials(in),
		Rotation:           rotationStatus(in),
		Endpoints:          endpoints(in),
	}
	verdicts := []verdict{databaseReady(in), backupReady(in), sessions(in), cache(in),
		released(in), rotated(in), available(in), autoscaling(in), traffic(in)}
	ready := summary(in, verdicts)
	for _, conditions := range [][]verdict{{ready}, verdicts} {
		for _, v := range conditions {
			if v.kind != "" {
				set(&status, in, v)
			}
		}
	}
	switch {
	case ready.ok:
	case ready.lasting:
		ready.kind, ready.ok = v1alpha1.ConditionStalled, true
		set(&status, in, ready)
	default:
		ready.kind, ready.ok = v1alpha1.ConditionReconciling, true
		set(&status, in, ready)
	}
	return status
}

// set puts a condition into the new status. The time of its last transition is that of the stored
// condition as long as its status is the same.
func set(status *v1alpha1.ScalableAppStatus, in Input, v verdict) {
	condition := metav1.Condition{
		Type: v.kind, Status: metav1.ConditionFalse, Reason: v.reason, Message: v.message,
		ObservedGeneration: in.App.Generation, LastTransitionTime: metav1.NewTime(in.Observed.Now),
	}
	if v.ok {
		condition.Status = metav1.ConditionTrue
	}
	before := meta.FindStatusCondition(in.App.Status.Conditions, v.kind)
	if before != nil && before.Status == condition.Status {
		condition.LastTransitionTime = before.LastTransitionTime
	}
	status.Conditions = append(status.Conditions, condition)
}

// summary is the condition Ready: true when every part is, otherwise the first part that is not, those
// that need a person before those that pass by themselves.
func summary(in Input, verdicts []verdict) verdict {
	var first *verdict
	for i := range verdicts {
		v := &verdicts[i]
		if v.ok || v.reason == "" || v.aside {
			continue
		}
		if first == nil || (v.lasting && !first.lasting) {
			first = v
		}
	}
	if first == nil {
		return good(v1alpha1.ConditionReady, served(serving(in), in.Desired)+" "+image(in))
	}
	return verdict{kind: v1alpha1.ConditionReady, reason: first.reason, message: first.message, lasting: first.lasting}
}

// served is how many pods serve, in words. For a moment after a rollout they are more than are wanted.
func served(n, desired int32) string {
	if n > desired {
		return fmt.Sprintf("%d pods (%d more than wanted) serve", n, n-desired)
	}
	return fmt.Sprintf("%d of %d pods serve", n, desired)
}

// image is what runs: after an undo it is not what the spec names.
func image(in Input) string {
	if stable := in.Rollout.Status.Stable; stable != nil && stable.Image != "" {
		return stable.Image
	}
	return in.App.Spec.App.Image
}

// released is not a condition of its own: it is the rollout's share in Ready.
func released(in Input) verdict {
	if in.Rollout.Status.Stage == v1alpha1.StageStable {
		return complete(in)
	}
	return verdict{reason: in.Rollout.Reason, message: in.Rollout.Status.Message, lasting: in.Rollout.Stalled}
}

// complete says whether as many pods serve as are wanted.
func complete(in Input) verdict {
	n := serving(in)
	if n >= in.Desired {
		return verdict{ok: true}
	}
	v := bad("", v1alpha1.ReasonDegraded, "%d of %d pods serve", n, in.Desired)
	if trouble := PodTrouble(in.Observed.PodsWith(naming.Selector(in.App, naming.ComponentApp))); trouble.Message != "" {
		v.message += ": " + trouble.Message
	}
	return v
}

// serving is the number of pods that serve: ready pods of revisions that traffic is led to. Those that are
// only kept, for a look at a candidate or for the way back, do not count.
func serving(in Input) int32 {
	var n int32
	for _, pod := range in.Observed.PodsWith(naming.Selector(in.App, naming.ComponentApp)) {
		if Serving(pod) && led(in.Rollout.Status.Traffic, pod.Labels[naming.LabelRevision]) {
			n++
		}
	}
	return n
}

// led says whether traffic is led to a revision.
func led(t *v1alpha1.TrafficStatus, revision string) bool {
	return t == nil || t.Service == "" || slices.ContainsFunc(t.Backends, func(b v1alpha1.BackendStatus) bool {
		return b.Revision == revision && b.Weight > 0
	})
}

// available is the condition Available: the app serves, whichever revision does it.
func available(in Input) verdict {
	const kind = v1alpha1.ConditionAvailable
	n := serving(in)
	switch {
	case n >= in.Desired:
		return good(kind, served(n, in.Desired))
	case n > 0:
		// It serves, so Available is True; that pods are missing is said by Ready (see complete).
		return verdict{kind: kind, ok: true, reason: v1alpha1.ReasonDegraded, message: fmt.Sprintf("%d of %d pods serve", n, in.Desired)}
	default:
		v := bad(kind, v1alpha1.ReasonUnavailable, "no pod serves, %d are wanted", in.Desired)
		if trouble := PodTrouble(in.Observed.PodsWith(naming.Selector(in.App, naming.ComponentApp))); trouble.Message != "" {
			v.reason, v.message = trouble.Reason, v.message+": "+trouble.Message
		}
		return v
	}
}

func appStatus(in Input) v1alpha1.AppStatus {
	var pods int32
	for _, pod := range in.Observed.PodsWith(naming.Selector(in.App, naming.ComponentApp)) {
		if pod.DeletionTimestamp == nil {
			pods++
		}
	}
	n := serving(in)
	return v1alpha1.AppStatus{
		Replicas: pods, ReadyReplicas: n, Ready: fmt.Sprintf("%d/%d", n, in.Desired),
		Selector: labels.SelectorFromSet(naming.Selector(in.App, naming.ComponentApp)).String(),
	}
}

func endpoints(in Input) v1alpha1.EndpointsStatus {
	app := in.App
	address := func(service string, port int) string {
		return fmt.Sprintf("%s.%s.svc:%d", service, app.Namespace, port)
	}
	e := v1alpha1.EndpointsStatus{App: address(naming.Service(app), 80)}
	if c := in.Rollout.Status.Candidate; c != nil && c.Replicas > 0 {
		e.Preview = address(c.Revision, 80)
	}
	if app.Spec.Database != nil && app.Spec.Database.Postgres != nil {
		e.DatabaseReadWrite = address(naming.DatabaseReadWrite(app), 5432)
		e.DatabaseReadOnly = address(naming.DatabaseReadOnly(app), 5432)
		if wantsPooler(app) {
			e.DatabaseReadWrite = address(naming.Pooler(app, naming.PoolerReadWrite), 5432)
			e.DatabaseReadOnly = address(naming.Pooler(app, naming.PoolerReadOnly), 5432)
		}
	}
	if app.Spec.Sessions != nil && app.Spec.Sessions.External == nil {
		e.Sessions = address(naming.Sessions(app), 6379)
	}
	if app.Spec.Cache != nil && app.Spec.Cache.External == nil {
		e.Cache = address(naming.Cache(app), 6379)
	}
	return e
}
