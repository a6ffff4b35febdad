package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rotation"
)

// rotateCommand has passwords exchanged.
func (o *options) rotateCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "rotate NAME [CREDENTIAL...]",
		Short: "Exchange passwords of the data tier while the app serves",
		Long: `Exchange passwords of the data tier while the app serves.

A CREDENTIAL is one of
  app          what the app logs in to its database with (the default)
  replication  what the members of the database follow each other with
  superuser    the database's superuser
  sessions     what the app logs in to its session store with
  cache        what the app logs in to its cache with

The new password is let in everywhere before anybody uses it, and the old one ends when nobody can have it any
more. For app, sessions and cache the app's pods are replaced as spec.rollout says, with all its steps and gates.`,
		Example: `  kubectl scalableapp rotate shop
  kubectl scalableapp rotate shop app replication superuser
  kubectl scalableapp rotate shop && kubectl scalableapp status shop --wait`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("%s takes the name of one ScalableApp; usage: %s", command.CommandPath(), command.UseLine())
			}
			for _, name := range args[1:] {
				if !slices.Contains(rotation.Names, name) {
					return fmt.Errorf("%q is not understood; what can be rotated: %s", name, strings.Join(rotation.Names, ", "))
				}
			}
			return nil
		},
	}
	w := o.writes(command, "rotation requested")
	command.ValidArgsFunction = func(command *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return o.completeName(command, args, toComplete)
		}
		return rotation.Names, cobra.ShellCompDirectiveNoFileComp
	}
	command.RunE = func(command *cobra.Command, args []string) error {
		names := args[1:]
		if len(names) == 0 {
			names = []string{rotation.App}
		}
		return w.write(command.Context(), args[0], func(_ context.Context, _ *session, app *v1alpha1.ScalableApp) (object, string, error) {
			if err := canRotate(app, names); err != nil {
				return nil, "", err
			}
			word := strings.Join(names, ",") + ":" + strconv.FormatInt(time.Now().Unix(), 36)
			return annotations(object{naming.AnnotationRotate: word}), fmt.Sprintf("Watch it with `kubectl scalableapp get %s -w`.\n", app.Name), nil
		})
	}
	return command
}

// canRotate refuses what the operator would refuse or hold, before anything is written.
func canRotate(app *v1alpha1.ScalableApp, names []string) error {
	for _, name := range names {
		if err := rotation.Impossible(app, name); err != nil {
			return err
		}
	}
	has := func(wanted ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(wanted, name) })
	}
	pods := has(rotation.App, rotation.Sessions, rotation.Cache)
	stage := app.Status.Rollout.Stage
	switch under := rotates(app); {
	case app.DeletionTimestamp != nil:
		return fmt.Errorf("%s is being deleted", app.Name)
	case isPaused(app):
		return fmt.Errorf("%s is paused: nothing would happen; `kubectl scalableapp resume %s` first", app.Name, app.Name)
	case under != "":
		return fmt.Errorf("a rotation is under way (%s); wait for its end: `kubectl scalableapp status %s --wait`", under, app.Name)
	case rotationUnseen(app):
		return fmt.Errorf("a rotation was asked for already (%s), and the operator has not acted on it yet", app.Annotations[naming.AnnotationRotate])
	case has(rotation.App, rotation.Replication, rotation.Superuser) && (app.Status.Database == nil || app.Status.Database.Primary == ""):
		return fmt.Errorf("the database of %s has no primary at present; see `kubectl scalableapp get %s`", app.Name, app.Name)
	case pods && undone(app) != "":
		return fmt.Errorf("%s asks for revision %s, which was undone, and a rotation would roll it out again: "+
			"set the spec to what shall run first (set image), or `kubectl scalableapp undo %s --clear`", app.Name, undone(app), app.Name)
	case pods && stage != v1alpha1.StageStable:
		return fmt.Errorf("%s has a rollout that is not at its end (%s), and a rotation replaces all pods; see `kubectl scalableapp status %s`",
			app.Name, stage, app.Name)
	}
	return nil
}

// rotates is what of an app is being rotated, "" is nothing.
func rotates(app *v1alpha1.ScalableApp) string {
	for _, c := range app.Status.Credentials {
		if c.Phase != rotation.PhaseDone {
			return c.Name + " " + c.Phase
		}
	}
	return ""
}

// rotationUnseen says whether the operator has yet to act on a request.
func rotationUnseen(app *v1alpha1.ScalableApp) bool {
	text := app.Annotations[naming.AnnotationRotate]
	return text != "" && (app.Status.Rotation == nil || app.Status.Rotation.HandledRequest != text)
}

// refusedRotation says what became of a request that was refused.
func refusedRotation(app *v1alpha1.ScalableApp) string {
	if r := app.Status.Rotation; r != nil && r.RefusedMessage != "" {
		return fmt.Sprintf(" The rotation %s was refused: %s.", r.HandledRequest, sentence(r.RefusedMessage))
	}
	return ""
}

// credentialsNode are the rotations that are under way.
func credentialsNode(app *v1alpha1.ScalableApp) *node {
	n := &node{cells: []string{"credentials"}}
	for _, c := range app.Status.Credentials {
		if c.Phase != rotation.PhaseDone {
			n.add(&node{cells: []string{c.Name, c.Phase, c.Message}})
		}
	}
	if refused := refusedRotation(app); refused != "" {
		n.cells = append(n.cells, "", strings.TrimSpace(refused))
	}
	if len(n.kids) == 0 && len(n.cells) == 1 {
		return nil
	}
	return n
}
