package apply

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/redisclient"
)

// Redis does what only it may do.
type Redis interface {
	// HandOver has a master hand over.
	HandOver(ctx context.Context, h redisclient.HandOver, login redisclient.Login) error
	// LoadUsers has a server take up its file of users.
	LoadUsers(ctx context.Context, address string, login redisclient.Login) error
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

// loadRedisUsers tells all members. Who has not got the new file yet takes up the old one again, and who does not
// answer none: the next pass sees that, and tells them again.
func (x *Executor) loadRedisUsers(ctx context.Context, app *v1alpha1.ScalableApp, a action.LoadRedisUsers) error {
	secret := &corev1.Secret{}
	if err := x.Client.Get(ctx, client.ObjectKey{Namespace: app.Namespace, Name: a.Monitor.Name}, secret); err != nil {
		return err
	}
	login := redisclient.Login{User: components.RedisMonitor, Password: string(secret.Data[a.Monitor.Key])}
	for _, pod := range slices.Sorted(maps.Keys(a.Members)) {
		if err := x.Redis.LoadUsers(ctx, a.Members[pod], login); err != nil {
			log.FromContext(ctx).Info("Users were not loaded", "pod", pod, "error", err.Error())
		}
	}
	return nil
}
