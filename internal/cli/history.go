package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// past is a revision of the history.
type past struct {
	revision.Revision
	number int64
	made   time.Time
	// migrated says that its migration has succeeded, proven that it was rolled out in full.
	migrated, proven bool
}

func (o *options) historyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "history NAME",
		Short: "List an app's revisions and what changed with each",
		Long: `List an app's revisions, oldest first, and what changed with each: its image, its settings, or the content
of a ConfigMap that it refers to.

What: stable is what was last rolled out in full, candidate what is to take over, and undone what the
spec asks for although it was taken back (see undo). Proven is what was rolled out in full at any time:
going back to it is one step, without gates.`,
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
			history, err := s.history(command.Context(), app)
			if err != nil {
				return err
			}
			text, err := historyText(app, history, time.Now())
			if err != nil {
				return err
			}
			fmt.Fprint(o.streams.Out, text)
			return nil
		},
	}
}

// history are an app's revisions, oldest first.
func (s *session) history(ctx context.Context, app *v1alpha1.ScalableApp) ([]past, error) {
	list := &appsv1.ControllerRevisionList{}
	err := s.List(ctx, list, client.InNamespace(app.Namespace), client.MatchingLabels{naming.LabelInstance: app.Name})
	if err != nil {
		return nil, err
	}
	var out []past
	for i := range list.Items {
		object := &list.Items[i]
		if object.Labels[naming.LabelRevision] != object.Name {
			continue // those of StatefulSets carry the labels of their pods
		}
		r, err := revision.Stored(object)
		if err != nil {
			return nil, err
		}
		out = append(out, past{
			Revision: r, number: object.Revision, made: object.CreationTimestamp.Time,
			migrated: object.Annotations[naming.AnnotationMigrated] != "", proven: proven(object),
		})
	}
	slices.SortFunc(out, func(a, b past) int { return int(a.number - b.number) })
	return out, nil
}

// wanted is the revision that the spec asks for now, by the rules by which the operator finds it.
func (s *session) wanted(ctx context.Context, app *v1alpha1.ScalableApp) (revision.Revision, error) {
	config := map[string]*state.Config{}
	for _, name := range revision.ConfigNames(&app.Spec.App) {
		object := &corev1.ConfigMap{}
		err := s.Get(ctx, types.NamespacedName{Namespace: app.Namespace, Name: name}, object)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return revision.Revision{}, fmt.Errorf("the content of ConfigMap %s is part of the revision: %w", name, err)
		}
		config[name] = &state.Config{Data: object.Data, BinaryData: object.BinaryData}
	}
	return revision.Of(app, config)
}

func historyText(app *v1alpha1.ScalableApp, history []past, now time.Time) (string, error) {
	var b strings.Builder
	out := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(out, "NUMBER\tREVISION\tIMAGE\tAGE\tWHAT\tCHANGE")
	for i, r := range history {
		change := "the first that is kept"
		if i > 0 {
			words, err := causes(history[i-1].Inputs, r.Inputs)
			if err != nil {
				return "", err
			}
			change = orDash(strings.Join(words, ", "))
		}
		age := duration.HumanDuration(now.Sub(r.made))
		what := orDash(commas(roleOf(app, r.Name), provenWord(r)))
		fmt.Fprintf(out, "%d\t%s\t%s\t%s\t%s\t%s\n", r.number, r.Name, r.Inputs.App.Image, age, what, change)
	}
	if c := app.Status.Rollout.Candidate; c != nil && find(history, c.Revision) == nil {
		fmt.Fprintf(out, "%d\t%s\t%s\t-\t%s\tnot begun: %s\n", c.Number, c.Revision, c.Image, roleCandidate, app.Status.Rollout.Message)
	}
	_ = out.Flush() // a strings.Builder takes everything
	return b.String(), nil
}

func provenWord(r past) string {
	if r.proven {
		return "proven"
	}
	return ""
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func find(history []past, name string) *past {
	for i := range history {
		if history[i].Name == name {
			return &history[i]
		}
	}
	return nil
}

// roleOf is the part that a revision has in the app.
func roleOf(app *v1alpha1.ScalableApp, name string) string {
	r := app.Status.Rollout
	var roles []string
	if r.Candidate != nil && r.Candidate.Revision == name {
		roles = append(roles, roleCandidate)
	}
	if r.Stable != nil && r.Stable.Revision == name {
		roles = append(roles, roleStable)
	}
	if undone(app) == name {
		roles = append(roles, roleUndone)
	}
	return commas(roles...)
}

func commas(parts ...string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(parts), func(s string) bool { return s == "" }), ", ")
}

// undone is the revision that the spec asks for and that does not run because it was undone, or empty.
func undone(app *v1alpha1.ScalableApp) string { return app.Status.Rollout.Undone }
