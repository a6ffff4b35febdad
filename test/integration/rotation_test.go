package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rotation"
)

// The pods of the app have the API server's own clock, which here is not the operator's: so there are none. How
// pods are waited for is told in internal/plan.
const rotated = `
app: {image: registry.example/shop:1.0.0, replicas: 0}
database: {postgres: {instances: 2, storage: {size: 1Gi}}}
`

// rotationWorkload rotates all that there is, and then the app's password back to the first of its pair.
var rotationWorkload = []act{
	func(s *stack) {
		s.before, s.looks = s.membersReport, s.bindingIsLetIn
		s.deploy(rotated)
		s.settle()
		s.ready()
	},
	func(s *stack) { s.rotate("app,replication,superuser:one") },
	func(s *stack) { s.rotate("app:two") },
}

// The operator may die after any write of a rotation. No password that somebody has is exchanged by that.
func TestCrashSweepOfRotations(t *testing.T) {
	t.Parallel()
	sweep(t, rotationWorkload, sweepOf{skip: 1, every: 3, offset: 1, atLeast: 20, begin: newStack})
}

func (s *stack) rotate(request string) {
	s.Helper()
	app := s.app()
	metav1.SetMetaDataAnnotation(&app.ObjectMeta, naming.AnnotationRotate, request)
	s.update(app)
	s.settle()
	s.ready()
	for _, c := range s.app().Status.Credentials {
		if c.Phase != rotation.PhaseDone {
			s.Fatalf("at the end %+v", c)
		}
	}
}

func (s *stack) secret(name string) *corev1.Secret {
	s.Helper()
	secret := &corev1.Secret{}
	if err := s.api.Get(s.ctx, s.key(name), secret); client.IgnoreNotFound(err) != nil {
		s.Fatal(err)
	}
	return secret
}

// membersReport is what the members of the database do: they take up what their Secret says, and say so.
func (s *stack) membersReport() {
	s.Helper()
	data := s.secret("shop-db-credentials").Data
	file, err := rotation.Read(data[rotation.Key])
	if err != nil {
		s.Fatal(err)
	}
	if !file.Rotating {
		return
	}
	roles := map[string]string{}
	for role, key := range roleKeys {
		roles[role] = map[bool]string{true: "in", false: "out"}[len(data[key]) > 0]
	}
	replicates := "standby"
	if strings.Contains(string(data["authentication.yml"]), "standby_b") {
		replicates = "standby_b"
	}
	raw, err := json.Marshal(map[string]any{"generation": file.Generation, "roles": roles, "replicates": replicates})
	if err != nil {
		s.Fatal(err)
	}
	for _, pod := range s.pods(naming.Selector(s.app(), naming.ComponentDatabase)) {
		told := pod.Annotations[naming.AnnotationCredentials] == fmt.Sprint(file.Generation)
		if told && pod.Annotations[naming.AnnotationCredentialsReport] != string(raw) {
			metav1.SetMetaDataAnnotation(&pod.ObjectMeta, naming.AnnotationCredentialsReport, string(raw))
			s.update(pod)
		}
	}
}

var roleKeys = map[string]string{
	"app": "APP_PASSWORD", "app_b": "APP_B_PASSWORD", "app_ro": "APP_RO_PASSWORD", "app_ro_b": "APP_RO_B_PASSWORD",
	"standby": "REPLICATION_PASSWORD", "standby_b": "REPLICATION_B_PASSWORD", "rewind": "REWIND_PASSWORD", "rewind_b": "REWIND_B_PASSWORD",
	"postgres": "SUPERUSER_PASSWORD",
}

// bindingIsLetIn: after each write, whatever the app is given is a password that the Secret has.
func (s *stack) bindingIsLetIn(write string) {
	binding, data := s.secret("shop-db-app").Data, s.secret("shop-db-credentials").Data
	for user, password := range map[string]string{"username": "password", "username-ro": "password-ro"} {
		if len(binding) > 0 && string(binding[password]) != string(data[roleKeys[string(binding[user])]]) {
			s.Errorf("after %s the app has a password of %s that is let in by nobody", write, binding[user])
		}
	}
}

// A request that cannot be carried out is refused with the reason, and changes nothing.
func TestRotationIsRefused(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.deploy(rotated)
	s.settle()
	before := s.passwords()
	s.change(func(app *v1alpha1.ScalableApp) {
		metav1.SetMetaDataAnnotation(&app.ObjectMeta, naming.AnnotationRotate, "app,cache:one")
	})
	s.settle()
	if r := s.app().Status.Rotation; r == nil || r.HandledRequest != "app,cache:one" || !strings.Contains(r.RefusedMessage, "spec.cache") {
		t.Errorf("%+v", r)
	}
	if after := s.passwords(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Error("a refused request changed a Secret")
	}
	s.ready()
}
