package apply

import (
	"context"
	"strconv"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
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
