package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// Poolers are the consoles of PgBouncer pods.
type Poolers interface {
	Pause(ctx context.Context, addresses []string, password string) error
	Resume(ctx context.Context, addresses []string, password string) error
	Reconnect(ctx context.Context, addresses []string, password string) error
}

// actions does to the data tier what the plan says, in its order. One that fails does not hold up the others.
func (x *Executor) actions(ctx context.Context, namespace string, actions []action.Action) error {
	var errs []error
	for _, each := range actions {
		if err := x.action(ctx, namespace, each); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", each, err))
		}
	}
	return errors.Join(errs...)
}

func (x *Executor) action(ctx context.Context, namespace string, a action.Action) error {
	switch a := a.(type) {
	case action.PoolerReconnect:
		return x.poolerReconnect(ctx, namespace, a)
	default:
		return fmt.Errorf("%T cannot be carried out", a) // a fault of the build
	}
}

// poolerReconnect writes down what the pods were told when all have heard it, and not before: what is cut
// short in between is told again.
func (x *Executor) poolerReconnect(ctx context.Context, namespace string, a action.PoolerReconnect) error {
	password, err := x.password(ctx, namespace, a.Credentials)
	if err != nil {
		return err
	}
	if err := x.Poolers.Reconnect(ctx, a.Addresses, password); err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": a.UID, "annotations": map[string]string{naming.AnnotationPoolerTold: a.Told},
	}})
	if err != nil {
		return err
	}
	pooler := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: a.Pooler}}
	pooler.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	return client.IgnoreNotFound(x.Client.Patch(ctx, pooler, client.RawPatch(types.MergePatchType, patch),
		client.FieldOwner(naming.FieldManager+"-actions")))
}

func (x *Executor) password(ctx context.Context, namespace string, key action.SecretKey) (string, error) {
	secret := &corev1.Secret{}
	if err := x.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: key.Name}, secret); err != nil {
		return "", err
	}
	password := string(secret.Data[key.Key])
	if password == "" {
		return "", fmt.Errorf("Secret %s has no key %s", key.Name, key.Key)
	}
	return password, nil
}
