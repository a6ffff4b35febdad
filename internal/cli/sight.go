package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// sight is an app with what could be seen of its children.
type sight struct {
	app  *v1alpha1.ScalableApp
	seen *state.Observed
	// hidden are the kinds that the user may not read.
	hidden []string
}

// shown are the kinds of children that the tree is drawn from.
func shown() []client.ObjectList {
	return []client.ObjectList{
		&corev1.PodList{}, &appsv1.DeploymentList{}, &appsv1.ControllerRevisionList{}, &autoscalingv2.HorizontalPodAutoscalerList{},
	}
}

// look reads the apps of a namespace (all of them if empty), or one, with their children: one request for
// each kind, however many apps there are.
func look(ctx context.Context, reader client.Reader, namespace, name string, lists []client.ObjectList) ([]sight, error) {
	apps := &v1alpha1.ScalableAppList{}
	in := []client.ListOption{client.InNamespace(namespace)}
	ours := client.MatchingLabels{naming.LabelManagedBy: naming.ManagedBy}
	if name != "" {
		in = append(in, client.MatchingFields{"metadata.name": name})
		ours[naming.LabelInstance] = name
	}
	if err := reader.List(ctx, apps, in...); err != nil {
		return nil, err
	}
	var hidden []string
	for _, list := range lists {
		err := reader.List(ctx, list, client.InNamespace(namespace), ours)
		if apierrors.IsForbidden(err) {
			hidden = append(hidden, kindOf(list))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kindOf(list), err)
		}
	}
	slices.SortFunc(apps.Items, func(a, b v1alpha1.ScalableApp) int {
		return compare(a.Namespace, b.Namespace, a.Name, b.Name)
	})
	var out []sight
	for i := range apps.Items {
		app := &apps.Items[i]
		app.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ScalableApp"))
		out = append(out, sight{app: app, seen: childrenOf(app, lists), hidden: hidden})
	}
	return out, nil
}

func compare(pairs ...string) int {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] != pairs[i+1] {
			if pairs[i] < pairs[i+1] {
				return -1
			}
			return 1
		}
	}
	return 0
}

func kindOf(list client.ObjectList) string {
	switch list.(type) {
	case *corev1.PodList:
		return "pods"
	case *appsv1.DeploymentList:
		return "deployments"
	case *appsv1.ControllerRevisionList:
		return "controllerrevisions"
	default:
		return "horizontalpodautoscalers"
	}
}

// childrenOf picks an app's children out of lists of several apps'.
func childrenOf(app *v1alpha1.ScalableApp, lists []client.ObjectList) *state.Observed {
	seen := &state.Observed{Now: time.Now()}
	for _, list := range lists {
		switch l := list.(type) {
		case *corev1.PodList:
			seen.Pods = belonging(app, l.Items)
		case *appsv1.DeploymentList:
			seen.Deployments = belonging(app, l.Items)
		case *appsv1.ControllerRevisionList:
			seen.Revisions = slices.DeleteFunc(belonging(app, l.Items), func(r *appsv1.ControllerRevision) bool {
				return r.Labels[naming.LabelRevision] != r.Name // those of StatefulSets carry the labels of their pods
			})
		case *autoscalingv2.HorizontalPodAutoscalerList:
			if mine := belonging(app, l.Items); len(mine) > 0 {
				seen.Autoscaler = mine[0]
			}
		}
	}
	return seen
}

func belonging[T any, P interface {
	*T
	client.Object
}](app *v1alpha1.ScalableApp, items []T) []P {
	var out []P
	for i := range items {
		object := P(&items[i])
		if object.GetNamespace() == app.Namespace && object.GetLabels()[naming.LabelInstance] == app.Name {
			out = append(out, object)
		}
	}
	state.SortByName(out)
	return out
}

// sights are the app of that name, or all apps of the namespace, with their children.
func (s *session) sights(ctx context.Context, name string) ([]sight, error) {
	out, err := look(ctx, s, s.namespace, name, shown())
	if err == nil && name != "" && len(out) == 0 {
		return nil, s.noSuchApp(ctx, name)
	}
	return out, err
}
