package plan

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rotation"
)

const rotating = `
app: {image: "shop:1", port: 8080, replicas: 2}
database: {postgres: {version: 17, instances: 2, durability: Preferred, storage: {size: 1Gi}}}
`

// the database's credentials, and what they say of themselves.
func (s *story) passwords() (*corev1.Secret, rotation.File) {
	s.Helper()
	secret := s.Children["Secret/shop-db-credentials"].(*corev1.Secret)
	file, err := rotation.Read(secret.Data[rotation.Key])
	if err != nil {
		s.Fatal(err)
	}
	return secret, file
}

// report has every member carry out what the Secret says, as the image's follow-credentials does.
func (s *story) report() {
	s.Helper()
	secret, file := s.passwords()
	roles := map[string]string{}
	for role, key := range map[string]string{
		"app": "APP_PASSWORD", "app_b": "APP_B_PASSWORD", "app_ro": "APP_RO_PASSWORD", "app_ro_b": "APP_RO_B_PASSWORD",
		"standby": "REPLICATION_PASSWORD", "standby_b": "REPLICATION_B_PASSWORD", "rewind": "REWIND_PASSWORD", "rewind_b": "REWIND_B_PASSWORD",
		"postgres": "SUPERUSER_PASSWORD",
	} {
		roles[role] = map[bool]string{true: "in", false: "out"}[len(secret.Data[key]) > 0]
	}
	replicates := "standby"
	if strings.Contains(string(secret.Data["authentication.yml"]), "standby_b") {
		replicates = "standby_b"
	}
	raw, err := json.Marshal(map[string]any{"generation": file.Generation, "roles": roles, "replicates": replicates})
	if err != nil {
		s.Fatal(err)
	}
	for _, pod := range s.Seen().PodsWith(naming.Selector(s.App, naming.ComponentDatabase)) {
		s.Children["Pod/"+pod.Name].SetAnnotations(merged(s.Children["Pod/"+pod.Name].GetAnnotations(),
			naming.AnnotationCredentialsReport, string(raw)))
	}
}

func merged(m map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range m {
		if k != key {
			out[k] = v
		}
	}
	return out
}

// rotate plays until the phases have come to their end. In each pass it looks at what must always hold: what
// the app is given is let in, and what its pods were started with is, too.
func (s *story) rotate(request string) (phases string) {
	s.Helper()
	s.App.Annotations = map[string]string{naming.AnnotationRotate: request}
	said := map[string]bool{}
	for range 120 {
		s.pass()
		done := len(s.App.Status.Credentials) > 0
		for _, c := range s.App.Status.Credentials {
			if line := c.Name + " " + c.Phase; !said[line] {
				said[line] = true
				phases += line + "\n"
			}
			done = done && c.Phase == rotation.PhaseDone
		}
		s.letsIn()
		s.report()
		if s.Turn(); done && s.App.Status.Rollout.Stage == v1alpha1.StageStable {
			return phases
		}
	}
	s.Fatalf("it never ends: %+v\n%s", s.App.Status.Credentials, s.text.String())
	return ""
}

func (s *story) letsIn() {
	s.Helper()
	secret, file := s.passwords()
	binding := s.Children["Secret/shop-db-app"].(*corev1.Secret)
	for user, key := range map[string]string{"username": "password", "username-ro": "password-ro"} {
		role := strings.ToUpper(string(binding.Data[user]))
		have := string(secret.Data[role+"_PASSWORD"])
		if have == "" || have != string(binding.Data[key]) {
			s.Fatalf("the app is given a password of %s that is not let in, at %+v", role, file)
		}
	}
}

// rolled plays until a rollout is over.
func (s *story) rolled() {
	s.Helper()
	for range 60 {
		p := s.pass()
		if s.Turn(); s.App.Status.Rollout.Stage == v1alpha1.StageStable && len(p.Deletions) == 0 {
			return
		}
	}
	s.Fatal("the rollout does not end")
}

func TestRotationStory(t *testing.T) {
	s := newStory(t, rotating)
	s.play()
	first := s.App.Status.Rollout.Stable.Revision

	phases := s.rotate("app:one")
	want := "app Requested\napp Preparing\napp Switching\napp RollingOut\napp Retiring\napp Done\n"
	secret, file := s.passwords()
	second := s.App.Status.Rollout.Stable.Revision
	if phases != want || second == first || len(secret.Data["APP_PASSWORD"]) > 0 || file.Rotating {
		t.Errorf("%s\nwas %s, is %s, %+v", phases, first, second, file)
	}

	phases = s.rotate("app,replication,superuser:two")
	secret, _ = s.passwords()
	for key, there := range map[string]bool{
		"APP_PASSWORD": true, "APP_B_PASSWORD": false, "APP_RO_B_PASSWORD": false,
		"REPLICATION_PASSWORD": false, "REPLICATION_B_PASSWORD": true, "REWIND_B_PASSWORD": true, "SUPERUSER_PASSWORD": true,
	} {
		if got := len(secret.Data[key]) > 0; got != there {
			t.Errorf("%s is there: %v", key, got)
		}
	}
	if !strings.Contains(phases, "replication Switching") || strings.Contains(phases, "replication RollingOut") || strings.Contains(phases, "superuser Switching") {
		t.Error(phases)
	}
	if third := s.App.Status.Rollout.Stable.Revision; third == second || third == first {
		t.Errorf("the second rotation has the revision of another: %s", third)
	}

	s.rolled()
	if p := s.pass(); len(p.Actions) > 0 || p.Wake < time.Hour {
		t.Errorf("no rest after a rotation:\n%s", p)
	}
	if status := s.App.Status.Credentials[0]; status.Token != "two" || status.TakenToken != "two" || status.LastRotatedTime == nil {
		t.Errorf("%+v", status)
	}
}

func TestRotationWaits(t *testing.T) {
	s := newStory(t, rotating)
	s.play()
	phase := func() string {
		if len(s.App.Status.Credentials) == 0 {
			return ""
		}
		return s.App.Status.Credentials[0].Phase
	}
	s.App.Annotations = map[string]string{naming.AnnotationRotate: "app:one"}
	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.App.Image = "shop-broken:2" })
	for range 5 {
		s.pass()
		s.Turn()
	}
	if _, file := s.passwords(); phase() != rotation.PhaseRequested || file.Rotating {
		t.Errorf("%s into a rollout", phase())
	}
	s.image("shop:3")
	for range 120 { // nobody reports
		s.pass()
		s.Turn()
	}
	if phase() != rotation.PhasePreparing || !strings.Contains(s.App.Status.Credentials[0].Message, "shop-db-0") ||
		!strings.Contains(s.App.Status.Credentials[0].Message, "rotation-stands-still") {
		t.Errorf("%+v", s.App.Status.Credentials)
	}
	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.Paused = new(true) })
	s.report()
	for range 3 {
		s.pass()
		s.Now = s.Now.Add(time.Minute)
	}
	if phase() != rotation.PhasePreparing {
		t.Errorf("%s while paused", phase())
	}
	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.Paused = nil })
	s.rotate("app:one")
}

func TestRotationIsRefused(t *testing.T) {
	for request, want := range map[string]string{
		"everything:1": "not understood",
		"app":          "token",
		"app,cache:1":  "spec.cache",
	} {
		s := newStory(t, rotating)
		s.play()
		s.App.Annotations = map[string]string{naming.AnnotationRotate: request}
		s.play()
		status := s.App.Status
		r := status.Rotation
		if r == nil || r.HandledRequest != request || !strings.Contains(r.RefusedMessage, want) || len(status.Credentials) > 0 {
			t.Errorf("%s: %+v %+v", request, status.Rotation, status.Credentials)
		}
		if !strings.Contains(s.text.String(), "event Warning RotationRefused") {
			t.Errorf("%s: no event:\n%s", request, s.text.String())
		}
	}
	s := newStory(t, rotating)
	s.play()
	first := s.App.Status.Rollout.Stable.Revision
	s.image("shop:2")
	s.rolled()
	s.App.Annotations = map[string]string{naming.AnnotationUndo: s.App.Status.Rollout.Stable.Revision + ":" + first}
	s.rolled()
	s.App.Annotations[naming.AnnotationRotate] = "app:1"
	s.pass()
	if r := s.App.Status.Rotation; r == nil || !strings.Contains(r.RefusedMessage, "undone") {
		t.Errorf("over an undo: %+v", r)
	}
}
