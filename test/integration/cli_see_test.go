package integration

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

func TestCLIPlan(t *testing.T) {
	t.Parallel()
	c := newTool(t, newStack(t))
	dir := t.TempDir()
	file := func(name string, objects ...string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.Join(objects, "\n---\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	app := func(spec string) string {
		return "apiVersion: apps.scalableapp.dev/v1alpha1\nkind: ScalableApp\nmetadata: {name: shop}\nspec: " + spec
	}
	const settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {level: "
	spec := `{app: {image: one, envFrom: [{configMapRef: {name: settings, optional: true}}]}, cache: {redis: {}}}`

	c.want(1, []string{"-f FILE"}, "plan")
	c.want(1, []string{"does not exist"}, "plan", "-f", filepath.Join(dir, "none"))
	c.want(1, []string{"holds no ScalableApp"}, "plan", "-f", file("config", settings+`"1"}`))
	c.want(2, []string{"would be created", ": the first.", "create Service/shop-cache", "Waiting:"}, "plan", "-f", file("new", app(spec)))
	c.create(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "shop-cache"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}, ClusterIP: corev1.ClusterIPNone},
	})
	c.want(2, []string{"conflict: it exists and belongs to somebody else"}, "plan", "-f", file("new", app(spec)))
	c.delete(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "shop-cache"}})

	c.deploy(spec)
	c.settle()
	version := c.app().ResourceVersion
	c.want(0, []string{"nothing would change"}, "plan", "-f", file("same", app(spec)))
	r := c.want(2, []string{
		"spec.app.image: one → two", "spec.app.env[PASSWORD]: added", "A new revision, shop-", "image one → two, env PASSWORD added",
		"create ControllerRevision/shop-", "create Deployment/shop-", "Progressing:",
	}, "plan", "-f", file("image", app(strings.Replace(spec, "image: one", "image: two, env: [{name: PASSWORD, value: hunter2}]", 1))))
	if strings.Contains(r.out, "hunter2") {
		t.Errorf("a secret is shown:\n%s", r.out)
	}
	c.want(2, []string{"what it refers to changes", "config settings added"}, "plan", "-f", file("both", settings+`"2"}`, app(spec)))
	c.want(2, []string{"spec.cache.redis.memory: 128Mi → 256Mi", "No new revision", "change StatefulSet/shop-cache"},
		"plan", "-f", file("cache", app(strings.Replace(spec, "redis: {}", "redis: {memory: 256Mi}", 1))))
	c.want(2, []string{
		"The steps of the rollout (Canary):", "1  no traffic; gate smoke", "2  20% of the traffic; at least 30s; a person's approval", "3  all traffic",
		"revision 1 are kept for 5m",
	}, "plan", "-f", file("canary", app(strings.Replace(spec, "{app: {image: one", "{rollout: {strategy: Canary, gates: [{name: smoke, http: {path: /up}}], "+
		"canary: {steps: [{weight: 20, pauseSeconds: 30, approval: Required}]}}, app: {image: two", 1))))
	c.want(2, []string{"Then: Stalled (InvalidSpec)", "partial pod template"},
		"plan", "-f", file("template", app(strings.Replace(spec, "image: one", "image: one, podTemplate: {nonsense: 1}", 1))))
	c.want(1, []string{"would be refused", "at least 64Mi"},
		"plan", "-f", file("refused", app(strings.Replace(spec, "redis: {}", "redis: {memory: 1Mi}", 1))))
	if c.app().ResourceVersion != version {
		t.Error("a plan has written")
	}

	// kubectl apply takes away what it wrote and the file no longer holds.
	c.change(func(a *v1alpha1.ScalableApp) {
		a.Spec.App.Args = []string{"-v"}
		last := `{"apiVersion":"apps.scalableapp.dev/v1alpha1","kind":"ScalableApp","metadata":{"name":"shop"},"spec":{"app":{"args":["-v"],"image":"one"}}}`
		metav1.SetMetaDataAnnotation(&a.ObjectMeta, corev1.LastAppliedConfigAnnotation, last)
	})
	c.settle()
	c.want(2, []string{"spec.app.args: removed", "args removed"}, "plan", "-f", file("same", app(spec)))
}

// What a user may not do or see is said with the way out; what may be seen is shown all the same.
func TestCLIRights(t *testing.T) {
	t.Parallel()
	c := newTool(t, newStack(t))
	c.deploy(`app: {image: one}`)
	c.settle()
	c.want(1, []string{"forbidden", "kubectl auth can-i --list"}, "get", "shop", "--as", "eve")
	verbs := []string{"get", "list", "watch", "patch"}
	c.create(&rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "reader"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"scalableapps"}, Verbs: verbs},
			{APIGroups: []string{"apps"}, Resources: []string{"controllerrevisions", "deployments", "statefulsets"}, Verbs: verbs},
		},
	})
	c.create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "ada"}},
	})
	var r result
	for range 100 { // the authorizer learns of a role a moment later
		if r = c.run("get", "shop", "--as", "ada"); r.code == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if r.code != 0 || !strings.Contains(r.out, "you may not list pods, horizontalpodautoscalers") || !strings.Contains(r.out, "revision 1") {
		t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	file := filepath.Join(t.TempDir(), "shop.yaml")
	err := os.WriteFile(file, []byte("{apiVersion: apps.scalableapp.dev/v1alpha1, kind: ScalableApp, metadata: {name: shop}, spec: {app: {image: two}}}"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	c.want(2, []string{"image: one → two", "note:", "as if there were none"}, "plan", "-f", file, "--as", "ada")
}

func TestCLIGet(t *testing.T) {
	t.Parallel()
	c := newTool(t, newStack(t))
	c.want(0, []string{"There is no ScalableApp in namespace"}, "get")
	c.deploy(`app: {image: one, replicas: 2}`)
	c.settle()
	c.want(0, []string{"shop  Ready", "revision 1  stable  100%  2/2 pods  one"}, "get")
	c.want(0, []string{c.namespace + "/shop  Ready"}, "get", "-A")
	c.want(1, []string{"exclude each other"}, "get", "shop", "-A")
	c.want(1, []string{"kubectl get scalableapp -w"}, "get", "-w", "-o", "yaml")
	if r := c.want(0, nil, "get", "-o", "name"); r.out != "scalableapp.apps.scalableapp.dev/shop\n" {
		t.Errorf("-o name prints %q", r.out)
	}
	var list struct {
		Kind  string
		Items []v1alpha1.ScalableApp
	}
	if r := c.want(0, nil, "get", "-o", "json"); json.Unmarshal([]byte(r.out), &list) != nil || list.Kind != "List" || len(list.Items) != 1 {
		t.Errorf("-o json prints %s", r.out)
	}
	c.want(0, []string{"kind: ScalableApp"}, "get", "shop", "-o", "yaml")
	c.want(0, []string{"shop\tone"}, "__complete", "undo", "")
	c.want(0, []string{"1\tone; stable"}, "__complete", "undo", "shop", "--to", "")

	ctx, stop := context.WithCancel(t.Context())
	out, done := &lockedBuffer{}, make(chan result)
	go func() { done <- c.runIn(ctx, out, "get", "shop", "-w") }()
	out.waitFor(t, "stable 1: 2/2, 100% | Ready")
	waits := make(chan result)
	c.want(0, nil, "set", "image", "shop", "two")
	go func() { waits <- c.runIn(t.Context(), nil, "status", "shop", "--wait=5m") }()
	time.Sleep(500 * time.Millisecond) // it watches by now
	c.settle()
	out.waitFor(t, "stable 2: 2/2, 100% | Ready: 2 of 2 pods serve two")
	if r := <-waits; r.code != 0 || !strings.Contains(r.out, "is Ready") {
		t.Errorf("status --wait: exit code %d\n%s%s", r.code, r.out, r.err)
	}
	stop()
	if r := <-done; r.code != 0 {
		t.Errorf("get -w: exit code %d\n%s", r.code, r.err)
	}
}
