package cli

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/status"
)

// tree is the app as a person sees it: what it is made of, and what of it is not as it should be.
func tree(s sight, withNamespace bool) string {
	name := s.app.Name
	if withNamespace {
		name = s.app.Namespace + "/" + name
	}
	root := &node{cells: []string{name, headline(s.app)}}
	root.add(appNode(s))
	root.add(rolloutNode(s))
	root.add(databaseNode(s))
	root.add(sessionsNode(s))
	root.add(cacheNode(s))
	root.add(credentialsNode(s.app))
	root.add(autoscalingNode(s))
	root.add(endpointsNode(s.app.Status.Endpoints))
	if len(s.hidden) > 0 {
		root.add(&node{cells: []string{"hidden", "you may not list " + strings.Join(s.hidden, ", ") + " here, so they are left out"}})
	}
	return root.String()
}

// headline is the state of the whole in one line.
func headline(app *v1alpha1.ScalableApp) string {
	ready := meta.FindStatusCondition(app.Status.Conditions, v1alpha1.ConditionReady)
	stalled := meta.IsStatusConditionTrue(app.Status.Conditions, v1alpha1.ConditionStalled)
	text := ""
	switch {
	case !app.DeletionTimestamp.IsZero():
		return "Deleting"
	case ready == nil || app.Status.ObservedGeneration <= 0:
		return "Unknown: the operator has not looked at it yet; does it run, and does it watch this namespace?"
	case ready.Status == metav1.ConditionTrue:
		text = "Ready: " + ready.Message
	case stalled:
		text = fmt.Sprintf("Stalled (%s): %s", ready.Reason, ready.Message)
	default:
		text = fmt.Sprintf("Reconciling (%s): %s", ready.Reason, ready.Message)
	}
	if app.Status.ObservedGeneration < app.Generation {
		text = "Reconciling: the operator has not seen the newest change yet. Before it: " + text
	}
	return text
}

// trouble is what a condition says that is not good; what the headline says already is not repeated.
func trouble(app *v1alpha1.ScalableApp, kind string) string {
	c := meta.FindStatusCondition(app.Status.Conditions, kind)
	if c == nil || (c.Status == metav1.ConditionTrue && c.Reason == v1alpha1.ReasonReady) {
		return ""
	}
	text := fmt.Sprintf("%s=%s (%s)", c.Type, c.Status, c.Reason)
	if strings.Contains(headline(app), c.Message) {
		return text
	}
	return text + ": " + c.Message
}

func appNode(s sight) *node {
	count := "no pods yet"
	if ready := s.app.Status.App.Ready; ready != "" {
		count = ready + " pods"
	}
	n := &node{cells: []string{"app", count, trouble(s.app, v1alpha1.ConditionAvailable)}}
	if message := s.app.Status.Rollout.Message; message != "" && rolloutNode(s) == nil && !strings.Contains(headline(s.app), message) {
		n.cells[2] = joined(n.cells[2], message)
	}
	for _, r := range revisionsOf(s) {
		line := &node{cells: []string{
			fmt.Sprintf("revision %d", r.number), r.role, r.weight, fmt.Sprintf("%d/%d pods", r.available, r.wanted), r.image, r.name, r.note,
		}}
		for _, pod := range r.waiting {
			line.add(&node{cells: pod})
		}
		n.add(line)
	}
	return n
}

func joined(parts ...string) string {
	var some []string
	for _, part := range parts {
		if part != "" {
			some = append(some, part)
		}
	}
	return strings.Join(some, "; ")
}

func databaseNode(s sight) *node {
	spec := s.app.Spec.Database
	switch {
	case spec == nil:
		return nil
	case spec.External != nil:
		bad := trouble(s.app, v1alpha1.ConditionDatabaseReady)
		return &node{cells: []string{"database", "external", joined("Secret "+spec.External.SecretName, bad)}}
	}
	seen := s.app.Status.Database
	if seen == nil {
		seen = &v1alpha1.DatabaseStatus{Instances: spec.Postgres.Instances}
	}
	n := &node{cells: []string{
		"database", fmt.Sprintf("%d/%d instances", seen.ReadyInstances, seen.Instances), trouble(s.app, v1alpha1.ConditionDatabaseReady),
	}}
	if o := seen.Operation; o != nil {
		n.add(&node{cells: []string{"change", strings.TrimSpace(o.Kind + " " + o.Target), joined(o.Reason, o.Message)}})
	}
	inStep := map[string]bool{}
	for _, name := range seen.Synchronous {
		inStep[name] = true
	}
	for _, pod := range s.seen.PodsWith(naming.Selector(s.app, naming.ComponentDatabase)) {
		role := pod.Labels[naming.LabelRole]
		switch {
		case pod.Name == seen.Primary:
			role = "primary"
		case role == "primary": // its label says so, but the records do not
			role = "primary?"
		case inStep[pod.Name]:
			role += ", in step"
		}
		n.add(&node{cells: []string{pod.Name, role, podState(pod), nodeOf(pod)}})
	}
	return n
}

func sessionsNode(s sight) *node {
	spec := s.app.Spec.Sessions
	switch {
	case spec == nil:
		return nil
	case spec.External != nil:
		return externalNode(s, "sessions", spec.External, v1alpha1.ConditionSessionsReady)
	}
	parts := redisParts{title: "sessions", component: naming.ComponentSessions, condition: v1alpha1.ConditionSessionsReady, members: 1}
	if spec.Redis != nil {
		parts.members = max(spec.Redis.Members, 1)
	}
	return redisNode(s, parts, s.app.Status.Sessions)
}

func cacheNode(s sight) *node {
	spec := s.app.Spec.Cache
	switch {
	case spec == nil:
		return nil
	case spec.External != nil:
		return externalNode(s, "cache", spec.External, v1alpha1.ConditionCacheReady)
	}
	parts := redisParts{title: "cache", component: naming.ComponentCache, condition: v1alpha1.ConditionCacheReady, members: 1}
	if spec.Redis != nil {
		parts.members = max(spec.Redis.Members, 1)
	}
	return redisNode(s, parts, s.app.Status.Cache)
}

// externalNode is a service that exists already.
func externalNode(s sight, title string, external *v1alpha1.ExternalServiceSpec, condition string) *node {
	return &node{cells: []string{title, "external", joined("Secret "+external.SecretName, trouble(s.app, condition))}}
}

// redisParts are what tells one Redis from the other.
type redisParts struct {
	title, component, condition string
	members                     int32
}

func redisNode(s sight, r redisParts, seen *v1alpha1.RedisStatus) *node {
	ready, state := 0, ""
	pods := s.seen.PodsWith(naming.Selector(s.app, r.component))
	for _, pod := range pods {
		if status.Serving(pod) {
			ready++
		} else {
			state = podState(pod)
		}
	}
	count := fmt.Sprintf("%d/%d pods", ready, r.members)
	if slices.Contains(s.hidden, "pods") {
		count = "not ready"
		if meta.IsStatusConditionTrue(s.app.Status.Conditions, r.condition) {
			count = "ready"
		}
	}
	if bad := trouble(s.app, r.condition); bad != "" {
		state = bad
	}
	n := &node{cells: []string{r.title, count, state}}
	if r.members > 1 && seen != nil {
		for _, pod := range pods {
			role := "replica"
			if pod.Name == seen.Master {
				role = "master"
			}
			n.add(&node{cells: []string{pod.Name, role, podState(pod)}})
		}
	}
	return n
}

func autoscalingNode(s sight) *node {
	spec := s.app.Spec.Autoscaling
	if spec == nil {
		return nil
	}
	text := fmt.Sprintf("%d to %d pods", spec.MinReplicas, spec.MaxReplicas)
	if hpa := s.seen.Autoscaler; hpa != nil {
		text += fmt.Sprintf(", now %d", hpa.Status.DesiredReplicas)
	}
	return &node{cells: []string{"autoscaling", text, trouble(s.app, v1alpha1.ConditionAutoscalingReady)}}
}

func endpointsNode(e v1alpha1.EndpointsStatus) *node {
	n := &node{cells: []string{"endpoints"}}
	for _, each := range [][2]string{
		{"app", e.App}, {"preview", e.Preview}, {"database, to write", e.DatabaseReadWrite}, {"database, to read", e.DatabaseReadOnly},
		{"sessions", e.Sessions}, {"cache", e.Cache},
	} {
		if each[1] != "" {
			n.add(&node{cells: each[:]})
		}
	}
	if len(n.kids) == 0 {
		return nil
	}
	return n
}

// podState is the state of a pod in a word.
func podState(pod *corev1.Pod) string {
	switch {
	case pod.DeletionTimestamp != nil:
		return "terminating"
	case status.Serving(pod):
		return "ready"
	case pod.Status.Phase == corev1.PodRunning:
		return "not ready"
	case pod.Status.Phase == "":
		return "pending"
	default:
		return strings.ToLower(string(pod.Status.Phase))
	}
}

func nodeOf(pod *corev1.Pod) string {
	if pod.Spec.NodeName == "" {
		return ""
	}
	return "on " + pod.Spec.NodeName
}
