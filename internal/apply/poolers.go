package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/pgbouncer"
)

// Poolers are the consoles of PgBouncer pods.
type Poolers interface {
	Pause(ctx context.Context, addresses []string, password string) error
	Resume(ctx context.Context, addresses []string, password string) error
	Reconnect(ctx context.Context, addresses []string, password string) error
}

// Ways says where the pods of a pooler lead.
type Ways interface {
	// Writable says whether new connections of each pod lead to a server that takes writes; nil is yes.
	Writable(ctx context.Context, addresses []string, password string, login pgbouncer.Login) error
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

// heldWithin is how long clients are held back at most, from the pause to the moment that the poolers lead to the
// new primary. It is less than that after which the poolers resume by themselves (images/pgbouncer/pooler-check),
// and than a client of theirs waits.
const heldWithin = 18 * time.Second

// clientsWait does work, a switchover, while the poolers hold their clients back: they wait, and none fails.
// Where the poolers cannot be paused, because a long transaction does not end or a pod does not answer, it is
// done without: then some clients have to try again.
func (x *Executor) clientsWait(ctx context.Context, app *v1alpha1.ScalableApp, from string, work func() error) error {
	poolers, err := x.poolers(ctx, app)
	if err != nil || len(poolers.addresses) == 0 {
		return errors.Join(err, work())
	}
	began := time.Now()
	if err := x.Poolers.Pause(ctx, poolers.addresses, poolers.password); err != nil {
		log.FromContext(ctx).Info("The poolers cannot be paused: clients may have to try again", "why", err.Error())
		return work()
	}
	defer func() {
		// Whatever ended ctx must not keep the clients waiting. A pod that does not hear it resumes by itself.
		_ = x.Poolers.Resume(context.WithoutCancel(ctx), poolers.addresses, poolers.password)
	}()
	if err := work(); err != nil {
		return err
	}
	if err := x.settled(ctx, app, from, poolers, began.Add(heldWithin)); err != nil {
		log.FromContext(ctx).Info("Clients are let go before the poolers are known to lead to the new primary", "why", err.Error())
		return nil
	}
	if err := x.poolersKnow(ctx, app); err != nil {
		log.FromContext(ctx).Info("The poolers are told to leave connections that they need not leave", "why", err.Error())
	}
	return nil
}

// poolersKnow writes down that the poolers lead to the primary of now: a pause closes all connections, so they
// need not be told to leave them. To tell them would cut off those that are just being made.
func (x *Executor) poolersKnow(ctx context.Context, app *v1alpha1.ScalableApp) error {
	record, err := x.record(ctx, app, naming.DatabaseLeader(app))
	if err != nil {
		return err
	}
	told := components.PrimaryTerm(record, record.Annotations["leader"])
	pooler := &metav1.PartialObjectMetadata{}
	pooler.Namespace, pooler.Name = app.Namespace, naming.Pooler(app, naming.PoolerReadWrite)
	pooler.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	return client.IgnoreNotFound(x.patch(ctx, pooler, map[string]any{"metadata": map[string]any{
		"annotations": map[string]any{naming.AnnotationPoolerTold: told},
	}}))
}

// poolerPods are pods of a pooler, and what opens them.
type poolerPods struct {
	addresses []string
	// password is that of the consoles, login that of their way to the database.
	password string
	login    pgbouncer.Login
}

// poolers are the pods before the primary.
func (x *Executor) poolers(ctx context.Context, app *v1alpha1.ScalableApp) (p poolerPods, err error) {
	list := &corev1.PodList{}
	err = x.Client.List(ctx, list, client.InNamespace(app.Namespace),
		client.MatchingLabels(naming.PoolerSelector(app, naming.PoolerReadWrite)))
	if err != nil {
		return p, err
	}
	for i := range list.Items {
		if address := components.PoolerAddress(&list.Items[i]); address != "" {
			p.addresses = append(p.addresses, address)
		}
	}
	if len(p.addresses) == 0 {
		return p, nil
	}
	if p.password, err = x.password(ctx, app, components.PoolerCredentials(app)); err != nil {
		return p, err
	}
	user, key := components.PoolerLogin(app)
	p.login.User = user
	p.login.Password, err = x.password(ctx, app, key)
	return p, err
}

// settled waits until the Service names another primary alone, and then until each pooler's new connections
// reach it: a node's proxy follows the Service in its own time, and a client that is let go before would write
// to the former primary. It returns what is not so yet when the time is over.
func (x *Executor) settled(ctx context.Context, app *v1alpha1.ScalableApp, from string, p poolerPods, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for {
		err := x.moved(ctx, app, from)
		if err == nil {
			err = x.Ways.Writable(ctx, p.addresses, p.password, p.login)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// moved says whether the Service of the primary leads to another pod than the former one, and to no more than that.
// It looks at what the nodes' proxies follow, not at the labels that this follows.
func (x *Executor) moved(ctx context.Context, app *v1alpha1.ScalableApp, from string) error {
	list := &discoveryv1.EndpointSliceList{}
	service := naming.DatabaseReadWrite(app)
	err := x.Live.List(ctx, list, client.InNamespace(app.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: service})
	if err != nil {
		return err
	}
	var leadsTo []string
	for i := range list.Items {
		for _, endpoint := range list.Items[i].Endpoints {
			if endpoint.TargetRef != nil && (endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready) {
				leadsTo = append(leadsTo, endpoint.TargetRef.Name)
			}
		}
	}
	slices.Sort(leadsTo)
	if leadsTo = slices.Compact(leadsTo); len(leadsTo) != 1 || leadsTo[0] == from { // a Service of two families has two slices
		return fmt.Errorf("Service %s leads to %q", service, leadsTo)
	}
	return nil
}
