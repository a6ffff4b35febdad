// Package apply is the operator's only writer of children. It writes by server-side apply, and only
// what is not so already: an apply that changes nothing costs the API server as much as one that does.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/plan"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// Executor carries out plans.
type Executor struct {
	// Client writes, and reads children from the caches.
	Client client.Client
	// Live reads from the API server: the caches hold only what carries our label, so they cannot say
	// that a name is free.
	Live client.Reader
	// Poolers are told what becomes of the database.
	Poolers Poolers
	// Ways says where the poolers lead.
	Ways Ways
	// Patroni hands leaderships over and restarts PostgreSQL.
	Patroni Patroni
	// Redis has masters hand over.
	Redis Redis
}

// ConflictError says that a child's name is taken by somebody else.
type ConflictError struct{ Kind, Name, Owner string }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s %s exists and belongs to %s; it is not touched: rename or delete it, or rename the ScalableApp", e.Kind, e.Name, e.Owner)
}

// Execute makes the children so as the plan wants them. It goes on after an error, so that one child
// that is refused does not hold up the others, and returns all errors. A pod is not deleted for a StatefulSet that
// could not be written: it would come back as it was, pass after pass.
func (x *Executor) Execute(ctx context.Context, app *v1alpha1.ScalableApp, p plan.Plan) error {
	var errs []error
	var unwritten []string
	for _, object := range p.Objects {
		if err := x.object(ctx, app, object); err != nil {
			errs = append(errs, err)
			if id := plan.Identify(object); id.Kind == "StatefulSet" {
				unwritten = append(unwritten, id.Name)
			}
		}
	}
	actions := slices.DeleteFunc(slices.Clone(p.Actions), func(a action.Action) bool {
		d, deletes := a.(action.DeletePod)
		return deletes && !d.AtOnce && slices.Contains(unwritten, setOf(d.Pod))
	})
	if err := x.actions(ctx, app, actions); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return errors.Join(errs...) // nothing is deleted while something could not be made
	}
	for _, child := range p.Deletions {
		if err := x.delete(ctx, app.Namespace, child); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// setOf is the StatefulSet that a pod of that name is of.
func setOf(pod string) string { return pod[:max(strings.LastIndexByte(pod, '-'), 0)] }

func (x *Executor) object(ctx context.Context, app *v1alpha1.ScalableApp, object components.Object) error {
	intent, err := intentOf(object)
	if err != nil {
		return err
	}
	live, err := x.live(ctx, app, intent)
	if err != nil {
		return err
	}
	switch {
	case live == nil && object.Mode == components.Created:
		return describe("create", intent, client.IgnoreAlreadyExists(x.Client.Create(ctx, intent, client.FieldOwner(naming.FieldManager))))
	case live != nil && (object.Mode == components.Created || same(intent, live) || x.sameStored(intent, live)):
		return nil
	case live != nil && object.IfNew && live.GetLabels()[naming.LabelManagedBy] == naming.ManagedBy:
		return describe("apply", intent, conflict(intent.GroupVersionKind(), intent.GetName(), "it was not seen, but is there"))
	}
	if err := x.heard(ctx, app, object); err != nil {
		return describe("apply", intent, err)
	}
	if live != nil {
		// With the UID the API server refuses to make the object anew, should it have been deleted and
		// the cache not know it yet.
		intent.SetUID(live.GetUID())
		intent.SetResourceVersion(object.IfVersion) // an empty one is none
	}
	return describe("apply", intent, x.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(intent),
		client.FieldOwner(naming.FieldManager), client.ForceOwnership))
}

// heard asks the API server whether the witnesses of a write still are as they were seen. If not, that
// is a conflict: the pass is made again with a newer view. The app is one that the pass has stored its
// decision in, so it is the version after that which counts.
func (x *Executor) heard(ctx context.Context, app *v1alpha1.ScalableApp, object components.Object) error {
	for _, witness := range object.Witnesses {
		if witness.Kind == components.WitnessPods {
			if err := x.noPodHolds(ctx, app, witness); err != nil {
				return err
			}
			continue
		}
		kind, version := appsv1.SchemeGroupVersion.WithKind("Deployment"), witness.ResourceVersion
		if witness.Kind == components.WitnessApp {
			kind, version = v1alpha1.GroupVersion.WithKind("ScalableApp"), app.ResourceVersion
		}
		now := &metav1.PartialObjectMetadata{}
		now.SetGroupVersionKind(kind)
		err := x.Live.Get(ctx, client.ObjectKey{Namespace: app.Namespace, Name: witness.Name}, now)
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		if err != nil || now.ResourceVersion != version {
			return conflict(kind, witness.Name, "it is no longer as it was seen")
		}
	}
	return nil
}

// conflict has the pass made again with a newer view.
func conflict(kind schema.GroupVersionKind, name, words string) error {
	return apierrors.NewConflict(schema.GroupResource{Group: kind.Group, Resource: kind.Kind}, name, errors.New(words))
}

// sameStored compares with the intent as the API server stores it. Only a person's podTemplate holds
// anything that is stored otherwise than it is written, so it is looked at last.
func (x *Executor) sameStored(intent, live *unstructured.Unstructured) bool {
	typed, err := x.Client.Scheme().New(intent.GroupVersionKind())
	if err != nil || runtime.DefaultUnstructuredConverter.FromUnstructured(intent.Object, typed) != nil {
		return false
	}
	stored, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		return false
	}
	common, _ := inBoth(intent.Object, stored).(map[string]any)
	return same(&unstructured.Unstructured{Object: common}, live)
}

// intentOf is the intent with its own hash in an annotation. The hash tells when a field is no longer
// wanted, which a comparison with the live object cannot.
func intentOf(object components.Object) (*unstructured.Unstructured, error) {
	raw, err := json.Marshal(object.Intent)
	if err != nil {
		return nil, fmt.Errorf("write %T as JSON: %w", object.Intent, err)
	}
	intent := &unstructured.Unstructured{}
	if err := json.Unmarshal(raw, &intent.Object); err != nil {
		return nil, fmt.Errorf("read %T from JSON: %w", object.Intent, err)
	}
	// Hashed with sorted keys: a part that was read back from the API server has them in another order.
	if raw, err = json.Marshal(intent.Object); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	annotations := intent.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[naming.AnnotationIntent] = hex.EncodeToString(sum[:8])
	intent.SetAnnotations(annotations)
	return intent, nil
}

// live is the child as it is, or nil. An object of that name that is not the app's child is an error.
func (x *Executor) live(
	ctx context.Context, app *v1alpha1.ScalableApp, intent *unstructured.Unstructured,
) (*unstructured.Unstructured, error) {
	object, err := x.Client.Scheme().New(intent.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	found := object.(client.Object)
	key := client.ObjectKeyFromObject(intent)
	err = x.Client.Get(ctx, key, found)
	if apierrors.IsNotFound(err) {
		err = x.Live.Get(ctx, key, found)
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, describe("read", intent, err)
	}
	if !metav1.IsControlledBy(found, app) && !adoptable(app, found) {
		return nil, &ConflictError{Kind: intent.GetKind(), Name: intent.GetName(), Owner: ownerOf(found)}
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(found)
	if err != nil {
		return nil, err
	}
	live := &unstructured.Unstructured{Object: fields}
	return live, nil
}

// adoptable says whether an object without an owner is the app's all the same: Patroni makes its
// records with the app's labels and cannot name an owner.
func adoptable(app *v1alpha1.ScalableApp, object client.Object) bool {
	if metav1.GetControllerOf(object) != nil {
		return false
	}
	for _, name := range naming.PatroniRecords(app) {
		if object.GetName() == name {
			return object.GetLabels()[naming.LabelInstance] == app.Name &&
				object.GetLabels()[naming.LabelManagedBy] == naming.ManagedBy
		}
	}
	return false
}

func ownerOf(object client.Object) string {
	if owner := metav1.GetControllerOf(object); owner != nil {
		return owner.Kind + " " + owner.Name
	}
	return "nobody that the operator knows"
}

func (x *Executor) delete(ctx context.Context, namespace string, child state.Child) error {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(schema.FromAPIVersionAndKind(child.APIVersion, child.Kind))
	object.SetNamespace(namespace)
	object.SetName(child.Name)
	err := x.Client.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground),
		client.Preconditions{UID: &child.UID, ResourceVersion: &child.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %s %s: %w", child.Kind, child.Name, err)
	}
	return nil
}

func describe(verb string, object client.Object, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s %s: %w", verb, object.GetObjectKind().GroupVersionKind().Kind, object.GetName(), err)
}
