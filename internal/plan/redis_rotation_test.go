package plan

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rotation"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// redisServers are the users that each Redis server has taken up, by its pod: those of its file when it started,
// or when it was last told to load them.
type redisServers map[types.UID]string

// load has servers take up their files.
func (r redisServers) load(seen *state.Observed, pods ...string) {
	for _, name := range pods {
		for _, pod := range seen.Pods {
			if pod.Name == name {
				r[pod.UID] = usersOf(seen, pod)
			}
		}
	}
}

func usersOf(seen *state.Observed, pod *corev1.Pod) string {
	if secret := seen.Secret(naming.RedisUsers(pod.Name[:strings.LastIndexByte(pod.Name, '-')])); secret != nil {
		return string(secret.Data["users.acl"])
	}
	return ""
}

func (r redisServers) letsIn(pod *corev1.Pod, password string) bool {
	return password != "" && strings.Contains(r[pod.UID], fmt.Sprintf("#%x ", sha256.Sum256([]byte(password))))
}

// say is what the servers say when they are asked.
func (r redisServers) say(seen *state.Observed) map[string]*state.RedisGroup {
	if r == nil {
		return nil
	}
	said := map[string]*state.RedisGroup{}
	for _, pod := range redisPods(seen) {
		if r[pod.UID] == "" {
			r.load(seen, pod.Name)
		}
		name := pod.Name[:strings.LastIndexByte(pod.Name, '-')]
		member := state.RedisMember{Master: true, LetsIn: map[string]bool{}}
		for _, key := range []string{"APP_PASSWORD", "APP_B_PASSWORD"} {
			member.LetsIn[key] = r.letsIn(pod, string(seen.Secret(naming.RedisCredentials(name)).Data[key]))
		}
		said[name] = &state.RedisGroup{Members: map[string]state.RedisMember{pod.Name: member}}
	}
	return said
}

func redisPods(seen *state.Observed) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, pod := range seen.Pods {
		if c := pod.Labels[naming.LabelComponent]; c == naming.ComponentSessions || c == naming.ComponentCache {
			pods = append(pods, pod)
		}
	}
	return pods
}

// At each moment every pod of the app is let in with what it was started with: new passwords are let in before
// they are bound, and old ones until the last pod that has them is gone.
func TestRedisRotationStory(t *testing.T) {
	s := newStory(t, `
app: {image: "shop:1", port: 8080, replicas: 2}
sessions: {store: Redis, redis: {members: 1, persistence: Disabled}}
cache: {redis: {members: 1}}
`)
	s.redis = redisServers{}
	s.play()
	first := s.App.Status.Rollout.Stable.Revision
	given := map[types.UID]string{} // to the app's pods when they were made
	look := func() {
		seen := s.Seen()
		for _, pod := range seen.PodsWith(naming.Selector(s.App, naming.ComponentApp)) {
			if given[pod.UID+types.UID(pod.Name)] == "" {
				given[pod.UID+types.UID(pod.Name)] = string(seen.Secret("shop-sessions-app").Data["password"])
			}
			for _, server := range redisPods(seen) {
				if server.Name == "shop-sessions-0" && !s.redis.letsIn(server, given[pod.UID+types.UID(pod.Name)]) {
					t.Fatalf("%s is not let in: %+v", pod.Name, s.App.Status.Credentials)
				}
			}
		}
	}
	rotate := func(request string) string {
		s.App.Annotations = map[string]string{naming.AnnotationRotate: request}
		phases := ""
		for range 120 {
			s.pass()
			look()
			done := len(s.App.Status.Credentials) > 0
			for _, c := range s.App.Status.Credentials {
				if line := c.Name + " " + c.Phase + "\n"; c.Name == rotation.Sessions && !strings.HasSuffix(phases, line) {
					phases += line
				}
				done = done && c.Phase == rotation.PhaseDone
			}
			s.Turn()
			look()
			if done && s.App.Status.Rollout.Stage == "Stable" {
				return phases
			}
		}
		t.Fatalf("it never ends: %+v\n%s", s.App.Status.Credentials, s.text.String())
		return ""
	}

	const want = "sessions Requested\nsessions Preparing\nsessions Switching\nsessions RollingOut\nsessions Retiring\nsessions Done\n"
	phases := rotate("sessions,cache:one")
	second := s.App.Status.Rollout.Stable.Revision
	if phases != want || second == first {
		t.Errorf("%s\nwas %s, is %s", phases, first, second)
	}
	data := s.Seen().Secret("shop-sessions-credentials").Data
	if len(data["APP_PASSWORD"]) > 0 || len(data["APP_B_PASSWORD"]) == 0 {
		t.Error("the first is not gone, or the second not there")
	}
	for _, server := range redisPods(s.Seen()) {
		if n := strings.Count(strings.SplitN(s.redis[server.UID], "user monitor", 2)[0], "#"); n != 1 {
			t.Errorf("%s lets the app in with %d passwords", server.Name, n)
		}
	}
	if phases = rotate("sessions:two"); !strings.HasSuffix(phases, want[len("sessions Requested\n"):]) || s.App.Status.Rollout.Stable.Revision == second {
		t.Errorf("and back: %s", phases)
	}
	s.rolled()
	if p := s.pass(); len(p.Actions) > 0 || p.Wake != redisLook {
		t.Errorf("at rest: %v, wakes after %s", p.Actions, p.Wake)
	}
}

// A server that never takes up the new password keeps the old one in use; one that does not answer, too.
func TestRedisRotationWaits(t *testing.T) {
	s := newStory(t, "app: {image: \"shop:1\", port: 8080, replicas: 1}\nsessions: {store: Redis, redis: {members: 1, persistence: Disabled}}\n")
	s.redis = redisServers{}
	s.play()
	bound := string(s.Seen().Secret("shop-sessions-app").Data["password"])
	s.App.Annotations = map[string]string{naming.AnnotationRotate: "sessions:one"}
	stuck := maps.Clone(s.redis)
	for range 10 {
		maps.Copy(s.redis, stuck)
		s.pass()
		s.Now = s.Now.Add(time.Second)
	}
	c := s.App.Status.Credentials
	if len(c) != 1 || c[0].Phase != rotation.PhasePreparing || !strings.Contains(c[0].Message, "shop-sessions-0 does not let the app in with the new password yet") {
		t.Errorf("%+v", c)
	}
	if got := string(s.Seen().Secret("shop-sessions-app").Data["password"]); got != bound {
		t.Error("the app is given a password that is not let in")
	}
}
