package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// Poolers are the consoles of PgBouncer pods.
type Poolers interface {
	Pause(ctx context.Context, addresses []string, password string) error
	Resume(ctx context.Context, addresses []string, password string) error
	Reconnect(ctx context.Context, addresses []string, password string) error
}

// poolerReconnect writes down what the pods were told when all have heard it, and not before: what is cut
// short in between is told again.
func (x *Executor) poolerReconnect(ctx context.Context, app *v1alpha1.ScalableApp, a action.PoolerReconnect) error {
	pooler := &metav1.PartialObjectMetadata{}
	pooler.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	if err := x.Live.Get(ctx, client.ObjectKey{Namespace: app.Namespace, Name: a.Pooler}, pooler); err != nil {
		return client.IgnoreNotFound(err)
	}
	if pooler.UID != a.UID || pooler.Annotations[naming.AnnotationPoolerTold] == a.Told {
		return nil // the view lags: it was told in the pass before
	}
	password, err := x.password(ctx, app, a.Credentials)
	if err != nil {
		return err
	}
	if err := x.Poolers.Reconnect(ctx, a.Addresses, password); err != nil {
		return err
	}
	return client.IgnoreNotFound(x.patch(ctx, pooler, map[string]any{"metadata": map[string]any{
		"uid": a.UID, "annotations": map[string]any{naming.AnnotationPoolerTold: a.Told},
	}}))
}

func (x *Executor) password(ctx context.Context, app *v1alpha1.ScalableApp, key action.SecretKey) (string, error) {
	secret := &corev1.Secret{}
	if err := x.Client.Get(ctx, client.ObjectKey{Namespace: app.Namespace, Name: key.Name}, secret); err != nil {
		return "", err
	}
	password := string(secret.Data[key.Key])
	if password == "" {
		return "", fmt.Errorf("Secret %s has no key %s", key.Name, key.Key)
	}
	return password, nil
}

// settleWithin is how long clients are held back at most after a switchover, until the Service leads to the
// new primary. The poolers resume by themselves if nobody tells them to (images/pgbouncer/pooler-check).
const settleWithin = 5 * time.Second

// clientsWait does work, a switchover, while the poolers hold their clients back: they wait, and none fails.
// Where the poolers cannot be paused, because a long transaction does not end or a pod does not answer, it is
// done without: then some clients have to try again.
func (x *Executor) clientsWait(ctx context.Context, app *v1alpha1.ScalableApp, from string, work func() error) error {
	addresses, password, err := x.poolers(ctx, app)
	if err != nil || len(addresses) == 0 {
		return errors.Join(err, work())
	}
	if x.Poolers.Pause(ctx, addresses, password) != nil {
		return work()
	}
	defer func() {
		// Whatever ended ctx must not keep the clients waiting. A pod that does not hear it resumes by itself.
		_ = x.Poolers.Resume(context.WithoutCancel(ctx), addresses, password)
	}()
	if err := work(); err != nil {
		return err
	}
	x.settled(ctx, app, from)
	return nil
}

// poolers are the consoles of the pods before the primary, and their password.
func (x *Executor) poolers(ctx context.Context, app *v1alpha1.ScalableApp) (addresses []string, password string, err error) {
	list := &corev1.PodList{}
	err = x.Client.List(ctx, list, client.InNamespace(app.Namespace),
		client.MatchingLabels(naming.PoolerSelector(app, naming.PoolerReadWrite)))
	if err != nil {
		return nil, "", err
	}
	for i := range list.Items {
		if address := components.PoolerAddress(&list.Items[i]); address != "" {
			addresses = append(addresses, address)
		}
	}
	if len(addresses) > 0 {
		password, err = x.password(ctx, app, components.PoolerCredentials(app))
	}
	return addresses, password, err
}

// settled waits until the labels that the Service follows name another primary and the former one no more, and
// a moment for the nodes' proxies: a client that is let go before would write to the former.
func (x *Executor) settled(ctx context.Context, app *v1alpha1.ScalableApp, from string) {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	labels := naming.Selector(app, naming.ComponentDatabase)
	labels[naming.LabelRole] = "primary"
	for {
		list := &corev1.PodList{}
		err := x.Client.List(ctx, list, client.InNamespace(app.Namespace), client.MatchingLabels(labels))
		moved := err == nil && len(list.Items) == 1 && list.Items[0].Name != from
		pause := 50 * time.Millisecond
		if moved {
			pause = 300 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if moved {
			return
		}
	}
}
