// Package controllers holds the one controller: it reads, lets the core decide, and writes.
package controllers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	recorder "k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/apply"
	"github.com/scalableapp/scalableapp-operator/internal/events"
	"github.com/scalableapp/scalableapp-operator/internal/observe"
	"github.com/scalableapp/scalableapp-operator/internal/plan"
	"github.com/scalableapp/scalableapp-operator/internal/status"
	"github.com/scalableapp/scalableapp-operator/internal/telemetry"
)

// Reconciler makes the cluster so as each ScalableApp wants it.
type Reconciler struct {
	Client   client.Client
	Observer *observe.Observer
	Executor *apply.Executor
	Recorder recorder.EventRecorder
	Config   plan.Config
	// Telemetry counts what becomes of rollouts; nil counts nothing.
	Telemetry *telemetry.Recorder
}

// Reconcile is one pass for one app.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	app := &v1alpha1.ScalableApp{}
	if err := r.Client.Get(ctx, req.NamespacedName, app); err != nil {
		if apierrors.IsNotFound(err) {
			r.Telemetry.Forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !app.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // its children have it as their owner and go with it
	}
	seen, err := r.Observer.Observe(ctx, app)
	if err != nil {
		unread := app.Status
		unread.ObservedGeneration = app.Generation // it is this spec that cannot be looked at
		return r.failed(ctx, app, unread, fmt.Errorf("observe: %w", err))
	}
	p := plan.Build(app, seen, r.Config)
	if details := log.FromContext(ctx).V(1); details.Enabled() { // else the words are not even made
		details.Info("Decided", "plan", p.String())
	}

	// The decision is stored before anything is done, so that a pass that is cut short is continued by
	// the next. A failure to write stays in status until a pass has written everything.
	recorded := p.Status
	failure := status.StoredFailure(app.Status)
	if failure != nil {
		recorded = status.WithFailure(p.Status, app.Status, *failure, metav1.NewTime(seen.Now))
	}
	if err := r.record(ctx, app, recorded); err != nil {
		return quiet(err)
	}
	if err := r.Executor.Execute(ctx, app, p); err != nil {
		return r.failed(ctx, app, p.Status, err)
	}
	if failure != nil {
		if err := r.record(ctx, app, p.Status); err != nil {
			return quiet(err)
		}
	}
	return ctrl.Result{RequeueAfter: p.Wake}, nil
}

// record stores a status, unless it is stored already, and emits the events of the transition that
// people can see in it: those, and not the ones to what was wanted, or a pass that fails would tell of
// the same success each time. Somebody else's write in between is a conflict:
// then the pass is made again with the newer object.
func (r *Reconciler) record(ctx context.Context, app *v1alpha1.ScalableApp, status v1alpha1.ScalableAppStatus) error {
	if sameStored(&app.Status, &status) {
		return nil
	}
	before := app.DeepCopy()
	app.Status = status
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, app, patch, client.FieldOwner("scalableapp-operator-status")); err != nil {
		return fmt.Errorf("store status: %w", err)
	}
	r.Telemetry.Observe(app, before.Status.Rollout, status.Rollout)
	for _, e := range events.Between(before.Status, status) {
		r.Recorder.Eventf(app, nil, e.Type, e.Reason, e.Action, "%s", e.Message)
	}
	return nil
}

// sameStored says whether two statuses read alike after they were stored: times are in whole seconds, of one
// zone.
func sameStored(a, b *v1alpha1.ScalableAppStatus) bool {
	one, errOne := json.Marshal(a)
	other, errOther := json.Marshal(b)
	return errOne == nil && errOther == nil && bytes.Equal(one, other)
}

// failed says in status why the pass could not do what it wanted, and has it tried again.
func (r *Reconciler) failed(
	ctx context.Context, app *v1alpha1.ScalableApp, wanted v1alpha1.ScalableAppStatus, err error,
) (ctrl.Result, error) {
	failure, known := explain(err)
	if !known {
		if failed := failedAction(err); failed != nil {
			stored := status.WithFailedAction(wanted, failed.Action.String(), failed.Err.Error(), metav1.NewTime(r.Observer.Now()))
			if recordErr := r.record(ctx, app, stored); recordErr != nil {
				return quiet(errors.Join(err, recordErr))
			}
		}
		return quiet(err) // it passes by itself: a conflict, an API server that is away
	}
	stored := status.WithFailure(wanted, app.Status, failure, metav1.NewTime(r.Observer.Now()))
	if recordErr := r.record(ctx, app, stored); recordErr != nil {
		return quiet(errors.Join(err, recordErr))
	}
	return ctrl.Result{}, err
}

// failedAction is the action on the data tier that failed, and not by meeting a newer object; nil is none.
func failedAction(err error) *apply.ActionError {
	for _, each := range unjoin(err) {
		var failed *apply.ActionError
		if errors.As(each, &failed) && !apierrors.IsConflict(each) {
			return failed
		}
	}
	return nil
}

// explain turns an error of the API server into words for status. Unknown errors pass by themselves.
func explain(err error) (status.Failure, bool) {
	for _, each := range unjoin(err) {
		var conflict *apply.ConflictError
		switch {
		case errors.As(each, &conflict):
			return status.Failure{Reason: v1alpha1.ReasonNameConflict, Message: conflict.Error()}, true
		case apierrors.IsForbidden(each) && strings.Contains(each.Error(), "exceeded quota"):
			return status.Failure{Reason: v1alpha1.ReasonQuotaExceeded, Message: each.Error()}, true
		case apierrors.IsForbidden(each):
			return status.Failure{Reason: v1alpha1.ReasonForbidden, Message: each.Error()}, true
		case apierrors.IsInvalid(each), apierrors.IsBadRequest(each):
			return status.Failure{Reason: v1alpha1.ReasonRefused, Message: each.Error()}, true
		}
	}
	return status.Failure{}, false
}

// unjoin are the errors that were joined, and those joined in them.
func unjoin(err error) []error {
	var joined interface{ Unwrap() []error }
	if _, action := err.(*apply.ActionError); action || !errors.As(err, &joined) { //nolint:errorlint // one that wraps an action is not one
		return []error{err}
	}
	var all []error
	for _, each := range joined.Unwrap() {
		all = append(all, unjoin(each)...)
	}
	return all
}

// quiet has a pass made again without an error in the log when it only met a newer object.
func quiet(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: retryConflict}, nil
	}
	return ctrl.Result{}, err
}
