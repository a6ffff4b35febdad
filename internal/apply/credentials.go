package apply

import (
	"context"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// tellCredentials changes an annotation of the very pod that was seen.
func (x *Executor) tellCredentials(ctx context.Context, app *v1alpha1.ScalableApp, a action.TellCredentials) error {
	pod, err := x.pod(ctx, app, a.Pod, a.UID)
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	return x.patch(ctx, pod, map[string]any{"metadata": map[string]any{
		"uid": pod.UID, "annotations": map[string]any{naming.AnnotationCredentials: strconv.FormatInt(a.Generation, 10)},
	}})
}

// noPodHolds asks the API server whether a pod of the app may still hold an old password.
func (x *Executor) noPodHolds(ctx context.Context, app *v1alpha1.ScalableApp, w components.Witness) error {
	list := &corev1.PodList{}
	if err := x.Live.List(ctx, list, client.InNamespace(app.Namespace), client.MatchingLabels{naming.LabelInstance: app.Name}); err != nil {
		return err
	}
	for i := range list.Items {
		if components.MayHold(&list.Items[i], w.Name, w.Before) {
			return changed("Pod", list.Items[i].Name, "it may hold an old password")
		}
	}
	return nil
}
