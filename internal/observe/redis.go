package observe

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/redisclient"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// Redis asks Redis servers and Sentinels how they are.
type Redis interface {
	Member(ctx context.Context, address string, login redisclient.Login) (state.RedisMember, error)
	Sentinel(ctx context.Context, address, name string, login redisclient.Login) (state.RedisSentinel, error)
	// LetsIn says whether a server lets a login in.
	LetsIn(ctx context.Context, address string, login redisclient.Login) (bool, error)
}

// redis asks all servers of the app's session store and cache at once. Who does not answer is left out.
func (o *Observer) redis(ctx context.Context, app *v1alpha1.ScalableApp, seen *state.Observed) error {
	if o.Redis == nil {
		return nil
	}
	in := components.Input{App: app, Observed: seen}
	var wait sync.WaitGroup
	var mu sync.Mutex
	for _, asked := range []struct{ name, component, sentinel string }{
		{naming.Sessions(app), naming.ComponentSessions, naming.ComponentSessionsSentinel},
		{naming.Cache(app), naming.ComponentCache, naming.ComponentCacheSentinel},
	} {
		login := redisclient.Login{User: components.RedisMonitor, Password: components.RedisMonitorPassword(in, asked.name)}
		members, sentinels := running(seen, app, asked.component), running(seen, app, asked.sentinel)
		if login.Password == "" || len(members) == 0 {
			continue
		}
		group := &state.RedisGroup{Members: map[string]state.RedisMember{}, Sentinels: map[string]state.RedisSentinel{}}
		if seen.Redis == nil {
			seen.Redis = map[string]*state.RedisGroup{}
		}
		seen.Redis[asked.name] = group
		passwords := components.RedisExchanged(in, asked.name)
		for _, pod := range members {
			wait.Go(func() {
				if said, err := o.Redis.Member(ctx, components.RedisAddress(pod), login); err == nil {
					said.LetsIn = o.letsIn(ctx, components.RedisAddress(pod), passwords)
					mu.Lock()
					defer mu.Unlock()
					group.Members[pod.Name] = said
				}
			})
		}
		for _, pod := range sentinels {
			wait.Go(func() {
				if said, err := o.Redis.Sentinel(ctx, components.SentinelAddress(pod), asked.name, login); err == nil {
					mu.Lock()
					defer mu.Unlock()
					group.Sentinels[pod.Name] = said
				}
			})
		}
	}
	wait.Wait()
	return nil
}

// letsIn tries the app's passwords on a server. What it does not answer is left out.
func (o *Observer) letsIn(ctx context.Context, address string, passwords map[string]string) map[string]bool {
	said := map[string]bool{}
	for key, password := range passwords {
		if in, err := o.Redis.LetsIn(ctx, address, redisclient.Login{User: components.RedisUser, Password: password}); err == nil {
			said[key] = in
		}
	}
	return said
}

// running are the pods of a component that run, so that nobody waits for one that cannot answer.
func running(seen *state.Observed, app *v1alpha1.ScalableApp, component string) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, pod := range seen.PodsWith(naming.Selector(app, component)) {
		if pod.Status.Phase == corev1.PodRunning && pod.Status.PodIP != "" {
			pods = append(pods, pod)
		}
	}
	return pods
}
