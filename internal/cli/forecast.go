package cli

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/plan"
)

// What would happen to an object.
const (
	verbCreate = "create"
	verbChange = "change"
	verbDelete = "delete"
)

// forecast is what a file would change about one app.
type forecast struct {
	// before is nil when the app is new.
	before, after *moment
	// live and applied are the app as objects; live is nil when the app is new.
	live, applied *unstructured.Unstructured
	// fields are the app's own fields that would change.
	fields []change
	// objects are the children that the operator's next step would treat in another way.
	objects []objectChange
	// conflicts are the owners of names, by KIND/NAME, that are taken.
	conflicts map[string]string
}

type objectChange struct {
	verb   string
	id     plan.Identity
	fields []change
}

func (f *forecast) changed() bool { return len(f.fields) > 0 || len(f.objects) > 0 || f.newRevision() }

func (f *forecast) newRevision() bool {
	return f.before == nil || f.before.wanted.Name != f.after.wanted.Name
}

func (f *forecast) compare() error {
	var err error
	if f.live != nil {
		if f.fields, err = differences(own(f.live), own(f.applied)); err != nil {
			return err
		}
	}
	var were []components.Object
	if f.before != nil {
		were = f.before.plan.Objects
	}
	for _, object := range f.after.plan.Objects {
		id := plan.Identify(object)
		i := slices.IndexFunc(were, func(o components.Object) bool {
			was := plan.Identify(o)
			return was.Kind == id.Kind && was.Name == id.Name
		})
		switch {
		case i < 0 && f.exists(id):
			f.objects = append(f.objects, objectChange{verb: verbChange, id: id})
		case i < 0:
			f.objects = append(f.objects, objectChange{verb: verbCreate, id: id})
		default:
			fields, err := differences(were[i].Intent, object.Intent)
			if err != nil {
				return err
			}
			if len(fields) > 0 {
				f.objects = append(f.objects, objectChange{verb: verbChange, id: id, fields: fields})
			}
		}
	}
	f.deletions()
	return nil
}

func (f *forecast) deletions() {
	for _, child := range f.after.plan.Deletions {
		if f.before != nil && slices.Contains(f.before.plan.Deletions, child) {
			continue // it goes anyway
		}
		id := plan.Identity{APIVersion: child.APIVersion, Kind: child.Kind, Namespace: f.after.app.Namespace, Name: child.Name}
		f.objects = append(f.objects, objectChange{verb: verbDelete, id: id})
	}
}

func (f *forecast) exists(id plan.Identity) bool {
	for _, child := range f.after.seen.Children {
		if child.Kind == id.Kind && child.Name == id.Name {
			return true
		}
	}
	return false
}

// own is the part of an object that its file is about.
func own(object *unstructured.Unstructured) map[string]any {
	annotations := object.GetAnnotations()
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	metadata := map[string]any{"labels": object.GetLabels(), "annotations": annotations}
	if len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	if len(object.GetLabels()) == 0 {
		delete(metadata, "labels")
	}
	return map[string]any{"metadata": metadata, "spec": object.Object["spec"]}
}

// text is the forecast in words.
func (f *forecast) text() string {
	var b strings.Builder
	name := fmt.Sprintf("ScalableApp %s/%s", f.after.app.Namespace, f.after.app.Name)
	switch {
	case !f.changed():
		fmt.Fprintf(&b, "%s: nothing would change\n", name)
		return b.String()
	case f.before == nil:
		fmt.Fprintf(&b, "%s would be created\n", name)
	case len(f.fields) == 0:
		fmt.Fprintf(&b, "%s stays as it is, but what it refers to changes\n", name)
	default:
		fmt.Fprintf(&b, "%s would be changed\n", name)
	}
	for _, c := range f.fields {
		fmt.Fprintf(&b, "  %s\n", c.words("ScalableApp"))
	}
	fmt.Fprintf(&b, "\n%s\n", f.revisionWords())
	if len(f.objects) > 0 {
		b.WriteString("\nThe operator's first step:\n")
	}
	for _, c := range f.objects {
		fmt.Fprintf(&b, "  %s %s/%s\n", c.verb, c.id.Kind, c.id.Name)
		if owner := f.conflicts[c.id.Kind+"/"+c.id.Name]; owner != "" && c.verb == verbCreate {
			fmt.Fprintf(&b, "    conflict: it exists and belongs to %s; the operator would not touch it (NameConflict)\n", owner)
		}
		for _, field := range c.fields {
			fmt.Fprintf(&b, "    %s\n", field.words(c.id.Kind))
		}
	}
	fmt.Fprintf(&b, "\nThen: %s\n", f.next())
	if steps := f.steps(); steps != "" {
		fmt.Fprintf(&b, "\n%s", steps)
	}
	return b.String()
}

// revisionWords say whether a new revision arises, and why.
func (f *forecast) revisionWords() string {
	name := f.after.wanted.Name
	if !f.newRevision() {
		return "No new revision: " + name + " stays, and no pod of the app is replaced."
	}
	stored := f.after.seen.Revision(name)
	text := fmt.Sprintf("A new revision, %s", name)
	if stored != nil {
		text = fmt.Sprintf("Back to revision %d, %s", stored.Revision, name)
	}
	if f.before == nil {
		return text + ": the first."
	}
	words, err := causes(f.before.wanted.Inputs, f.after.wanted.Inputs)
	if err == nil && len(words) > 0 {
		text += ": " + strings.Join(words, ", ")
	}
	text += "."
	if from, _ := undoOf(f.before.app); from == f.before.wanted.Name {
		text += " This ends the undo."
	}
	return text
}

// next is the stage that would follow.
func (f *forecast) next() string {
	status := f.after.plan.Status
	if isPaused(f.after.app) {
		return fmt.Sprintf("spec.paused is true, so nothing happens before `kubectl scalableapp resume %s`.", f.after.app.Name)
	}
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	message := status.Rollout.Message
	if stalled := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionStalled); stalled != nil {
		return fmt.Sprintf("Stalled (%s): %s", stalled.Reason, stalled.Message)
	}
	if message == "" && ready != nil {
		message = ready.Message
	}
	return status.Rollout.Stage + ": " + message
}
