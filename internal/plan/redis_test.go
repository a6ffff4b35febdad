package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// threeSessions is an app whose session store has three members that run, and whose memory is then changed.
func threeSessions(t *testing.T) *story {
	s := newStory(t, `
app: {image: "shop:1", port: 8080, replicas: 1}
sessions: {store: Redis, redis: {members: 3, persistence: Disabled}}
`)
	for range 20 {
		s.addresses()
		s.pass()
		s.Turn()
	}
	for i := range 3 {
		s.Children[fmt.Sprint("Pod/shop-sessions-", i)].GetLabels()[naming.LabelRole] = map[bool]string{true: "master"}[i == 0]
	}
	for range 20 {
		s.addresses()
		s.pass()
		s.Turn()
	}
	return s
}

// addresses gives Services their addresses, as the API server does.
func (s *story) addresses() {
	for _, service := range s.Seen().Services {
		var n int
		for _, r := range service.Name {
			n = n*31 + int(r)
		}
		s.Children["Service/"+service.Name].(*corev1.Service).Spec.ClusterIP = fmt.Sprintf("10.0.%d.%d", n>>8&255, n&255)
	}
}

func (s *story) moreMemory() {
	memory := resource.MustParse("512Mi")
	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.Sessions.Redis.Memory = &memory })
}

// look is a plan of which nothing is done.
func (s *story) look(redis map[string]*state.RedisGroup) Plan {
	s.addresses()
	seen := s.Seen()
	seen.Redis = redis
	images := components.Images{Postgres: "postgres", PgBouncer: "pgbouncer", Redis: "redis"}
	return Build(s.App, seen, Config{Images: images, OperatorNamespace: "system"})
}

func restarts(p Plan) []string {
	var names []string
	for _, a := range p.Actions {
		if a, ok := a.(action.DeletePod); ok {
			names = append(names, a.Pod)
		}
	}
	return names
}

// answering is what three members say that are well: 0 is master.
func answering() map[string]*state.RedisGroup {
	return map[string]*state.RedisGroup{"shop-sessions": {
		Members: map[string]state.RedisMember{
			"shop-sessions-0": {Master: true, Replicas: 2}, "shop-sessions-1": {InSync: true}, "shop-sessions-2": {InSync: true}},
		Sentinels: map[string]state.RedisSentinel{"s-0": {Quorum: true}, "s-1": {Quorum: true}, "s-2": {Quorum: true}},
	}}
}

// Members that only the operator cannot reach are not restarted for new settings.
func TestRedisUnreachable(t *testing.T) {
	s := threeSessions(t)
	s.moreMemory()
	s.addresses()
	s.pass() // the StatefulSet has the new settings
	s.Turn()
	for name, said := range map[string]map[string]*state.RedisGroup{
		"not asked": nil, "no answer": {"shop-sessions": {}},
		"one does not answer": {"shop-sessions": {Members: map[string]state.RedisMember{
			"shop-sessions-0": {Master: true, Replicas: 2}, "shop-sessions-1": {InSync: true}}}},
	} {
		if p := s.look(said); len(restarts(p)) > 0 {
			t.Errorf("%s: %s are restarted", name, restarts(p))
		}
	}
	if p := s.look(answering()); !slices.Equal(restarts(p), []string{"shop-sessions-2"}) {
		t.Errorf("all answer: %v", p.Actions)
	}
}

// A pod is not deleted before its StatefulSet makes it anew with the new settings: not while that is refused, and not
// before its controller has seen it.
func TestRedisOldTemplate(t *testing.T) {
	s := threeSessions(t)
	s.moreMemory()
	waits := func(when string) {
		t.Helper()
		p := s.look(answering())
		if len(restarts(p)) > 0 {
			t.Errorf("%s: %s are restarted", when, restarts(p))
		}
		if text := p.String(); p.Wake != redisStep || !strings.Contains(text, "its StatefulSet does not have the new settings yet") {
			t.Errorf("%s: wakes after %s\n%s", when, p.Wake, text)
		}
	}
	waits("refused")
	s.addresses()
	s.pass()
	waits("not seen by its controller")
	set := s.Children["StatefulSet/shop-sessions"].(*appsv1.StatefulSet)
	set.Status.ObservedGeneration = set.Generation
	if p := s.look(answering()); !slices.Equal(restarts(p), []string{"shop-sessions-2"}) {
		t.Errorf("%v", p.Actions)
	}
}

// A paused app is looked at all the same: what its status says stays true.
func TestRedisOfPaused(t *testing.T) {
	s := threeSessions(t)
	s.moreMemory()
	paused := true
	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.Paused = &paused })
	p := s.look(answering())
	if len(p.Actions) > 0 || p.Wake != redisLook {
		t.Errorf("%v, wakes after %s", p.Actions, p.Wake)
	}
	missing := answering()
	delete(missing["shop-sessions"].Members, "shop-sessions-1")
	if p = s.look(missing); len(p.Actions) > 0 || p.Wake != redisMissed {
		t.Errorf("one does not answer: %v, wakes after %s", p.Actions, p.Wake)
	}
}
