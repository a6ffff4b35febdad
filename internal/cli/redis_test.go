package cli

import (
	"strings"
	"testing"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

func TestRedisMaster(t *testing.T) {
	own := func(app *v1alpha1.ScalableApp) {
		app.Spec.Sessions = &v1alpha1.SessionsSpec{Store: v1alpha1.SessionStoreRedis, Redis: &v1alpha1.SessionRedisSpec{Members: 3}}
		app.Spec.Cache = &v1alpha1.CacheSpec{Redis: &v1alpha1.CacheRedisSpec{Members: 1}}
		app.Status.Sessions = &v1alpha1.RedisStatus{Members: 3, Master: "shop-sessions-2"}
		app.Status.Cache = &v1alpha1.RedisStatus{Members: 1}
	}
	external := func(app *v1alpha1.ScalableApp) {
		elsewhere := &v1alpha1.ExternalServiceSpec{SecretName: "mine"}
		app.Spec.Sessions = &v1alpha1.SessionsSpec{Store: v1alpha1.SessionStoreExternal, External: elsewhere,
			Redis: &v1alpha1.SessionRedisSpec{Members: 3}} // the schema fills it in
		app.Spec.Cache = &v1alpha1.CacheSpec{External: elsewhere}
	}
	for name, c := range map[string]struct {
		change func(*v1alpha1.ScalableApp)
		cache  bool
		want   string
	}{
		"the master":        {own, false, "shop-sessions-2"},
		"no master":         {own, true, "the cache of shop has no master at present"},
		"no sessions":       {func(*v1alpha1.ScalableApp) {}, false, "shop has no session store (spec.sessions)"},
		"no cache":          {func(*v1alpha1.ScalableApp) {}, true, "shop has no cache (spec.cache)"},
		"external sessions": {external, false, "the session store of shop is not run by the operator"},
		"external cache":    {external, true, "spec.cache.external.secretName"},
	} {
		app := &v1alpha1.ScalableApp{}
		app.Name = "shop"
		c.change(app)
		got, err := redisMaster(app, c.cache)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %q holds no %q", name, got, c.want)
		}
	}
}
