package integration

import (
	"maps"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// cutover is a way in which a revision takes over.
type cutover struct {
	name     string
	strategy string
	gateway  bool
}

var cutovers = []cutover{
	{"BlueGreen by the Service", "strategy: BlueGreen", false},
	{"BlueGreen by a gateway", "strategy: BlueGreen", true},
	{"Canary by numbers of pods", "strategy: Canary, canary: {steps: [{weight: 50, pauseSeconds: 20}]}", false},
	{"Canary by a gateway", "strategy: Canary, canary: {steps: [{weight: 20, pauseSeconds: 20}]}", true},
	{"Rolling by the Service", "strategy: Rolling", false},
	{"Rolling by a gateway", "strategy: Rolling", true},
}

// pods is how many pods the app of a cutover has.
const pods = 2

func (c cutover) spec() string {
	spec := "app: {image: \"registry.example/shop:1\", replicas: 2}\nnetworkPolicy: Disabled\n" +
		"rollout: {" + c.strategy + ", gates: [{name: smoke, job: {command: [/smoke]}}, {name: load, when: WithTraffic, job: {command: [/load]}}]}\n"
	if c.gateway {
		spec += "traffic: {gateway: {parentRefs: [{name: edge}]}}\n"
	}
	return spec
}

// newStack is a stack with a Gateway, in which each write is looked at.
func (c cutover) newStack(t testing.TB) *stack {
	s := newStack(t)
	if c.gateway {
		s.edge()
	}
	newGuard(s)
	return s
}

// edge makes a Gateway.
func (s *stack) edge() {
	s.Helper()
	s.create(&gatewayv1.Gateway{ObjectMeta: s.meta("edge"), Spec: gatewayv1.GatewaySpec{GatewayClassName: "any",
		Listeners: []gatewayv1.Listener{{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}}}})
}

// acts are what a cutover can meet: the app is made; a new version takes over, and the old one is kept for a
// while; a bad one does not pass the gate before traffic; another one fails when it has traffic; it is
// taken back.
func (c cutover) acts() []act {
	return []act{c.made, released, fails("registry.example/shop:bad"), fails("registry.example/shop:overloaded"), released}
}

// stories are the acts by twos and threes, so that each can be swept without those that it does not need.
func (c cutover) stories() map[string][]act {
	return map[string][]act{
		"success":                   {c.made, released},
		"fails before traffic":      {c.made, fails("registry.example/shop:bad"), takenBack},
		"fails when it has traffic": {c.made, fails("registry.example/shop:overloaded"), takenBack},
	}
}

func (c cutover) made(s *stack) { s.deploy(c.spec()); s.settle(); s.ready() }

func released(s *stack) { s.image("registry.example/shop:2"); s.settle(); s.ready() }

func takenBack(s *stack) { s.image("registry.example/shop:1"); s.settle(); s.ready() }

func fails(image string) act {
	return func(s *stack) {
		s.Helper()
		s.image(image)
		s.settle()
		if r := s.app().Status.Rollout; r.Stage != v1alpha1.StageFailed || r.Failure.Reason != v1alpha1.ReasonGateFailed {
			s.Fatalf("%s is not given up: stage %s, %s", image, r.Stage, r.Message)
		}
	}
}

func (s *stack) image(name string) {
	s.Helper()
	s.change(func(app *v1alpha1.ScalableApp) { app.Spec.App.Image = name })
}

// guard looks after each of the operator's writes whether traffic is led to what serves, and whether pods
// are taken only from what has no traffic.
type guard struct {
	*stack
	sizes map[string]int32
	// led is when traffic was last led to a revision.
	led map[string]time.Time
}

func newGuard(s *stack) *guard {
	g := &guard{stack: s, led: map[string]time.Time{}}
	s.looks = g.look
	return g
}

func (g *guard) look(write string) {
	g.Helper()
	serving, leads := g.serving(), g.leads()
	sizes := map[string]int32{}
	for _, d := range all[appsv1.Deployment](g.seen) {
		sizes[d.Name] = *d.Spec.Replicas
	}
	for revision := range leads {
		if revision != "" && serving[revision] == 0 && len(serving) > 0 {
			g.Errorf("%s: traffic is led to %s, of which no pod serves; there are %v", write, revision, serving)
		}
	}
	for _, revision := range slices.Sorted(maps.Keys(g.sizes)) {
		if sizes[revision] < g.sizes[revision] {
			g.shrunk(write, revision, serving, leads, sizes)
		}
	}
	for revision := range leads {
		g.led[revision] = g.time
	}
	g.sizes = sizes
}

// shrunk is a write that takes pods away from a revision.
func (g *guard) shrunk(write, revision string, serving map[string]int32, leads map[string]bool, sizes map[string]int32) {
	g.Helper()
	before, after := int32(0), int32(0)
	for name, n := range serving {
		before, after = before+n, after+min(n, sizes[name])
	}
	switch {
	case leads[revision] && sizes[revision] < pods:
		g.Errorf("%s: pods are taken from %s, which traffic is led to", write, revision)
	case leads[""] && after < min(pods, before):
		g.Errorf("%s: of the pods that serve, %v, %d are left", write, serving, after)
	case !leads[""] && serving[revision] > 0 && g.time.Sub(g.led[revision]) < 30*time.Second:
		g.Errorf("%s: %s loses its pods %s after its traffic", write, revision, g.time.Sub(g.led[revision]))
	}
}

// leads are the revisions that the API server has traffic led to, by the Service or the route; "" are the
// pods of all.
func (g *guard) leads() map[string]bool {
	out := map[string]bool{}
	for _, service := range all[corev1.Service](g.seen) {
		if service.Name == "shop" {
			out[service.Spec.Selector[naming.LabelRevision]] = true
		}
	}
	for _, route := range all[gatewayv1.HTTPRoute](g.seen) {
		rules := route.Spec.Rules
		for _, ref := range rules[len(rules)-1].BackendRefs {
			if ref.Name != "shop" && *ref.Weight > 0 {
				out[string(ref.Name)] = true
			}
		}
	}
	return out
}
