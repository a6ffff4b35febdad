package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// writer makes the one write of a command and prints its outcome as kubectl does.
type writer struct {
	o      *options
	dryRun string
	print  *genericclioptions.PrintFlags
}

// writes gives a command the flags of a command that writes.
func (o *options) writes(command *cobra.Command, done string) *writer {
	w := &writer{o: o, print: genericclioptions.NewPrintFlags(done).WithTypeSetter(scheme)}
	w.print.AddFlags(command)
	command.Flags().StringVar(&w.dryRun, "dry-run", "none", `"none"; "client": nothing is sent; or "server": the API server does all but store the change.`)
	command.ValidArgsFunction = o.completeName
	return w
}

// object is a part of an object, as JSON.
type object = map[string]any

// spec and annotations are the two places that commands write to.
func spec(part object) object { return object{"spec": part} }

func annotations(part object) object { return object{"metadata": object{"annotations": part}} }

// decision is what a command would write to an app that it has read, and what it says of it. An error is a
// refusal: then nothing is written.
type decision func(ctx context.Context, s *session, app *v1alpha1.ScalableApp) (changes object, said string, err error)

// tries is how often a write is tried that meets the operator's own writes to status.
const tries = 5

// write reads the app, has the command decide, and makes the one write. It holds only if nobody has
// changed the object since it was read. The operator writes status at any time; then the command is
// decided anew. But when the spec, the undo or the word about the rollout is another, the person has seen something else.
func (w *writer) write(ctx context.Context, name string, decide decision) error {
	s, err := w.o.connect()
	if err != nil {
		return err
	}
	printer, options, err := w.prepare() // before the write: a wrong flag must change nothing
	if err != nil {
		return err
	}
	var first *v1alpha1.ScalableApp
	for range tries {
		app, err := s.app(ctx, name)
		if err != nil {
			return err
		}
		if first == nil {
			first = app.DeepCopy()
		}
		if app.UID != first.UID || app.Generation != first.Generation ||
			app.Annotations[naming.AnnotationUndo] != first.Annotations[naming.AnnotationUndo] ||
			app.Annotations[naming.AnnotationAction] != first.Annotations[naming.AnnotationAction] {
			break
		}
		changes, said, err := decide(ctx, s, app)
		if err != nil {
			return err
		}
		if w.dryRun == "client" {
			err = mergeInto(app, changes)
		} else {
			err = s.patch(ctx, app, changes, options)
		}
		if apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			return err
		}
		return w.say(printer, app, said)
	}
	return fmt.Errorf("%s was changed by somebody else at the same moment, so nothing was written; look at it and run the command again", name)
}

// prepare reads the flags that say how to write and how to print.
func (w *writer) prepare() (printers.ResourcePrinter, []client.PatchOption, error) {
	options := []client.PatchOption{client.FieldOwner(fieldManager)}
	switch w.dryRun {
	case "none":
	case "client":
		if err := w.print.Complete("%s (dry run)"); err != nil {
			return nil, nil, err
		}
	case "server":
		options = append(options, client.DryRunAll)
		if err := w.print.Complete("%s (server dry run)"); err != nil {
			return nil, nil, err
		}
	default:
		return nil, nil, fmt.Errorf("--dry-run is none, client or server, not %q", w.dryRun)
	}
	printer, err := w.print.ToPrinter()
	return printer, options, err
}

// patch makes the write as a merge patch that holds only for the version that was read.
func (s *session) patch(ctx context.Context, app *v1alpha1.ScalableApp, changes object, options []client.PatchOption) error {
	metadata, _ := changes["metadata"].(object)
	if metadata == nil {
		metadata = object{}
	}
	metadata["resourceVersion"] = app.ResourceVersion
	changes["metadata"] = metadata
	raw, err := json.Marshal(changes)
	if err != nil {
		return err
	}
	return s.Patch(ctx, app, client.RawPatch(types.MergePatchType, raw), options...)
}

// mergeInto makes the change of a merge patch here, for a dry run that sends nothing.
func mergeInto(app *v1alpha1.ScalableApp, changes object) error {
	before, err := json.Marshal(app)
	if err != nil {
		return err
	}
	patch, err := json.Marshal(changes)
	if err != nil {
		return err
	}
	after, err := jsonpatch.MergePatch(before, patch)
	if err != nil {
		return err
	}
	*app = v1alpha1.ScalableApp{}
	return json.Unmarshal(after, app)
}

// say prints the outcome as kubectl does. What is said goes to the person, not into output that a program
// reads.
func (w *writer) say(printer printers.ResourcePrinter, app *v1alpha1.ScalableApp, said string) error {
	app.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ScalableApp"))
	if err := printer.PrintObj(app, w.o.streams.Out); err != nil {
		return err
	}
	out := w.o.streams.Out
	if *w.print.OutputFormat != "" {
		out = w.o.streams.ErrOut
	}
	if isPaused(app) {
		said += fmt.Sprintf("%s is paused: nothing happens before `kubectl scalableapp resume %s`.\n", app.Name, app.Name)
	}
	fmt.Fprint(out, said)
	return nil
}

func (o *options) setCommand() *cobra.Command {
	set := &cobra.Command{
		Use: "set", Short: "Set the image of an app", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	image := &cobra.Command{
		Use:     "image NAME IMAGE",
		Short:   "Set the image of an app: a new revision that is rolled out as spec.rollout says",
		Example: "  kubectl scalableapp set image shop registry.example/shop:1.4.3",
		Args: func(command *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("%s takes a name and an image; usage: %s", command.CommandPath(), command.UseLine())
			}
			return nil
		},
	}
	w := o.writes(image, "image set")
	image.RunE = func(command *cobra.Command, args []string) error {
		return w.write(command.Context(), args[0], func(_ context.Context, _ *session, app *v1alpha1.ScalableApp) (object, string, error) {
			return setImage(app, args[1])
		})
	}
	set.AddCommand(image)
	return set
}

// open connects and reads the app that a command is about.
func (o *options) open(ctx context.Context, name string) (*session, *v1alpha1.ScalableApp, error) {
	s, err := o.connect()
	if err != nil {
		return nil, nil, err
	}
	app, err := s.app(ctx, name)
	return s, app, err
}

func setImage(app *v1alpha1.ScalableApp, image string) (object, string, error) {
	if app.Spec.App.Image == image {
		way := ""
		if undone(app) != "" {
			way = fmt.Sprintf("; its revision was undone, and `kubectl scalableapp undo %s --clear` runs it again", app.Name)
		}
		return nil, "", fmt.Errorf("the image of %s is %s already%s", app.Name, image, way)
	}
	changes := spec(object{"app": object{"image": image}})
	return changes, endUndo(app, changes), nil
}

// endUndo takes an undo away with a new version: left there, it would come to life again when the spec
// is one day set back to what was undone.
func endUndo(app *v1alpha1.ScalableApp, changes object) string {
	if app.Annotations[naming.AnnotationUndo] == "" {
		return ""
	}
	changes["metadata"] = object{"annotations": object{naming.AnnotationUndo: nil}}
	if undone(app) == "" {
		return ""
	}
	return "This ends the undo.\n"
}

func (o *options) pauseCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "pause NAME",
		Short: "Stop the operator from changing anything for an app (spec.paused)",
		Args:  oneName,
	}
	w := o.writes(command, "paused")
	command.RunE = func(command *cobra.Command, args []string) error {
		return w.write(command.Context(), args[0], func(_ context.Context, _ *session, app *v1alpha1.ScalableApp) (object, string, error) {
			if isPaused(app) {
				return nil, "", fmt.Errorf("%s is paused already", app.Name)
			}
			return spec(object{"paused": true}), "", nil
		})
	}
	return command
}

func (o *options) resumeCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "resume NAME",
		Short: "Let the operator go on with a paused app",
		Args:  oneName,
	}
	w := o.writes(command, "resumed")
	command.RunE = func(command *cobra.Command, args []string) error {
		return w.write(command.Context(), args[0], func(_ context.Context, _ *session, app *v1alpha1.ScalableApp) (object, string, error) {
			if !isPaused(app) {
				return nil, "", fmt.Errorf("%s is not paused", app.Name)
			}
			return spec(object{"paused": nil}), "", nil
		})
	}
	return command
}

func (o *options) restartCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "restart NAME",
		Short: "Replace all pods of an app: a new revision of the same spec",
		Long: `Replace all pods of an app by a new revision that differs in nothing but the annotation
` + annotationRestart + ` in spec.app.podTemplate. It is rolled out as spec.rollout says, so the app serves on.`,
		Args: oneName,
	}
	w := o.writes(command, "restarted")
	command.RunE = func(command *cobra.Command, args []string) error {
		return w.write(command.Context(), args[0], func(_ context.Context, _ *session, app *v1alpha1.ScalableApp) (object, string, error) {
			return restart(app, time.Now())
		})
	}
	return command
}

func restart(app *v1alpha1.ScalableApp, now time.Time) (object, string, error) {
	switch {
	case isPaused(app):
		return nil, "", fmt.Errorf("%s is paused: a restart would do nothing; `kubectl scalableapp resume %s` first", app.Name, app.Name)
	case undone(app) != "":
		return nil, "", fmt.Errorf("%s asks for revision %s, which was undone, and a restart would roll it out again: "+
			"set the spec to what shall run first (set image), or `kubectl scalableapp undo %s --clear`", app.Name, undone(app), app.Name)
	case app.DeletionTimestamp != nil:
		return nil, "", errors.New(app.Name + " is being deleted")
	}
	changes := spec(object{"app": object{"podTemplate": object{"metadata": object{"annotations": object{
		annotationRestart: now.Format(time.RFC3339),
	}}}}})
	return changes, endUndo(app, changes), nil
}
