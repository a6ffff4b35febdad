package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/observe"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// fileContent is what a file holds that a plan is about.
type fileContent struct {
	apps, configs []*unstructured.Unstructured
}

func (o *options) readFile(s *session, sources *genericclioptions.FileNameFlags) (fileContent, error) {
	var out fileContent
	filenames := sources.ToOptions()
	explicit := o.flags.Namespace != nil && *o.flags.Namespace != ""
	infos, err := resource.NewBuilder(o.flags).
		Unstructured().
		NamespaceParam(s.namespace).DefaultNamespace().
		StdinInUse().
		FilenameParam(explicit, &filenames).
		Flatten().
		Do().Infos()
	if err != nil {
		return out, err
	}
	for _, info := range infos {
		object, ok := info.Object.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		switch object.GroupVersionKind().GroupKind() {
		case v1alpha1.GroupVersion.WithKind("ScalableApp").GroupKind():
			out.apps = append(out.apps, object)
		case corev1.SchemeGroupVersion.WithKind("ConfigMap").GroupKind():
			out.configs = append(out.configs, object)
		}
	}
	return out, nil
}

// dryRun is the object as it is (nil if it is not there), and as it would be if the file were applied.
//
// What applying takes away depends on who applied before: kubectl apply remembers in an annotation what it
// wrote, server-side apply by the name of its manager. So the file is applied in the way that was used last.
func (p *planner) dryRun(ctx context.Context, file *unstructured.Unstructured) (live, after *unstructured.Unstructured, err error) {
	live = &unstructured.Unstructured{}
	live.SetGroupVersionKind(file.GroupVersionKind())
	err = p.Get(ctx, client.ObjectKeyFromObject(file), live)
	if apierrors.IsNotFound(err) && !unknownKind(err) {
		live, err = nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	after = file.DeepCopy()
	if live != nil && live.GetAnnotations()[corev1.LastAppliedConfigAnnotation] != "" {
		after = live.DeepCopy()
		patch, err := threeWay(live, file)
		if err != nil {
			return nil, nil, err
		}
		err = p.Patch(ctx, after, client.RawPatch(types.MergePatchType, patch), client.DryRunAll, client.FieldOwner(fieldManager))
		return live, after, refused(file, err)
	}
	after.SetManagedFields(nil)
	err = p.Apply(ctx, client.ApplyConfigurationFromUnstructured(after),
		client.DryRunAll, client.ForceOwnership, client.FieldOwner(managerOf(live)))
	return live, after, refused(file, err)
}

func refused(file *unstructured.Unstructured, err error) error {
	if err == nil || apierrors.IsForbidden(err) {
		return err
	}
	return fmt.Errorf("%s %s/%s would be refused: %w", file.GetKind(), file.GetNamespace(), file.GetName(), err)
}

// threeWay is the patch that kubectl apply would make.
func threeWay(live, file *unstructured.Unstructured) ([]byte, error) {
	current, err := json.Marshal(live)
	if err != nil {
		return nil, err
	}
	modified, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	original := []byte(live.GetAnnotations()[corev1.LastAppliedConfigAnnotation])
	return jsonmergepatch.CreateThreeWayJSONMergePatch(original, modified, current)
}

// managerOf is the field manager that last applied the object, or our own.
func managerOf(live *unstructured.Unstructured) string {
	manager, last := fieldManager, time.Time{}
	if live == nil {
		return manager
	}
	for _, entry := range live.GetManagedFields() {
		applied := entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == "" && entry.Time != nil
		if applied && !entry.Time.Time.Before(last) {
			manager, last = entry.Manager, entry.Time.Time
		}
	}
	return manager
}

// observe sees what the operator would see, with the user's own rights.
func (p *planner) observe(ctx context.Context, app *v1alpha1.ScalableApp) (*state.Observed, error) {
	observer := &observe.Observer{
		Cached: p.reader, Live: p.reader, Scheme: scheme, Now: time.Now,
		Config:   &observe.ConfigReader{Metadata: p.reader, Live: p.reader},
		Gates:    &observe.Gates{Silent: true}, // what a gate would say now is the operator's to ask
		Gateways: observe.LiveGateways{Client: p.Client},
	}
	return observer.Observe(ctx, app)
}

func convert(from *unstructured.Unstructured, into runtime.Object) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructured(from.Object, into)
}
