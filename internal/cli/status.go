package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// forEver is the time of --wait without a duration.
const forEver = "0s"

func (o *options) statusCommand() *cobra.Command {
	var wait time.Duration
	command := &cobra.Command{
		Use:   "status NAME",
		Short: "Say in a sentence whether an app is ready, and if not why; the exit code says it too",
		Long: `Say in a sentence whether an app is ready, and if not why.

Exit codes:
  0  Ready
  1  it could not be looked at
  2  on the way (Reconciling), also when paused there, or --wait has run out
  3  it needs a person: Stalled, or a rollout that failed, or that waits for an approval or for gates that
     say nothing; it is said with which command

--wait waits until the app is Ready, paused, or needs a person; --wait=DURATION no longer than that.`,
		Example: `  kubectl scalableapp status shop
  kubectl scalableapp set image shop registry.example/shop:1.4.3 && kubectl scalableapp status shop --wait=10m`,
		Args:              oneName,
		ValidArgsFunction: o.completeName,
		RunE: func(command *cobra.Command, args []string) error {
			s, err := o.connect()
			if err != nil {
				return err
			}
			app, err := s.app(command.Context(), args[0])
			if err != nil {
				return err
			}
			if command.Flags().Changed("wait") {
				if app, err = o.waitFor(command.Context(), s, app, wait); err != nil {
					return err
				}
			}
			text, code := verdict(app)
			fmt.Fprintln(o.streams.Out, text)
			if code != ExitOK {
				return exitError(code)
			}
			return nil
		},
	}
	command.Flags().DurationVar(&wait, "wait", 0, "Wait until the app is Ready, paused or needs a person, no longer than this (--wait alone: as long as it takes).")
	command.Flags().Lookup("wait").NoOptDefVal = forEver
	return command
}

// waitFor follows an app until there is nothing to wait for, and returns what was seen last.
func (o *options) waitFor(ctx context.Context, s *session, app *v1alpha1.ScalableApp, limit time.Duration) (*v1alpha1.ScalableApp, error) {
	if settled(app) {
		return app, nil
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	watcher, changes, refused, err := s.follow(ctx, app.Name, nil)
	switch {
	case errors.Is(err, context.DeadlineExceeded): // before it could be looked at again
		return app, nil
	case err != nil:
		return nil, err
	}
	show := lines(o.streams.ErrOut, false)
	for {
		sights, err := look(ctx, watcher, s.namespace, app.Name, nil)
		if err != nil {
			return nil, err
		}
		if len(sights) == 0 {
			return nil, fmt.Errorf("%s was deleted", app.Name)
		}
		app = sights[0].app
		if settled(app) {
			return app, nil
		}
		show(sights)
		select {
		case <-ctx.Done():
			return app, nil
		case err := <-refused:
			return nil, err
		case <-changes:
		}
	}
}

// settled says whether waiting would change nothing: the app is ready, or it needs a person.
func settled(app *v1alpha1.ScalableApp) bool {
	_, code := verdict(app)
	return code != ExitProgressing || (isPaused(app) && app.Status.ObservedGeneration >= app.Generation)
}

func isPaused(app *v1alpha1.ScalableApp) bool { return app.Spec.Paused != nil && *app.Spec.Paused }

// verdict says how an app is in a paragraph, and with which exit code.
func verdict(app *v1alpha1.ScalableApp) (string, int) {
	say := func(code int, format string, args ...any) (string, int) {
		text := app.Name + " " + fmt.Sprintf(format, args...) + takeoverWords(app) + refusedRotation(app)
		if way := wayOut(app); way != "" && code == ExitStalled && !strings.Contains(text, "`kubectl scalableapp") {
			text += " The way on: " + way + "."
		}
		return text, code
	}
	ready := meta.FindStatusCondition(app.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case !app.DeletionTimestamp.IsZero():
		return say(ExitProgressing, "is being deleted.")
	case ready == nil:
		return say(ExitProgressing, "is new: the operator has not looked at it yet.")
	case app.Status.ObservedGeneration < app.Generation:
		return say(ExitProgressing, "was changed, and the operator has not seen it yet.")
	case undoUnseen(app):
		return say(ExitProgressing, "is to be taken back, and the operator has not seen it yet.")
	case unheardVerb(app) != "" && !isPaused(app):
		return say(ExitProgressing, "is told to %s, and the operator has not acted on it yet.", unheardVerb(app))
	case rotationUnseen(app) && !isPaused(app):
		return say(ExitProgressing, "is to rotate passwords, and the operator has not acted on it yet.")
	case meta.IsStatusConditionTrue(app.Status.Conditions, v1alpha1.ConditionStalled):
		return say(ExitStalled, "is Stalled (%s): %s.", ready.Reason, sentence(ready.Message))
	case needsPerson(app):
		return say(ExitStalled, "waits for a person (%s): %s.", reasonOf(app), sentence(messageOf(app)))
	case app.Status.Rollout.Stage == v1alpha1.StageAborting:
		return say(ExitProgressing, "goes back (%s): %s.", v1alpha1.StageAborting, sentence(messageOf(app)))
	case ready.Status == metav1.ConditionTrue:
		return say(ExitOK, "is Ready: %s.", sentence(ready.Message))
	default:
		return say(ExitProgressing, "is not ready yet (%s): %s.", ready.Reason, sentence(ready.Message))
	}
}

func sentence(s string) string { return strings.TrimRight(s, ". ") }

// undoUnseen says whether the operator has yet to act on an undo: an annotation is not part of the
// generation, so observedGeneration does not tell.
func undoUnseen(app *v1alpha1.ScalableApp) bool {
	from, to := undoOf(app)
	stalled := meta.FindStatusCondition(app.Status.Conditions, v1alpha1.ConditionStalled)
	refused := stalled != nil && stalled.Reason == v1alpha1.ReasonInvalidSpec // seen, but TO is not in the history
	return from != "" && from != to && wantedOf(app.Status.Rollout) == from && !refused
}

// wantedOf is the revision that the operator works towards, or has reached.
func wantedOf(r v1alpha1.RolloutStatus) string {
	switch {
	case r.Candidate != nil:
		return r.Candidate.Revision
	case r.Stable != nil:
		return r.Stable.Revision
	default:
		return ""
	}
}

// takeoverWords say which revision takes over from which, and what runs instead of what was asked for.
func takeoverWords(app *v1alpha1.ScalableApp) string {
	r := app.Status.Rollout
	text := ""
	if r.Candidate != nil && !failed(app) {
		text = fmt.Sprintf(" Revision %d (%s) is to take over", r.Candidate.Number, r.Candidate.Image)
		if r.Stable != nil {
			text += fmt.Sprintf(" from revision %d (%s)", r.Stable.Number, r.Stable.Image)
		}
		if r.Weight != nil {
			text += fmt.Sprintf(" and has %d%% of the traffic", *r.Weight)
		}
		text += "."
	}
	if from := undone(app); from != "" {
		text += fmt.Sprintf(" Revision %s, which the spec asks for, was undone.", from)
	}
	return text
}
