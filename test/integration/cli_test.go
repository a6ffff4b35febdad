package integration

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/cli"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// tool is the kubectl plugin in the hands of a user of a stack's namespace.
type tool struct {
	*stack
	kubeconfig string
}

func newTool(t *testing.T, s *stack) *tool {
	t.Helper()
	return &tool{s, kubeconfigOf(t, &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData})}
}

func kubeconfigOf(t testing.TB, cluster *clientcmdapi.Cluster) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"c": cluster},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"u": {
			ClientCertificateData: config.CertData, ClientKeyData: config.KeyData,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	}, file)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// result is what a command has printed, and its exit code.
type result struct {
	out, err string
	code     int
}

func (c *tool) run(args ...string) result {
	c.Helper()
	return c.runIn(c.ctx, nil, args...)
}

func (c *tool) runIn(ctx context.Context, out *lockedBuffer, args ...string) result {
	c.Helper()
	if out == nil {
		out = &lockedBuffer{}
	}
	errOut := &lockedBuffer{}
	flags := []string{"--kubeconfig", c.kubeconfig, "--namespace", c.namespace, "--cache-dir", c.TempDir()}
	if args[0] == "__complete" { // there, what comes last is what is typed
		args = append(append([]string{"__complete"}, flags...), args[1:]...)
	} else {
		args = append(args, flags...)
	}
	code := cli.Run(ctx, "test", args, genericiooptions.IOStreams{In: os.Stdin, Out: out, ErrOut: errOut})
	c.seen.refresh(c.ctx, v1alpha1.GroupVersion.WithKind("ScalableApp"), c.key("shop"))
	return result{out.String(), errOut.String(), code}
}

// want runs a command and checks its exit code and that both outputs together hold the given texts.
func (c *tool) want(code int, texts []string, args ...string) result {
	c.Helper()
	r := c.run(args...)
	if r.code != code {
		c.Fatalf("%v: exit code %d, want %d\n%s%s", args, r.code, code, r.out, r.err)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			c.Errorf("%v: the output holds no %q:\n%s%s", args, text, r.out, r.err)
		}
	}
	return r
}

// lockedBuffer is a buffer that a test may read while a command writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *lockedBuffer) waitFor(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if strings.Contains(b.String(), text) {
			return
		}
	}
	t.Fatalf("no %q came; there is\n%s", text, b.String())
}

// image is the image that the app's one Deployment with pods runs.
func (c *tool) image() string {
	c.Helper()
	stable := c.app().Status.Rollout.Stable
	if stable == nil {
		return ""
	}
	return stable.Image
}

func TestCLISteers(t *testing.T) {
	t.Parallel()
	c := newTool(t, newStack(t))
	c.want(1, []string{`no ScalableApp "shop" in namespace`, "get -A"}, "status", "shop")
	c.deploy(`app: {image: one, replicas: 2}`)
	c.want(2, []string{"shop is new"}, "status", "shop")
	c.settle()
	c.want(0, []string{"shop is Ready: 2 of 2 pods serve one."}, "status", "shop")
	c.want(1, []string{`no ScalableApp "shpo" in namespace`, "there is: shop"}, "status", "shpo")

	c.want(0, []string{"scalableapp.apps.scalableapp.dev/shop image set (server dry run)"}, "set", "image", "shop", "two", "--dry-run=server")
	c.want(1, []string{"--dry-run is none, client or server"}, "set", "image", "shop", "two", "--dry-run=maybe")
	c.want(1, []string{"output format"}, "set", "image", "shop", "two", "-o", "nonsense")
	if c.app().Spec.App.Image != "one" {
		t.Fatal("a dry run or a wrong flag has written")
	}
	c.want(0, []string{"scalableapp.apps.scalableapp.dev/shop image set\n"}, "set", "image", "shop", "two")
	c.want(2, []string{"the operator has not seen it yet"}, "status", "shop")
	c.want(2, nil, "status", "shop", "--wait=300ms")
	c.want(2, []string{"the operator has not seen it yet"}, "status", "shop", "--wait=1ms") // no time to look even once
	c.settle()
	if r := c.want(0, nil, "set", "image", "shop", "three", "-o", "name"); r.out != "scalableapp.apps.scalableapp.dev/shop\n" {
		t.Errorf("-o name prints %q", r.out)
	}
	c.settle()
	c.want(1, []string{"is three already"}, "set", "image", "shop", "three")

	c.change(func(app *v1alpha1.ScalableApp) {
		app.Spec.App.PodTemplate = &apiextensionsv1.JSON{Raw: []byte(`{"metadata":{"annotations":{"mine":"stays"}}}`)}
	})
	c.settle()
	c.want(0, []string{"scalableapp.apps.scalableapp.dev/shop restarted"}, "restart", "shop")
	template := string(c.app().Spec.App.PodTemplate.Raw)
	if !strings.Contains(template, `"mine":"stays"`) || !strings.Contains(template, `"kubectl.kubernetes.io/restartedAt":"20`) {
		t.Errorf("the template is %s", template)
	}
	c.settle()
	c.want(0, []string{"image one → two", "image two → three", "restarted 20", "stable"}, "history", "shop")

	c.want(0, []string{"/shop paused", "nothing happens before"}, "pause", "shop")
	c.want(1, []string{"paused already"}, "pause", "shop")
	c.want(1, []string{"resume shop"}, "restart", "shop")
	c.want(0, []string{"/shop image set", "is paused"}, "set", "image", "shop", "four")
	c.settle()
	c.want(2, []string{"spec.paused is true"}, "status", "shop", "--wait")
	c.want(0, []string{"/shop resumed"}, "resume", "shop")
	c.want(1, []string{"is not paused"}, "resume", "shop")
	c.settle()
	if c.image() != "four" {
		t.Errorf("it runs %s", c.image())
	}
	managers := map[string]bool{}
	for _, entry := range c.app().ManagedFields {
		managers[entry.Manager] = true
	}
	if !managers["kubectl-scalableapp"] {
		t.Errorf("the writes are not under the plugin's name, but %v", managers)
	}
}

func TestCLIUndo(t *testing.T) {
	t.Parallel()
	c := newTool(t, newStack(t))
	c.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "settings"}, Data: map[string]string{"level": "1"}})
	c.deploy(`app: {image: one, replicas: 2, envFrom: [{configMapRef: {name: settings}}]}`)
	c.want(1, []string{"nothing of shop was rolled out yet"}, "undo", "shop")
	c.settle()
	c.want(1, []string{"no revision before 1"}, "undo", "shop")
	c.want(0, nil, "set", "image", "shop", "two")
	c.settle()

	c.want(0, []string{"/shop undone", "Revision 1 (", "image two → one", "A new version of spec.app ends this"}, "undo", "shop")
	c.want(2, []string{"is to be taken back"}, "status", "shop")
	c.settle()
	if c.image() != "one" || c.app().Spec.App.Image != "two" {
		t.Errorf("it runs %s, and the spec asks for %s", c.image(), c.app().Spec.App.Image)
	}
	c.want(0, []string{"which the spec asks for, was undone"}, "status", "shop")
	c.want(0, []string{"undone"}, "history", "shop")
	c.want(1, []string{"would roll it out again"}, "restart", "shop")
	c.want(1, []string{"two already", "undo shop --clear"}, "set", "image", "shop", "two")
	c.want(1, []string{"undo shop --clear"}, "undo", "shop", "--to", "2")
	c.want(1, []string{"there are 1, 2"}, "undo", "shop", "--to", "7")
	c.want(0, []string{"undo cleared", "rolled out again"}, "undo", "shop", "--clear")
	c.settle()
	if c.image() != "two" {
		t.Errorf("after --clear it runs %s", c.image())
	}
	c.want(1, []string{"nothing of shop is undone"}, "undo", "shop", "--clear")

	c.want(0, nil, "set", "image", "shop", "broken") // its pods never serve
	c.passes(6)
	c.want(2, []string{"Revision 3 (broken) is to take over from revision 2 (two)"}, "status", "shop")
	c.want(0, []string{"Revision 2 ("}, "undo", "shop")
	c.settle()
	c.want(0, nil, "status", "shop")
	if c.image() != "two" {
		t.Errorf("after the undo of a rollout it runs %s", c.image())
	}
	c.want(0, []string{"This ends the undo"}, "set", "image", "shop", "three")
	if c.app().Annotations[naming.AnnotationUndo] != "" {
		t.Error("a new version leaves the annotation: it would come to life again")
	}
	c.settle()

	c.change(func(app *v1alpha1.ScalableApp) {
		app.Spec.App.Migration = &v1alpha1.MigrationSpec{Command: []string{"migrate"}, RollbackSafe: v1alpha1.RollbackSafeNo}
	})
	c.settle()
	c.want(1, []string{"rollbackSafe: No", "--force"}, "undo", "shop")
	c.want(0, []string{"/shop undone"}, "undo", "shop", "--force", "--dry-run=server")
}

// passes lets the operator and the cluster take turns for a while, without an end to wait for.
func (c *tool) passes(n int) {
	c.Helper()
	for range n {
		if _, err := c.pass(); err != nil {
			c.Fatal(err)
		}
		c.turn()
	}
}

// meddler stands before the API server and does something once, before the first write comes through.
func (c *tool) meddler(meddle func()) *tool {
	c.Helper()
	transport, err := rest.TransportFor(config)
	if err != nil {
		c.Fatal(err)
	}
	to, err := url.Parse(config.Host)
	if err != nil {
		c.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.Transport = transport
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			once.Do(meddle)
		}
		proxy.ServeHTTP(w, r)
	}))
	c.Cleanup(server.Close)
	return &tool{c.stack, kubeconfigOf(c.TB, &clientcmdapi.Cluster{Server: server.URL})}
}

// The operator writes status all the time; that must not get in a person's way. A change of the spec must.
func TestCLIConflict(t *testing.T) {
	t.Parallel()
	c := newTool(t, newStack(t))
	c.deploy(`app: {image: one, replicas: 2}`)
	c.settle()
	byStatus := c.meddler(func() {
		app := c.app()
		app.Status.Rollout.Message = "something new"
		if err := c.api.Status().Update(c.ctx, app); err != nil {
			t.Error(err)
		}
	})
	byStatus.want(0, []string{"/shop image set"}, "set", "image", "shop", "two")
	c.settle()
	bySpec := c.meddler(func() { c.change(func(app *v1alpha1.ScalableApp) { app.Spec.App.Image = "theirs" }) })
	bySpec.want(1, []string{"changed by somebody else at the same moment, so nothing was written"}, "set", "image", "shop", "three")
	if image := c.app().Spec.App.Image; image != "theirs" {
		t.Errorf("the spec asks for %s", image)
	}
	c.settle()
	byUndo := c.meddler(func() {
		c.change(func(app *v1alpha1.ScalableApp) {
			metav1.SetMetaDataAnnotation(&app.ObjectMeta, naming.AnnotationUndo, "a:b")
		})
	})
	byUndo.want(1, []string{"nothing was written"}, "undo", "shop")
}

// stand puts the app's rollout somewhere, as the operator would store it.
func (c *tool) stand(change func(*v1alpha1.RolloutStatus)) {
	c.Helper()
	app := c.app()
	app.Status.ObservedGeneration = app.Generation
	change(&app.Status.Rollout)
	if err := c.api.Status().Update(c.ctx, app); err != nil {
		c.Fatal(err)
	}
	c.seen.refresh(c.ctx, v1alpha1.GroupVersion.WithKind("ScalableApp"), c.key("shop"))
}

// What a person says of a rollout is one annotation that names what it means, and nothing is written when it
// makes no sense.
func TestCLIActions(t *testing.T) {
	t.Parallel()
	c := newTool(t, newStack(t))
	c.deploy(`app: {image: one, replicas: 2}`)
	c.settle()
	c.want(1, []string{"nothing of shop is rolled out"}, "promote", "shop")
	c.want(1, []string{"undo shop"}, "abort", "shop")
	c.want(1, []string{"nothing of shop has failed"}, "retry", "shop")
	if word, asked := c.app().Annotations[naming.AnnotationAction]; asked {
		t.Errorf("a refusal has written %s", word)
	}

	c.want(0, nil, "set", "image", "shop", "broken") // its pods never serve
	c.passes(4)
	candidate := c.app().Status.Rollout.Candidate.Revision
	c.stand(func(r *v1alpha1.RolloutStatus) { r.Step, r.Steps, r.Attempt, r.StepStartedTime = 2, 4, 3, nil })
	c.want(1, []string{"step 2 of 4", "waits for no person", "--full"}, "promote", "shop")
	c.stand(func(r *v1alpha1.RolloutStatus) { r.StepStartedTime = new(metav1.Now()) })
	word := func(want string) {
		t.Helper()
		if got := c.app().Annotations[naming.AnnotationAction]; got != want {
			t.Errorf("the annotation is %q, want %q", got, want)
		}
	}
	c.want(0, []string{"promote:" + candidate + ":3:2"}, "promote", "shop", "--dry-run=client", "-o", "yaml")
	c.want(0, []string{"/shop promoted (dry run)"}, "promote", "shop", "--dry-run=client")
	c.want(0, []string{"/shop promoted (server dry run)"}, "promote", "shop", "--dry-run=server")
	word("")
	c.want(0, []string{"/shop promoted\n", "step 3 follows"}, "promote", "shop")
	word("promote:" + candidate + ":3:2")
	c.want(2, []string{"is told to promote"}, "status", "shop")
	c.want(1, []string{"has not acted on it yet"}, "promote", "shop")
	c.want(0, []string{"/shop promoted\n"}, "promote", "shop", "--full")
	word("promote-full:" + candidate + ":3")
	if r := c.want(0, nil, "abort", "shop", "-o", "name"); r.out != "scalableapp.apps.scalableapp.dev/shop\n" {
		t.Errorf("-o name prints %q", r.out)
	}
	word("abort:" + candidate + ":3")
	c.want(1, []string{"is to be aborted"}, "promote", "shop", "--full")
	c.want(1, []string{"has not failed"}, "retry", "shop")
	c.stand(func(r *v1alpha1.RolloutStatus) {
		r.Stage, r.HandledAction = v1alpha1.StageFailed, "abort:"+candidate+":3"
		r.Failure = &v1alpha1.FailureStatus{Reason: v1alpha1.ReasonAborted, Message: "a person aborted it", Time: metav1.Now()}
	})
	c.want(3, []string{"waits for a person (Aborted)", "retry shop"}, "status", "shop")
	c.want(1, []string{"failed already (Aborted: a person aborted it)"}, "abort", "shop")
	c.want(0, []string{"/shop to be tried again"}, "retry", "shop")
	word("retry:" + candidate + ":3")
	c.want(0, []string{"shop\tbroken"}, "__complete", "promote", "")
	c.want(0, []string{"shop\tbroken"}, "__complete", "retry", "")

	// Nothing is written when somebody else says something at the same moment.
	late := c.meddler(func() {
		c.change(func(app *v1alpha1.ScalableApp) {
			metav1.SetMetaDataAnnotation(&app.ObjectMeta, naming.AnnotationAction, "retry:other:1")
		})
	})
	c.change(func(app *v1alpha1.ScalableApp) { delete(app.Annotations, naming.AnnotationAction) })
	late.want(1, []string{"nothing was written"}, "retry", "shop")
	word("retry:other:1")
}

// A migration that older revisions may not survive keeps a plain abort away; the history says so.
func TestCLIAbortOverMigration(t *testing.T) {
	t.Parallel()
	c := newTool(t, newStack(t))
	c.deploy(`app: {image: one}`)
	c.settle()
	c.change(func(app *v1alpha1.ScalableApp) {
		app.Spec.App.Image = "broken"
		app.Spec.App.Migration = &v1alpha1.MigrationSpec{Command: []string{"migrate"}, RollbackSafe: v1alpha1.RollbackSafeNo}
	})
	c.passes(3)
	candidate := c.app().Status.Rollout.Candidate.Revision
	c.stand(func(r *v1alpha1.RolloutStatus) { r.Attempt = 1 })
	c.want(1, []string{"rollbackSafe: No", "--force"}, "abort", "shop")
	c.want(0, []string{"/shop aborted"}, "abort", "shop", "--force")
	if got := c.app().Annotations[naming.AnnotationAction]; got != "abort-force:"+candidate+":1" {
		t.Errorf("the annotation is %q", got)
	}
}
