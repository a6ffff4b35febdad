package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rollout"
)

func (o *options) promoteCommand() *cobra.Command {
	var full bool
	command := &cobra.Command{
		Use:   "promote NAME [--full]",
		Short: "Let a rollout go on: past the approval, the pause and the gates of its step",
		Long: `Let a rollout go on from the step that it is at, past its pause, its approval and its gates that have not
passed yet. At the next step its gates are asked anew, and one that fails takes the app back.

With --full it goes on to the end, past all steps and gates. Pods and traffic still count: no traffic
goes to pods that do not serve.

What is meant is the revision, the attempt and the step that are seen when the command is run; it can
never hit another.`,
		Example: `  kubectl scalableapp promote shop
  kubectl scalableapp promote shop --full`,
		Args: oneName,
	}
	w := o.writes(command, "promoted")
	command.Flags().BoolVar(&full, "full", false, "Go on to the end, past all steps and gates.")
	command.RunE = func(command *cobra.Command, args []string) error {
		return w.write(command.Context(), args[0], func(_ context.Context, _ *session, app *v1alpha1.ScalableApp) (object, string, error) {
			return promote(app, full)
		})
	}
	return command
}

func (o *options) abortCommand() *cobra.Command {
	var force bool
	command := &cobra.Command{
		Use:   "abort NAME [--force]",
		Short: "Give a rollout up: the traffic goes back to the stable revision",
		Long: `Give a rollout up: the traffic goes back to the stable revision, and then the new revision's pods go.
It is not tried again before retry or a new version of spec.app.

A revision whose migration is not rollbackSafe has changed the database so that the stable one may not
work on it: going back then takes --force.`,
		Example: "  kubectl scalableapp abort shop",
		Args:    oneName,
	}
	w := o.writes(command, "aborted")
	command.Flags().BoolVar(&force, "force", false, "Go back over a migration that is not rollbackSafe.")
	command.RunE = func(command *cobra.Command, args []string) error {
		return w.write(command.Context(), args[0], func(ctx context.Context, s *session, app *v1alpha1.ScalableApp) (object, string, error) {
			if force || app.Status.Rollout.Candidate == nil {
				return abort(app, nil, force)
			}
			history, err := s.history(ctx, app)
			if err != nil {
				return nil, "", err
			}
			return abort(app, history, false)
		})
	}
	return command
}

func (o *options) retryCommand() *cobra.Command {
	command := &cobra.Command{
		Use:     "retry NAME",
		Short:   "Try a revision again that has failed or was aborted",
		Long:    "Try a revision again that has failed or was aborted: from its first step, with all its gates.",
		Example: "  kubectl scalableapp retry shop",
		Args:    oneName,
	}
	w := o.writes(command, "to be tried again")
	command.RunE = func(command *cobra.Command, args []string) error {
		return w.write(command.Context(), args[0], func(_ context.Context, _ *session, app *v1alpha1.ScalableApp) (object, string, error) {
			return retry(app)
		})
	}
	return command
}

// promote decides whether a rollout may be told to go on.
func promote(app *v1alpha1.ScalableApp, full bool) (object, string, error) {
	r := app.Status.Rollout
	switch {
	case unfit(app) != nil:
		return nil, "", unfit(app)
	case r.Candidate == nil:
		return nil, "", fmt.Errorf("nothing of %s is rolled out, so there is nothing to promote; `kubectl scalableapp status %s` says how it is", app.Name, app.Name)
	case frozen(app) && full:
		// Its traffic was left where it is, so it can go on from there.
	case failed(app):
		return nil, "", fmt.Errorf("%s does not go on: it failed%s. `kubectl scalableapp retry %s` tries it again from its first step",
			people(r.Candidate), failureWords(r), app.Name)
	case !full && r.StepStartedTime == nil:
		return nil, "", fmt.Errorf("%s waits for no person%s. promote passes over the pause, the approval and the gates of a step, not over pods and "+
			"traffic: wait (`kubectl scalableapp status %s --wait`), or pass over all that follows with --full", at(r), because(r), app.Name)
	case !full:
		return speak(app, rollout.VerbPromote, promoteWords(app))
	}
	return speak(app, rollout.VerbPromoteFull, fmt.Sprintf(
		"%s takes over in full, past all steps, pauses, approvals and gates. Pods and traffic still count: it gets traffic as its pods serve.\n",
		people(r.Candidate)))
}

func promoteWords(app *v1alpha1.ScalableApp) string {
	r := app.Status.Rollout
	next := "it is the last: then the new revision is the stable one"
	if r.Step < r.Steps {
		next = fmt.Sprintf("step %d follows", r.Step+1)
		if steps := knownSteps(app); steps != nil {
			next += " (" + share(steps[r.Step]) + ")"
		}
	}
	text := fmt.Sprintf("%s goes on past what is left of its pause, its approval and its gates; %s.\n", at(r), next)
	var open []string
	for _, gate := range r.Gates {
		if gate.Verdict != v1alpha1.VerdictPass {
			open = append(open, gate.Name)
		}
	}
	if len(open) > 0 {
		text += fmt.Sprintf("Passed over although they have not passed: %s.\n", strings.Join(open, ", "))
	}
	return text
}

// abort decides whether a rollout may be given up. With force the history is not asked, so that it works with
// few rights too.
func abort(app *v1alpha1.ScalableApp, history []past, force bool) (object, string, error) {
	r := app.Status.Rollout
	switch {
	case app.DeletionTimestamp != nil:
		return nil, "", fmt.Errorf("%s is being deleted", app.Name)
	case r.Candidate == nil:
		return nil, "", fmt.Errorf("nothing of %s is rolled out, so there is nothing to abort; `kubectl scalableapp undo %s` goes back to an earlier revision",
			app.Name, app.Name)
	case r.Stable == nil:
		return nil, "", fmt.Errorf("%s is the first of %s: there is none to go back to. Deploy another version (set image), or none: kubectl scale scalableapp %s --replicas=0",
			people(r.Candidate), app.Name, app.Name)
	case frozen(app) && !force:
		return nil, "", fmt.Errorf("%s has failed, and its migration is not rollbackSafe: %s may not work on the database as it is now. "+
			"Deploy a new version that mends it, `kubectl scalableapp retry %s`, or go back all the same with --force", people(r.Candidate), people(r.Stable), app.Name)
	case r.Stage == v1alpha1.StageAborting && !force:
		return nil, "", fmt.Errorf("%s goes back already%s; --force has it not wait for pods of the revision before", app.Name, failureWords(r))
	case r.Stage == v1alpha1.StageAborting:
	case failed(app) && !frozen(app):
		return nil, "", fmt.Errorf("%s failed already%s. `kubectl scalableapp retry %s` tries it again, or set a new image", people(r.Candidate), failureWords(r), app.Name)
	case !force && oneWay(r, history):
		return nil, "", fmt.Errorf("the migration of %s has changed the database so that %s may not work on it (rollbackSafe: No). "+
			"Deploy a new version that mends it, or go back all the same with --force", people(r.Candidate), people(r.Stable))
	}
	verb := rollout.VerbAbort
	if force {
		verb = rollout.VerbAbortForce
	}
	return speak(app, verb, fmt.Sprintf("The traffic goes back to %s, then the pods of %s go.\n"+
		"It is not tried again before `kubectl scalableapp retry %s` or a new version of spec.app.\n", people(r.Stable), people(r.Candidate), app.Name))
}

// oneWay says whether the candidate's migration has at least begun, and the stable revision may not work on
// what it makes of the database. An older candidate, of an undo, has migrated before the stable one.
func oneWay(r v1alpha1.RolloutStatus, history []past) bool {
	candidate := find(history, r.Candidate.Revision) // it is in the history before its migration begins
	if candidate == nil || candidate.number < r.Stable.Number {
		return false
	}
	m := candidate.Inputs.App.Migration
	return m != nil && m.RollbackSafe == v1alpha1.RollbackSafeNo
}

// retry decides whether a revision may be tried again.
func retry(app *v1alpha1.ScalableApp) (object, string, error) {
	r := app.Status.Rollout
	switch {
	case unfit(app) != nil:
		return nil, "", unfit(app)
	case r.Candidate == nil:
		return nil, "", fmt.Errorf("nothing of %s has failed; `kubectl scalableapp restart %s` replaces the pods of what runs", app.Name, app.Name)
	case !failed(app) && r.Stage == v1alpha1.StageFailed: // the first of all
		return nil, "", fmt.Errorf("%s is not given up, because there is none before it: it goes on by itself when what it lacks is there%s",
			people(r.Candidate), because(r))
	case !failed(app):
		return nil, "", fmt.Errorf("%s has not failed, so there is nothing to try again%s", people(r.Candidate), because(r))
	}
	from := "its first step"
	if frozen(app) {
		from = "the step where it has kept its traffic"
	}
	return speak(app, rollout.VerbRetry, fmt.Sprintf("%s is tried again from %s, with all its gates. Before, it failed%s.\n",
		people(r.Candidate), from, failureWords(r)))
}

// unfit says why no rollout of an app can be steered at the moment, or nil.
func unfit(app *v1alpha1.ScalableApp) error {
	switch {
	case app.DeletionTimestamp != nil:
		return fmt.Errorf("%s is being deleted", app.Name)
	case app.Status.ObservedGeneration < app.Generation:
		return fmt.Errorf("%s was changed, and the operator has not seen it yet: what is rolled out may be another revision in a moment. Look at it and "+
			"try again", app.Name)
	default:
		return nil
	}
}

// failed says whether the candidate is given up.
func failed(app *v1alpha1.ScalableApp) bool {
	return app.Status.Rollout.Candidate != nil && app.Status.Rollout.Failure != nil
}

// frozen says whether a failed candidate keeps its traffic, because of its migration.
func frozen(app *v1alpha1.ScalableApp) bool {
	stalled := meta.FindStatusCondition(app.Status.Conditions, v1alpha1.ConditionStalled)
	return failed(app) && stalled != nil && stalled.Reason == v1alpha1.ReasonRollbackUnsafe
}

// speak is the write of a person's word, unless it was said already.
func speak(app *v1alpha1.ScalableApp, verb, said string) (object, string, error) {
	r := app.Status.Rollout
	text := word(verb, r)
	unheard := unheardVerb(app)
	switch {
	case r.HandledAction == text:
		return nil, "", fmt.Errorf("%s was asked for already, and the operator has heard it%s", verb, because(r))
	case unheard == verb:
		return nil, "", fmt.Errorf("%s was asked for already, and the operator has not acted on it yet: does it run, and is %s not paused?", verb, app.Name)
	case strings.HasPrefix(unheard, rollout.VerbAbort) && !strings.HasPrefix(verb, rollout.VerbAbort):
		return nil, "", fmt.Errorf("%s is to be aborted, and the operator has not acted on it yet; nothing goes before that", people(r.Candidate))
	}
	return annotations(object{naming.AnnotationAction: text}), said, nil
}

// word is a person's word about the rollout as it stands. It names what it means, so that it can hit nothing
// else.
func word(verb string, r v1alpha1.RolloutStatus) string {
	text := fmt.Sprintf("%s:%s:%d", verb, r.Candidate.Revision, r.Attempt)
	if verb == rollout.VerbPromote {
		text += fmt.Sprintf(":%d", r.Step)
	}
	return text
}

// unheardVerb is the verb of a word about the rollout as it stands that the operator has not acted on, or
// empty. What was said of another revision or step is nobody's business any more.
func unheardVerb(app *v1alpha1.ScalableApp) string {
	r, said := app.Status.Rollout, app.Annotations[naming.AnnotationAction]
	if r.Candidate == nil || said == "" || said == r.HandledAction {
		return ""
	}
	for _, verb := range []string{rollout.VerbPromote, rollout.VerbPromoteFull, rollout.VerbAbort, rollout.VerbAbortForce, rollout.VerbRetry} {
		if said == word(verb, r) {
			return verb
		}
	}
	return ""
}

// people is a revision as people speak of it.
func people(r *v1alpha1.RevisionStatus) string {
	return fmt.Sprintf("revision %d (%s, %s)", r.Number, r.Revision, r.Image)
}

// at is where the rollout stands.
func at(r v1alpha1.RolloutStatus) string {
	if r.Steps == 0 {
		return people(r.Candidate)
	}
	return fmt.Sprintf("step %d of %d of %s", r.Step, r.Steps, people(r.Candidate))
}

// because is what the rollout does or waits for, as the end of a sentence.
func because(r v1alpha1.RolloutStatus) string {
	if r.Message == "" {
		return ""
	}
	return " (" + sentence(r.Message) + ")"
}

func failureWords(r v1alpha1.RolloutStatus) string {
	switch {
	case r.Failure == nil:
		return because(r)
	case r.Failure.Message == "":
		return " (" + r.Failure.Reason + ")"
	default:
		return fmt.Sprintf(" (%s: %s)", r.Failure.Reason, sentence(r.Failure.Message))
	}
}
