package apply

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/redisclient"
)

// Redis has a master hand over.
type Redis interface {
	HandOver(ctx context.Context, h redisclient.HandOver, login redisclient.Login) error
}

func (x *Executor) handOverRedis(ctx context.Context, app *v1alpha1.ScalableApp, a action.HandOverRedis) error {
	secret := &corev1.Secret{}
	if err := x.Client.Get(ctx, client.ObjectKey{Namespace: app.Namespace, Name: a.Secret}, secret); err != nil {
		return err
	}
	return x.Redis.HandOver(ctx,
		redisclient.HandOver{Name: a.Name, Pod: a.Pod, Members: a.Members, Sentinels: a.Sentinels, Hosts: a.Hosts},
		redisclient.Login{User: components.RedisSentinelUser, Password: string(secret.Data[components.KeyRedisSentinel])})
}
