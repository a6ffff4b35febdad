package status

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// three is an app whose session store has three members that are well: 0 is master.
func three() Input {
	app := &v1alpha1.ScalableApp{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	app.Spec.Sessions = &v1alpha1.SessionsSpec{Store: v1alpha1.SessionStoreRedis, Redis: &v1alpha1.SessionRedisSpec{Members: 3}}
	in := Input{App: app, Observed: &state.Observed{
		StatefulSets: []*appsv1.StatefulSet{{ObjectMeta: metav1.ObjectMeta{Name: "shop-sessions"}}},
		Redis: map[string]*state.RedisGroup{"shop-sessions": {
			Members: map[string]state.RedisMember{
				"shop-sessions-0": {Master: true, Replicas: 2, Used: 10, Limit: 100}, "shop-sessions-1": {InSync: true}, "shop-sessions-2": {InSync: true}},
			Sentinels: map[string]state.RedisSentinel{"s-0": {Quorum: true}, "s-1": {Quorum: true}, "s-2": {Quorum: true}},
		}},
	}}
	for i, role := range []string{"master", "replica", "replica"} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: naming.RedisPod("shop-sessions", int32(i)),
			Labels: naming.Labels(app, naming.ComponentSessions)}}
		pod.Labels[naming.LabelRole] = role
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		in.Observed.Pods = append(in.Observed.Pods, pod)
	}
	return in
}

// unready has a member's pod not be ready for some time.
func unready(in Input, i int, since time.Duration) {
	in.Observed.Now = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	in.Observed.Pods[i].Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse,
		LastTransitionTime: metav1.NewTime(in.Observed.Now.Add(-since))}}
}

func TestSessionsOfThree(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(Input, *state.RedisGroup)
		reason  string
		message string
		blocks  bool
	}{
		"well": {func(Input, *state.RedisGroup) {}, v1alpha1.ReasonReady, "shop-sessions-0 is master, 2 replicas follow it, 3 Sentinels watch", false},
		"a stale replica": {func(_ Input, g *state.RedisGroup) { g.Members["shop-sessions-1"] = state.RedisMember{} },
			v1alpha1.ReasonDegraded, "shop-sessions-1 does not follow it: its data is old", false},
		"one that does not answer": {func(_ Input, g *state.RedisGroup) { delete(g.Members, "shop-sessions-2") },
			v1alpha1.ReasonDegraded, "shop-sessions-2 does not answer", false},
		"a replica that the master does not know": {func(_ Input, g *state.RedisGroup) {
			g.Members["shop-sessions-0"] = state.RedisMember{Master: true, Replicas: 1}
		},
			v1alpha1.ReasonDegraded, "only 1 of 2 replicas follow it", false},
		"no quorum": {func(_ Input, g *state.RedisGroup) { g.Sentinels["s-1"] = state.RedisSentinel{Message: "NOQUORUM"} },
			v1alpha1.ReasonDegraded, "would not be replaced if it were lost: s-1 says NOQUORUM", false},
		"a Sentinel is away": {func(_ Input, g *state.RedisGroup) { delete(g.Sentinels, "s-1") },
			v1alpha1.ReasonDegraded, "2 of 3 Sentinels answer", false},
		"the master's volume is full": {func(_ Input, g *state.RedisGroup) {
			g.Members["shop-sessions-0"] = state.RedisMember{Master: true, Replicas: 2, WriteFails: true}
			g.Members["shop-sessions-1"] = state.RedisMember{InSync: true, WriteFails: true}
		}, v1alpha1.ReasonDegraded, "shop-sessions-0 cannot write to its volume, so it takes no writes; reads go on; see docs/runbooks/redis-volume-full.md", false},
		"a replica's volume is full": {func(in Input, g *state.RedisGroup) {
			g.Members["shop-sessions-1"] = state.RedisMember{WriteFails: true}
			unready(in, 1, time.Hour)
		}, v1alpha1.ReasonDegraded, "shop-sessions-1 cannot write to its volume; see docs/runbooks/redis-volume-full.md", false},
		"a volume fills up": {func(_ Input, g *state.RedisGroup) {
			g.Members["shop-sessions-1"] = state.RedisMember{InSync: true, RewriteFails: true}
		}, v1alpha1.ReasonDegraded, "shop-sessions-1 could not rewrite its append-only file", false},
		"a stale replica, which is not ready": {func(in Input, g *state.RedisGroup) {
			g.Members["shop-sessions-1"] = state.RedisMember{}
			unready(in, 1, 2*time.Minute)
		}, v1alpha1.ReasonDegraded, "shop-sessions-0 is master, but shop-sessions-1 does not follow it: its data is old: " +
			"2 of 3 pods are ready; see docs/runbooks/redis-member-stale.md", false},
		"one that is being restarted": {func(in Input, g *state.RedisGroup) {
			delete(g.Members, "shop-sessions-1")
			unready(in, 1, 10*time.Second)
		}, v1alpha1.ReasonProgressing, "shop-sessions-0 is master, but shop-sessions-1 does not answer: 2 of 3 pods are ready", false},
		"one on a node that is gone": {func(in Input, g *state.RedisGroup) {
			delete(g.Members, "shop-sessions-1")
			unready(in, 1, 10*time.Minute)
			in.Observed.Pods[1].DeletionTimestamp = &metav1.Time{Time: in.Observed.Now}
		}, v1alpha1.ReasonDegraded, "2 of 3 pods are ready; see docs/runbooks/redis-member-stale.md", false},
		"the memory is nearly full": {func(_ Input, g *state.RedisGroup) {
			g.Members["shop-sessions-0"] = state.RedisMember{Master: true, Replicas: 2, Used: 850, Limit: 1000}
		}, v1alpha1.ReasonMemoryNearlyFull, "more than 80% of the memory is in use", false},
		"full, but the idle ones go": {func(in Input, g *state.RedisGroup) {
			in.App.Spec.Sessions.Redis.Eviction = v1alpha1.SessionEvictionEvictIdle
			g.Members["shop-sessions-0"] = state.RedisMember{Master: true, Replicas: 2, Used: 850, Limit: 1000}
		}, v1alpha1.ReasonReady, "is master", false},
		"a label that the server does not stand by": {func(_ Input, g *state.RedisGroup) { g.Members["shop-sessions-0"] = state.RedisMember{InSync: true} },
			v1alpha1.ReasonUnavailable, "no member is master", true},
	} {
		in := three()
		c.change(in, in.Observed.Redis["shop-sessions"])
		v := sessions(in)
		if v.reason != c.reason || !strings.Contains(v.message, c.message) {
			t.Errorf("%s: %s: %s, want %s: … %s …", name, v.reason, v.message, c.reason, c.message)
		}
		if got := DataTierObstacle(in) != ""; got != c.blocks {
			t.Errorf("%s: holds up a release: %t, want %t", name, got, c.blocks)
		}
	}
}

// One member is Ready, and says what its loss costs; a volume that cannot grow needs a person and holds up nothing.
func TestSessionsOfOne(t *testing.T) {
	in := three()
	in.App.Spec.Sessions.Redis.Members = 1
	in.Observed.Pods = in.Observed.Pods[:1]
	if v := sessions(in); !v.ok || !strings.Contains(v.message, "it is the only member") || !strings.Contains(v.message, "if its volume is lost, all users are logged out") {
		t.Errorf("one on a volume: %+v", v)
	}
	in.RedisTrouble = map[string]string{"shop-sessions": "data-shop-sessions-0 cannot grow"}
	if v := sessions(in); v.ok || !v.lasting || v.reason != v1alpha1.ReasonChangeFailed ||
		!strings.HasSuffix(v.message, "data-shop-sessions-0 cannot grow; see docs/runbooks/redis-volume-cannot-grow.md") {
		t.Errorf("a volume that cannot grow: %+v", v)
	}
	if waits := DataTierObstacle(in); waits != "" {
		t.Errorf("a release waits: %s", waits)
	}
	in.RedisTrouble = nil
	in.RedisChange = map[string]string{"shop-sessions": "new settings"}
	if v := sessions(in); v.ok || v.reason != v1alpha1.ReasonProgressing {
		t.Errorf("about to be restarted: %+v", v)
	}
	in.RedisChange = nil
	in.App.Spec.Sessions.Redis.Persistence = v1alpha1.PersistenceDisabled
	if v := sessions(in); !v.ok || !strings.Contains(v.message, "after that all users are logged out") {
		t.Errorf("one without a volume: %+v", v)
	}
}

// The danger is over only when there is some room again, or the condition would flap.
func TestNearlyFullStays(t *testing.T) {
	in := three()
	in.Observed.Redis["shop-sessions"].Members["shop-sessions-0"] = state.RedisMember{Master: true, Replicas: 2, Used: 770, Limit: 1000}
	if v := sessions(in); !v.ok {
		t.Errorf("at 77%%: %+v", v)
	}
	in.App.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSessionsReady, Reason: v1alpha1.ReasonMemoryNearlyFull}}
	if v := sessions(in); v.ok {
		t.Errorf("at 77%% after more than 80%%: %+v", v)
	}
}

func TestExternalSessionsAndCache(t *testing.T) {
	app := &v1alpha1.ScalableApp{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	app.Spec.Sessions = &v1alpha1.SessionsSpec{Store: v1alpha1.SessionStoreExternal, Redis: &v1alpha1.SessionRedisSpec{Members: 1},
		External: &v1alpha1.ExternalServiceSpec{SecretName: "mine"}}
	app.Spec.Cache = &v1alpha1.CacheSpec{External: &v1alpha1.ExternalServiceSpec{SecretName: "mine-too"}}
	in := Input{App: app, Observed: &state.Observed{ExternalCache: state.ExternalSecret{Exists: true, Keys: []string{"url"}}}}
	if v := sessions(in); v.reason != v1alpha1.ReasonSecretMissing || !v.lasting ||
		!strings.Contains(v.message, "sessions.external.secretName") {
		t.Errorf("no Secret: %+v", v)
	}
	if v := cache(in); v.reason != v1alpha1.ReasonSecretIncomplete || !v.lasting {
		t.Errorf("no uri: %+v", v)
	}
	in.Observed.ExternalSessions = state.ExternalSecret{Exists: true, Keys: []string{"uri"}}
	if v := sessions(in); !v.ok || sessionsStatus(in) != nil {
		t.Errorf("bound: %+v, %+v", v, sessionsStatus(in))
	}
}
