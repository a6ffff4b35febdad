package e2e

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// The password of the session store is exchanged while users log in and use their sessions: no request fails, no
// session is lost, no pod of Redis is restarted, and in the end the old password lets nobody in.
func TestRedisRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := w.redisApp(3)
	app.Spec.App.Replicas = new(int32(2))
	w.create(app)
	first := w.waitReady("shop").Status.Rollout.Stable.Revision
	load, tr := w.startSessions("shop"), w.startTraffic("shop", 10, false)
	defer load.end()
	load.acknowledgedAfter(time.Now())
	pods := map[string]string{naming.LabelInstance: "shop", naming.LabelComponent: naming.ComponentSessions}
	before := lives(w.podsOf(pods))
	old := w.sessionsPassword()

	for i, token := range []string{"one", "two"} { // to the second password, and back to the first
		began := time.Now()
		w.changeApp("shop", func(app *v1alpha1.ScalableApp) {
			app.Annotations = maps.Clone(app.Annotations)
			if app.Annotations == nil {
				app.Annotations = map[string]string{}
			}
			app.Annotations[naming.AnnotationRotate] = "sessions:" + token
		})
		phases := map[string]time.Duration{}
		w.eventually(6*time.Minute, "rotation "+token+" is done", func() error {
			for _, c := range w.app("shop").Status.Credentials {
				if c.Name != "sessions" || c.Token != token {
					continue
				}
				if phases[c.Phase] == 0 {
					phases[c.Phase] = time.Since(began)
				}
				if c.Phase == "Done" {
					return nil
				}
				return errors.New(c.Phase + ": " + c.Message)
			}
			return errNotYet
		})
		t.Logf("rotation %d: prepared after %s, rolled out after %s, done after %s", i+1, seconds(phases["Switching"]), seconds(phases["Retiring"]), seconds(phases["Done"]))
		now := w.sessionsPassword()
		if now == old {
			t.Error("the password is the same")
		}
		for pod := range before {
			if in, out := w.logsIn(pod, now), w.logsIn(pod, old); in != nil || out == nil || !strings.Contains(out.Error(), "WRONGPASS") {
				t.Errorf("%s: with the new password %v, with the old one %v", pod, in, out)
			}
		}
		old = now
	}
	if w.waitReady("shop").Status.Rollout.Stable.Revision == first {
		t.Error("the app's pods were not replaced")
	}
	load.acknowledgedAfter(time.Now())
	if failed := tr.finish().Failed(); failed > 0 {
		t.Errorf("%d requests failed", failed)
	}
	if lost := load.lost(); lost > 0 {
		t.Errorf("%d sessions are lost", lost)
	}
	if after := lives(w.podsOf(pods)); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("pods or containers were made anew: %v, before %v", after, before)
	}
}

// sessionsPassword is what the app is given.
func (w *world) sessionsPassword() string {
	w.Helper()
	secret := &corev1.Secret{}
	w.must(w.read(naming.RedisBinding("shop-sessions"), secret))
	return string(secret.Data["password"])
}

// logsIn tries a password on one member.
func (w *world) logsIn(pod, password string) error {
	w.Helper()
	if said := w.inPod(pod, "redis", "sh", "-c", "REDISCLI_AUTH="+password+" redis-cli --no-auth-warning --user app ping 2>&1"); said != "PONG\n" {
		return errors.New(said)
	}
	return nil
}
