package apply

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/redisclient"
)

// Redis has a master hand over.
type Redis interface {
	HandOver(ctx context.Context, h redisclient.HandOver, login redisclient.Login) error
}

// actions carries out what is done to the data tier, in order, and returns all errors.
func (x *Executor) actions(ctx context.Context, namespace string, list []action.Action) error {
	var errs []error
	for _, a := range list {
		var err error
		switch a := a.(type) {
		case action.DeletePod:
			err = x.deletePod(ctx, namespace, a)
		case action.HandOverRedis:
			err = x.handOverRedis(ctx, namespace, a)
		default:
			err = fmt.Errorf("nobody knows how to do it")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a, err))
		}
	}
	return errors.Join(errs...)
}

func (x *Executor) deletePod(ctx context.Context, namespace string, a action.DeletePod) error {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: a.Pod}}
	return client.IgnoreNotFound(x.Client.Delete(ctx, pod, client.Preconditions{UID: &a.UID}))
}

func (x *Executor) handOverRedis(ctx context.Context, namespace string, a action.HandOverRedis) error {
	secret := &corev1.Secret{}
	if err := x.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: a.Secret}, secret); err != nil {
		return err
	}
	return x.Redis.HandOver(ctx,
		redisclient.HandOver{Name: a.Name, Pod: a.Pod, Members: a.Members, Sentinels: a.Sentinels, Hosts: a.Hosts},
		redisclient.Login{User: components.RedisSentinelUser, Password: string(secret.Data[components.KeyRedisSentinel])})
}
