package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/controllers"
	"github.com/scalableapp/scalableapp-operator/internal/apply"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/observe"
	"github.com/scalableapp/scalableapp-operator/internal/plan"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// stack is one app in a namespace of its own, with a cluster around it and an operator that the test
// calls by hand. The operator reads from a mirror and writes to the API server.
type stack struct {
	*cluster
	reconciler *controllers.Reconciler
	// time is the operator's clock: it goes on by a second with each pass.
	time time.Time
	// writes are the operator's writes, as VERB KIND/NAME.
	writes []string
	// done are those that the API server has accepted.
	done []string
	// limit is the number of writes after which the operator dies; dead says that it has.
	limit  int
	dead   bool
	deaths int
	// looks is called after each write that the API server has accepted, between before each.
	looks   func(write string)
	between func()
	// before is called before each pass of settle.
	before func()
	// away says that the API server does not answer; what caches hold can still be read.
	away bool
	// patient says that a pass may fail, and is made again; failed is how many have.
	patient bool
	failed  int
	// events are what the operator has told people.
	events []string
}

var (
	errDead = errors.New("the operator is dead")
	errAway = errors.New("connection refused")
)

// shared is the way of all stacks to the API server: each way of its own would ask it first for all that it
// knows, which costs as much as a stack.
var shared = sync.OnceValues(func() (client.WithWatch, error) {
	fast := rest.CopyConfig(config)
	fast.QPS = -1
	return client.NewWithWatch(fast, client.Options{Scheme: testkit.Scheme()})
})

func newStack(t testing.TB) *stack {
	t.Helper()
	api, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := api.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	c := &cluster{TB: t, ctx: t.Context(), api: api, seen: newMirror(t, api), namespace: ns.Name}
	t.Cleanup(func() { // the API server has only 254 addresses for all tests
		if err := api.DeleteAllOf(context.Background(), &corev1.Service{}, client.InNamespace(c.namespace)); err != nil {
			t.Error(err)
		}
	})
	s := &stack{cluster: c, limit: -1, time: time.Now().Truncate(time.Second)}
	s.restart()
	return s
}

// restart starts an operator that remembers nothing.
func (s *stack) restart() {
	s.dead, s.limit = false, -1
	s.reconciler = s.operator(s.seen.view())
}

// operator is one that sees the caches of a view.
func (s *stack) operator(v *view) *controllers.Reconciler {
	k8s := interceptor.NewClient(s.api.(client.WithWatch), s.watched(v))
	live := interceptor.NewClient(s.api.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if s.away {
				return errAway
			}
			return w.Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, w client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			if s.away {
				return errAway
			}
			return w.List(ctx, l, opts...)
		},
	})
	return &controllers.Reconciler{
		Client: k8s,
		Observer: &observe.Observer{
			Cached: v.children(), Live: live, Scheme: s.api.Scheme(), Now: func() time.Time { return s.time },
			Config:   &observe.ConfigReader{Metadata: v.config(), Live: live},
			Gateways: observe.LiveGateways{Client: live},
		},
		Executor: &apply.Executor{Client: k8s, Live: live},
		Recorder: s,
		Config: plan.Config{
			Images: components.Images{Postgres: "scalableapp/postgres:17-3", PgBouncer: "scalableapp/pgbouncer:1-2",
				Redis: "scalableapp/redis:8-2"}, OperatorNamespace: system,
		},
	}
}

// watched reads from the mirror and counts the writes.
func (s *stack) watched(v *view) interceptor.Funcs {
	children := v.children()
	return interceptor.Funcs{
		Get: func(ctx context.Context, _ client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return children.Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, _ client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			return children.List(ctx, l, opts...)
		},
		Create: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return s.write("create", o, func() error { return w.Create(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return s.write("delete", o, func() error { return w.Delete(ctx, o, opts...) })
		},
		Apply: func(ctx context.Context, w client.WithWatch, a runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(a)
			if err != nil {
				return err
			}
			return s.write("apply", &unstructured.Unstructured{Object: fields}, func() error { return w.Apply(ctx, a, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch,
			opts ...client.SubResourcePatchOption) error {
			return s.write("patch "+sub, o, func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
		Update: func(context.Context, client.WithWatch, client.Object, ...client.UpdateOption) error {
			return errors.New("the operator never updates")
		},
		Patch: func(ctx context.Context, w client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if _, pod := o.(*corev1.Pod); !pod {
				return errors.New("the operator never patches but status, and annotations of pods")
			}
			return s.write("patch", o, func() error { return w.Patch(ctx, o, p, opts...) })
		},
	}
}

// write is one write of the operator's, unless it is dead by now.
func (s *stack) write(verb string, object client.Object, do func() error) error {
	if s.dead || len(s.writes) == s.limit {
		s.dead = true
		return errDead
	}
	if between := s.between; between != nil {
		s.between = nil // it writes itself
		between()
		if s.patient {
			s.between = between
		}
	}
	if s.away {
		return errAway
	}
	kind, err := apiutil.GVKForObject(object, s.api.Scheme())
	if err != nil {
		return err
	}
	name, key := kind.Kind+"/"+object.GetName(), client.ObjectKeyFromObject(object)
	s.writes = append(s.writes, verb+" "+name)
	if err := do(); err != nil {
		return err
	}
	s.done = append(s.done, verb+" "+name)
	if verb == "delete" || verb == "apply" { // the answer is not the object
		s.seen.refresh(s.ctx, kind, key)
	} else {
		s.seen.answered(kind, object)
	}
	if s.looks != nil {
		s.looks(verb + " " + name)
	}
	return nil
}

// Eventf is the recorder of the operator's events.
//
//nolint:revive // the parameters are client-go's
func (s *stack) Eventf(_ runtime.Object, _ runtime.Object, kind, reason, _, note string, args ...any) {
	s.events = append(s.events, kind+" "+reason+": "+fmt.Sprintf(note, args...))
}

// pass is one pass of the operator.
func (s *stack) pass() (ctrl.Result, error) {
	s.time = s.time.Add(time.Second)
	return s.passOf(s.reconciler)
}

// passOf is a pass of any operator, and takes no time.
func (s *stack) passOf(r *controllers.Reconciler) (ctrl.Result, error) {
	return r.Reconcile(s.ctx, ctrl.Request{NamespacedName: s.key("shop")})
}

// settle lets the operator and the cluster take turns until neither has anything to do, now or later: when
// the operator only waits for a time, that time comes. An operator that dies is started anew. Any other
// error of a pass is a failure of the test.
func (s *stack) settle() { s.Helper(); s.settleUntil(func() bool { return false }) }

// settleUntil is settle, up to the first moment in which something is so.
func (s *stack) settleUntil(reached func() bool) {
	s.Helper()
	for range 300 {
		if s.before != nil {
			s.before()
		}
		before := len(s.writes)
		result, err := s.pass()
		switch {
		case s.dead:
			s.deaths++
			s.restart()
			continue
		case err != nil && s.patient:
			s.failed++
			continue
		case err != nil:
			s.Fatalf("a pass failed: %v", err)
		case reached():
			return
		}
		quiet := len(s.writes) == before
		switch {
		case s.turn() || !quiet:
		case result.RequeueAfter == 0, result.RequeueAfter > 24*time.Hour: // a certificate that is renewed in two months
			return
		default:
			s.time = s.time.Add(max(0, result.RequeueAfter-time.Second)) // a pass takes a second
		}
	}
	s.Fatalf("no rest; the status is %+v, the last writes were\n%s",
		s.app().Status.Rollout, strings.Join(s.writes[max(0, len(s.writes)-20):], "\n"))
}

// app is the app as it is, live.
func (s *stack) app() *v1alpha1.ScalableApp {
	s.Helper()
	app := &v1alpha1.ScalableApp{}
	if err := s.api.Get(s.ctx, s.key("shop"), app); err != nil {
		s.Fatal(err)
	}
	return app
}

// deploy creates the app from a spec.
func (s *stack) deploy(spec string) {
	s.Helper()
	s.create(object(s.TB, s.namespace, "shop", spec))
}

// change changes the app's spec.
func (s *stack) change(how func(*v1alpha1.ScalableApp)) {
	s.Helper()
	app := s.app()
	how(app)
	s.update(app)
}

// ready fails the test unless the app is Ready.
func (s *stack) ready() {
	s.Helper()
	for _, c := range s.app().Status.Conditions {
		if c.Type == v1alpha1.ConditionReady && c.Status == metav1.ConditionTrue {
			return
		}
	}
	s.Fatalf("the app is not ready: %v", s.app().Status)
}

func rawJSON(text string) *apiextensionsv1.JSON { return &apiextensionsv1.JSON{Raw: []byte(text)} }
