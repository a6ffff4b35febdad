package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// sessionsLoad are users who log in all the time, through the Service and with the settings of the sample app's
// client. Every session that was acknowledged is remembered.
type sessionsLoad struct {
	w      *world
	client *redis.Client
	stop   context.CancelFunc
	wait   sync.WaitGroup

	mu    sync.Mutex
	acked map[string]time.Time
}

// quietRedis takes the client's own log, a line for each failed dial.
type quietRedis struct{}

// Printf implements the client's logger.
func (quietRedis) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(quietRedis{}) }

const redisTimeout = time.Second

func (w *world) startSessions(app string) *sessionsLoad {
	w.Helper()
	service := &corev1.Service{}
	w.must(w.read(app+"-sessions", service))
	ctx, stop := context.WithCancel(w.ctx)
	l := &sessionsLoad{w: w, stop: stop, acked: map[string]time.Time{}, client: redis.NewClient(&redis.Options{
		Addr: service.Spec.ClusterIP + ":6379", Protocol: 2,
		// Each connection is made with what the app is given at that time.
		CredentialsProviderContext: func(context.Context) (string, string, error) {
			secret := &corev1.Secret{}
			err := w.read(naming.RedisBinding(app+"-sessions"), secret)
			return string(secret.Data["username"]), string(secret.Data["password"]), err
		},
		MaxRetries: -1, DialerRetries: 1, DialTimeout: redisTimeout, ReadTimeout: redisTimeout, WriteTimeout: redisTimeout,
		ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})}
	run := time.Now().UnixNano()
	for user := range 4 {
		l.wait.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key := fmt.Sprintf("session:%d:%d:%d", run, user, i)
				if l.client.Set(ctx, key, "here", time.Hour).Err() == nil {
					l.mu.Lock()
					l.acked[key] = time.Now()
					l.mu.Unlock()
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	return l
}

// acknowledgedAfter waits until sessions are taken that were asked for after a time.
func (l *sessionsLoad) acknowledgedAfter(t time.Time) {
	l.w.Helper()
	l.w.eventually(2*time.Minute, "sessions are taken again", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, at := range l.acked {
			if at.After(t.Add(redisTimeout)) {
				return nil
			}
		}
		return fmt.Errorf("none of %d", len(l.acked))
	})
}

// gap is the longest time without a session since a time, and lost are the sessions that were acknowledged and
// are not there.
func (l *sessionsLoad) gap(since time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var times []time.Time
	for _, at := range l.acked {
		if at.After(since.Add(-redisTimeout)) {
			times = append(times, at)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	var longest time.Duration
	for i := 1; i < len(times); i++ {
		longest = max(longest, times[i].Sub(times[i-1]))
	}
	return longest
}

func (l *sessionsLoad) lost() int {
	l.w.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	lost := 0
	for key := range l.acked {
		var n int64
		l.w.eventually(30*time.Second, "the session store answers", func() (err error) {
			n, err = l.client.Exists(l.w.ctx, key).Result()
			return err
		})
		if n == 0 {
			lost++
		}
	}
	return lost
}

func (l *sessionsLoad) end() {
	l.stop()
	l.wait.Wait()
}

// redisMaster is the pod whose label says that it is master.
func (w *world) redisMaster(app string) string {
	w.Helper()
	name := ""
	w.eventually(time.Minute, "one pod is labelled as master", func() error {
		pods := w.podsOf(map[string]string{
			naming.LabelInstance: app, naming.LabelComponent: naming.ComponentSessions, naming.LabelRole: "master"})
		if len(pods) != 1 {
			return fmt.Errorf("%d are", len(pods))
		}
		name = pods[0].Name
		return nil
	})
	return name
}

// inPod runs a command in a container and returns what it says.
func (w *world) inPod(pod, container string, command ...string) string {
	w.Helper()
	args := append([]string{"-n", w.namespace, "exec", pod, "-c", container, "--"}, command...)
	out, err := exec.CommandContext(w.ctx, "kubectl", args...).CombinedOutput()
	if err != nil {
		w.Logf("kubectl exec in %s: %v: %s", pod, err, out)
	}
	return string(out)
}
