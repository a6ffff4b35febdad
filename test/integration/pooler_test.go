package integration

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/apply"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/patroni"
	"github.com/scalableapp/scalableapp-operator/internal/pgbouncer"
	"github.com/scalableapp/scalableapp-operator/internal/plan"
)

// toldWords writes down what happens in which order: the poolers' consoles, and Patroni's switchover. The commands
// themselves are tested against a real PgBouncer in internal/pgbouncer.
type toldWords struct {
	*patroni.Client
	mu     sync.Mutex
	words  []string
	refuse string
	onWord func(string)
}

func (c *toldWords) tell(word string, addresses []string, password string) error {
	c.mu.Lock()
	c.words = append(c.words, strings.Join(append([]string{word}, addresses...), " "))
	c.mu.Unlock()
	if c.onWord != nil {
		c.onWord(word)
	}
	if word == c.refuse || password == "" {
		return errors.New(word + " is refused")
	}
	return nil
}

func (c *toldWords) Pause(_ context.Context, addresses []string, password string) error {
	return c.tell("pause", addresses, password)
}

func (c *toldWords) Resume(ctx context.Context, addresses []string, password string) error {
	if ctx.Err() != nil {
		return ctx.Err() // would leave the clients waiting
	}
	return c.tell("resume", addresses, password)
}

func (c *toldWords) Reconnect(_ context.Context, addresses []string, password string) error {
	return c.tell("reconnect", addresses, password)
}

func (c *toldWords) Writable(_ context.Context, addresses []string, password string, login pgbouncer.Login) error {
	if login.Password == "" || login.User == "" {
		return errors.New("nobody logs in")
	}
	return c.tell("ask", addresses, password)
}

func (c *toldWords) Switchover(_ context.Context, _ patroni.Member, leader, candidate string) error {
	return c.tell("switchover", []string{leader, candidate}, "none")
}

// newPoolerWorld is a database of which shop-db-0 leads, and its pooler of one pod.
func newPoolerWorld(t *testing.T) (w *databaseWorld, pooler *appsv1.Deployment) {
	t.Helper()
	w = newDatabaseWorld(t)
	w.leader.Labels = naming.Selector(w.app, naming.ComponentDatabase)
	w.leader.Labels[naming.LabelRole] = "primary"
	w.must(w.Update(t.Context(), w.leader))
	w.must(w.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: naming.DatabaseCredentials(w.app), Namespace: w.app.Namespace},
		StringData: map[string]string{
			components.PoolerCredentials(w.app).Key: "secret", "POOLER_PASSWORD": "secret", "RESTAPI_PASSWORD": "secret"}}))
	w.leadTo(w.leader.Name)
	labels := naming.PoolerSelector(w.app, naming.PoolerReadWrite)
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "pgbouncer", Image: "i"}}}}
	pooler = &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: naming.Pooler(w.app, naming.PoolerReadWrite), Namespace: w.app.Namespace},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template}}
	w.must(w.Create(t.Context(), pooler))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pooler", Namespace: w.app.Namespace, Labels: labels}, Spec: template.Spec}
	w.must(w.Create(t.Context(), pod))
	pod.Status.PodIP, pod.Status.PodIPs = "10.1.2.3", []corev1.PodIP{{IP: "10.1.2.3"}}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}}
	w.must(w.Status().Update(t.Context(), pod))
	return w, pooler
}

// leadTo has the Service of the primary lead to a pod, as the API server's controller does.
func (w *databaseWorld) leadTo(pod string) {
	w.Helper()
	service := naming.DatabaseReadWrite(w.app)
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: service + "-1", Namespace: w.app.Namespace,
		Labels: map[string]string{discoveryv1.LabelServiceName: service}}, AddressType: discoveryv1.AddressTypeIPv4}
	endpoint := discoveryv1.Endpoint{Addresses: []string{"10.1.1.1"}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod}}
	_, err := controllerutil.CreateOrUpdate(w.Context(), w.Client, slice, func() error {
		slice.Endpoints = []discoveryv1.Endpoint{endpoint}
		return nil
	})
	w.must(err)
}

func (w *databaseWorld) carry(ctx context.Context, c *toldWords, a action.Action) error {
	x := &apply.Executor{Client: w.Client, Live: w.Client, Patroni: c, Poolers: c, Ways: c}
	return x.Execute(ctx, w.app, plan.Plan{Actions: []action.Action{a}})
}

// What the pods were told is written down when they have heard it, and then they are not told again.
func TestPoolerReconnect(t *testing.T) {
	t.Parallel()
	w, pooler := newPoolerWorld(t)
	c := &toldWords{refuse: "reconnect"}
	a := action.PoolerReconnect{Pooler: pooler.Name, UID: pooler.UID, Addresses: []string{"10.1.2.3:5432"},
		Credentials: components.PoolerCredentials(w.app), Told: "primary shop-db-0 term 3"}
	heard := func() string {
		w.must(w.Get(t.Context(), client.ObjectKeyFromObject(pooler), pooler))
		return pooler.Annotations[naming.AnnotationPoolerTold]
	}
	var failed *apply.ActionError
	if err := w.carry(t.Context(), c, a); err == nil || errors.As(err, &failed) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error that is no failed change of the database and names no password", err)
	}
	if got := heard(); got != "" {
		t.Errorf("nobody has heard it, but %q is written down", got)
	}
	c.refuse = ""
	for range 2 { // the second is a pass whose view lags
		w.must(w.carry(t.Context(), c, a))
	}
	if got := heard(); got != a.Told {
		t.Errorf("%q is written down", got)
	}
	if want := []string{"reconnect 10.1.2.3:5432", "reconnect 10.1.2.3:5432"}; !slices.Equal(c.words, want) {
		t.Errorf("told %q, want %q", c.words, want)
	}
	w.must(w.Delete(t.Context(), pooler))
	a.Told = "another"
	w.must(w.carry(t.Context(), c, a)) // it went away with the pooler
}

// Clients are held back from before a switchover until the Service leads to the new primary, and never longer,
// whatever fails.
func TestClientsWaitForASwitchover(t *testing.T) {
	t.Parallel()
	const pause, ask, resume, switchover = "pause 10.1.2.3:5432", "ask 10.1.2.3:5432", "resume 10.1.2.3:5432", "switchover shop-db-0 shop-db-1"
	for name, c := range map[string]struct {
		refuse string
		want   []string
		fails  bool
	}{
		"as it should be":               {want: []string{pause, switchover, ask, resume}},
		"the switchover fails":          {refuse: "switchover", want: []string{pause, switchover, resume}, fails: true},
		"the poolers cannot be paused":  {refuse: "pause", want: []string{pause, switchover}},
		"the operator is told to end":   {refuse: "ctx", want: []string{pause, switchover, resume}},
		"the poolers cannot be resumed": {refuse: "resume", want: []string{pause, switchover, ask, resume}},
		"a pooler leads elsewhere":      {refuse: "ask", want: []string{pause, switchover, ask, resume}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, pooler := newPoolerWorld(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			consoles := &toldWords{refuse: c.refuse}
			consoles.onWord = func(word string) {
				if word != "switchover" {
					return
				}
				if c.refuse == "ctx" {
					cancel()
				}
				w.record.Annotations["leader"], w.record.Annotations["transitions"] = "shop-db-1", "4"
				w.must(w.Update(t.Context(), w.record))
				w.leadTo("shop-db-1")
			}
			err := w.carry(ctx, consoles, action.Switchover{Leader: "shop-db-0", Candidate: "shop-db-1"})
			if (err != nil) != c.fails {
				t.Errorf("got %v", err)
			}
			if !slices.Equal(slices.Compact(consoles.words), c.want) { // it is asked until it is so
				t.Errorf("happened: %q, want %q", consoles.words, c.want)
			}
			// They left all connections by the pause: to be told again would cut off those that are being made.
			w.must(w.Get(t.Context(), client.ObjectKeyFromObject(pooler), pooler))
			told := pooler.Annotations[naming.AnnotationPoolerTold]
			if knows := c.refuse == "" || c.refuse == "resume"; knows != (told == "primary shop-db-1 term 4") {
				t.Errorf("it is written down that the poolers were told %q", told)
			}
		})
	}
}
