package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

func (o *options) undoCommand() *cobra.Command {
	var to string
	var clear, force bool
	command := &cobra.Command{
		Use:   "undo NAME [--to NUMBER|REVISION]",
		Short: "Take an app back to an earlier revision: image, settings and configuration",
		Long: `Take an app back to an earlier revision, with its image, its settings and the content of the ConfigMaps
that it refers to, as they were.

While a rollout is on its way, that is the stable revision; otherwise the newest one before it that was
rolled out in full once and differs in more than a restart. --to names another (see history).

The spec stays as it is, so that whoever owns it (you, or a tool that applies it from git) is not
written over: an annotation says which revision runs instead. A new version of spec.app ends it, and
so does --clear.`,
		Example: `  kubectl scalableapp undo shop
  kubectl scalableapp undo shop --to 2
  kubectl scalableapp undo shop --clear`,
		Args: oneName,
	}
	w := o.writes(command, "undone")
	command.Flags().StringVar(&to, "to", "", "The number or the name of the revision to go back to.")
	command.Flags().BoolVar(&clear, "clear", false, "End an undo: run again what the spec asks for.")
	command.Flags().BoolVar(&force, "force", false, "Go back over a migration that is not rollbackSafe.")
	command.MarkFlagsMutuallyExclusive("to", "clear")
	_ = command.RegisterFlagCompletionFunc("to", o.completeRevision) // fails only for an unknown flag
	command.RunE = func(command *cobra.Command, args []string) error {
		if clear {
			w.print.NamePrintFlags.Operation = "undo cleared"
			return w.write(command.Context(), args[0], clearUndo)
		}
		return w.write(command.Context(), args[0], undoFlags{to: to, force: force}.decide)
	}
	return command
}

func clearUndo(_ context.Context, _ *session, app *v1alpha1.ScalableApp) (object, string, error) {
	if app.Annotations[naming.AnnotationUndo] == "" {
		return nil, "", fmt.Errorf("nothing of %s is undone", app.Name)
	}
	said := ""
	if from := undone(app); from != "" {
		said = fmt.Sprintf("Revision %s, which the spec asks for, is rolled out again.\n", from)
	}
	return annotations(object{naming.AnnotationUndo: nil}), said, nil
}

type undoFlags struct {
	to    string
	force bool
}

func (f undoFlags) decide(ctx context.Context, s *session, app *v1alpha1.ScalableApp) (object, string, error) {
	wanted, err := s.wanted(ctx, app)
	if err != nil {
		return nil, "", err
	}
	history, err := s.history(ctx, app)
	if err != nil {
		return nil, "", err
	}
	target, err := chooseUndo(app, wanted.Name, history, f)
	if err != nil {
		return nil, "", err
	}
	return annotations(object{naming.AnnotationUndo: wanted.Name + ":" + target.Name}), undoWords(app, wanted.Name, target, history), nil
}

// chooseUndo finds the revision to go back to, or says why there is none. Wanted is the revision that
// the spec asks for.
func chooseUndo(app *v1alpha1.ScalableApp, wanted string, history []past, flags undoFlags) (*past, error) {
	if err := known(app, wanted); err != nil {
		return nil, err
	}
	target, err := undoTarget(app, history, flags.to)
	if err != nil {
		return nil, err
	}
	running := runningOf(app, wanted)
	switch {
	case target.Name == wanted && undone(app) == wanted:
		return nil, fmt.Errorf("revision %d is what the spec of %s asks for: `kubectl scalableapp undo %s --clear` runs it again",
			target.number, app.Name, app.Name)
	case target.Name == wanted, target.Name == running:
		return nil, fmt.Errorf("revision %d (%s) is what %s runs already, or is on the way to; `kubectl scalableapp history %s` lists the others",
			target.number, target.Name, app.Name, app.Name)
	}
	if unsafe := unsafeMigrations(history, target); len(unsafe) > 0 && !flags.force {
		return nil, fmt.Errorf("after revision %d the migration of revision %s has changed the database so that older ones may not work on it "+
			"(rollbackSafe: No). Deploy a new version that mends it, or go back all the same with --force", target.number, strings.Join(unsafe, ", "))
	}
	return target, nil
}

// known says whether the operator knows the revision that the spec asks for by the same name. If not, an
// undo would be an annotation that nobody heeds.
func known(app *v1alpha1.ScalableApp, wanted string) error {
	r := app.Status.Rollout
	stalled := meta.FindStatusCondition(app.Status.Conditions, v1alpha1.ConditionStalled)
	invalid := stalled != nil && stalled.Reason == v1alpha1.ReasonInvalidSpec // then status keeps the revision before
	switch {
	case r.Stable == nil && r.Candidate == nil:
		return fmt.Errorf("nothing of %s was rolled out yet, so there is nothing to go back to", app.Name)
	case app.Status.ObservedGeneration < app.Generation, invalid, wantedOf(r) == wanted, undone(app) == wanted, undoUnseen(app):
		return nil
	default:
		return fmt.Errorf("the spec of %s asks for revision %s, but the operator works on %s: a ConfigMap may have changed a moment ago (try again), "+
			"or this plugin is not of the operator's version (install the one that came with it)", app.Name, wanted, wantedOf(r))
	}
}

// runningOf is the revision that the app runs or is on the way to. What the operator has not seen yet
// counts.
func runningOf(app *v1alpha1.ScalableApp, wanted string) string {
	if from, to := undoOf(app); from == wanted && to != "" {
		return to
	}
	return wanted
}

// undoTarget is the revision that is asked for, or the one that is meant when none is named.
func undoTarget(app *v1alpha1.ScalableApp, history []past, asked string) (*past, error) {
	r := app.Status.Rollout
	switch {
	case asked != "":
		return namedRevision(app, history, asked)
	case r.Stable == nil:
		return nil, fmt.Errorf("%s has no stable revision yet to go back to; `kubectl scalableapp history %s` lists what there is", app.Name, app.Name)
	case r.Candidate != nil || app.Status.ObservedGeneration < app.Generation:
		return namedRevision(app, history, r.Stable.Revision)
	}
	stable := find(history, r.Stable.Revision)
	if stable == nil {
		return nil, fmt.Errorf("the stable revision %s of %s is not in the history; name the one to go back to with --to", r.Stable.Revision, app.Name)
	}
	var newest *past
	for i := range slices.Backward(history) {
		before := &history[i]
		neverRan := before.Inputs.App.Migration != nil && !before.migrated // no pod comes before the migration
		if before.number >= stable.number || neverRan || onlyRestarted(before.Inputs, stable.Inputs) {
			continue
		}
		if before.proven {
			return before, nil
		}
		if newest == nil {
			newest = before
		}
	}
	if newest != nil {
		return newest, nil // revisions of earlier operators are not marked
	}
	return nil, fmt.Errorf("there is no revision before %d (%s) to go back to; `kubectl scalableapp history %s` lists all",
		stable.number, stable.Inputs.App.Image, app.Name)
}

func namedRevision(app *v1alpha1.ScalableApp, history []past, asked string) (*past, error) {
	number, err := strconv.ParseInt(asked, 10, 64)
	var have []string
	for i := range history {
		if history[i].Name == asked || (err == nil && history[i].number == number) {
			return &history[i], nil
		}
		have = append(have, strconv.FormatInt(history[i].number, 10))
	}
	if len(have) == 0 {
		return nil, errors.New(app.Name + " has no history yet")
	}
	return nil, fmt.Errorf("%s has no revision %s in its history; there are %s", app.Name, asked, strings.Join(have, ", "))
}

// unsafeMigrations are the numbers of the revisions after the target whose migration the target may not
// work on. A revision in the history has at least begun to migrate, and half a migration counts.
func unsafeMigrations(history []past, target *past) []string {
	var unsafe []string
	for _, r := range history {
		m := r.Inputs.App.Migration
		if r.number > target.number && m != nil && m.RollbackSafe == v1alpha1.RollbackSafeNo {
			unsafe = append(unsafe, strconv.FormatInt(r.number, 10))
		}
	}
	return unsafe
}

// undoWords say what will happen.
func undoWords(app *v1alpha1.ScalableApp, wanted string, target *past, history []past) string {
	text := fmt.Sprintf("Revision %d (%s, %s) runs instead of what the spec asks for, ", target.number, target.Name, target.Inputs.App.Image)
	if from := find(history, wanted); from != nil {
		text += fmt.Sprintf("revision %d (%s, %s)", from.number, from.Name, from.Inputs.App.Image)
		if words, err := causes(from.Inputs, target.Inputs); err == nil && len(words) > 0 {
			text += ": " + strings.Join(words, ", ")
		}
	} else {
		text += wanted
	}
	text += ".\n"
	if !target.proven {
		text += "It is not known to have been rolled out in full, so it is rolled out with all steps and gates.\n"
	}
	return text + fmt.Sprintf("A new version of spec.app ends this, and so does `kubectl scalableapp undo %s --clear`.\n", app.Name)
}

// completeRevision offers the numbers of an app's revisions.
func (o *options) completeRevision(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s, app, err := o.open(command.Context(), args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	history, err := s.history(command.Context(), app)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, r := range slices.Backward(history) {
		out = append(out, cobra.CompletionWithDesc(strconv.FormatInt(r.number, 10), joined(r.Inputs.App.Image, roleOf(app, r.Name))))
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
