// Package plan decides everything that one pass does for an app. Build is the only door into the
// core: a pure function from what was seen to a value that says what to do, in order, with reasons.
package plan

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/events"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// Plan is everything that one pass does.
type Plan struct {
	// Status is the whole new status; it is stored before anything below is done.
	Status v1alpha1.ScalableAppStatus
	// Objects are the children as they shall be, in the order in which they are written.
	Objects []components.Object
	// Deletions are the children that shall go.
	Deletions []state.Child
	// Actions are what is done to the data tier after the objects are written, in this order.
	Actions []action.Action
	// Events are the transitions that this pass makes.
	Events []events.Event
	// Wake is when to look again if nothing happens until then; zero is never.
	Wake time.Duration
}

// String is the plan in words: the log line, the golden file and the bug report.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "stage %s: %s\n", p.Status.Rollout.Stage, p.Status.Rollout.Message)
	for _, c := range p.Status.Conditions {
		fmt.Fprintf(&b, "condition %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	for _, o := range p.Objects {
		fmt.Fprintf(&b, "object %s\n", describe(o))
	}
	for _, d := range p.Deletions {
		fmt.Fprintf(&b, "delete %s/%s\n", d.Kind, d.Name)
	}
	for _, a := range p.Actions {
		fmt.Fprintf(&b, "action %s\n", a)
	}
	for _, e := range p.Events {
		fmt.Fprintf(&b, "event %s %s: %s\n", e.Type, e.Reason, e.Message)
	}
	if p.Wake > 0 {
		fmt.Fprintf(&b, "wake in %s\n", p.Wake)
	}
	return b.String()
}

func describe(o components.Object) string {
	id := Identify(o)
	text := id.Kind + "/" + id.Name
	if id.Replicas != nil {
		text += fmt.Sprintf(" replicas=%d", *id.Replicas)
	}
	if len(id.Leads) > 0 {
		text += " leads to " + strings.Join(id.Leads, ", ")
	}
	return text
}

// Identity is what an intent is about.
type Identity struct {
	APIVersion, Kind, Namespace, Name string
	// Replicas is the wanted number of pods, for what has one.
	Replicas *int32
	// Leads is where an HTTPRoute leads, and the shared Service if it leads to one revision.
	Leads []string
}

// Identify reads the identity out of an intent.
func Identify(o components.Object) Identity {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"metadata"`
		Spec struct {
			Replicas *int32         `json:"replicas"`
			Selector map[string]any `json:"selector"`
			Rules    []rule         `json:"rules"`
		} `json:"spec"`
	}
	raw, err := json.Marshal(o.Intent)
	if err == nil {
		err = json.Unmarshal(raw, &head)
	}
	if err != nil {
		panic(fmt.Sprintf("plan: %T is no apply configuration: %v", o.Intent, err)) // a fault of the build
	}
	id := Identity{APIVersion: head.APIVersion, Kind: head.Kind, Namespace: head.Metadata.Namespace, Name: head.Metadata.Name,
		Replicas: head.Spec.Replicas}
	if to, one := head.Spec.Selector[naming.LabelRevision].(string); one && head.Kind == "Service" && to != id.Name {
		id.Leads = []string{to}
	}
	if head.Kind == "HTTPRoute" {
		for _, r := range head.Spec.Rules {
			id.Leads = append(id.Leads, r.words()...)
		}
	}
	return id
}

// rule is a rule of an HTTPRoute.
type rule struct {
	Matches []any `json:"matches"`
	Refs    []struct {
		Name   string `json:"name"`
		Weight int32  `json:"weight"`
	} `json:"backendRefs"`
}

// words are the rule's destinations. One with a match is the rule for those who ask for the candidate.
func (r rule) words() []string {
	var words []string
	for _, ref := range r.Refs {
		word := fmt.Sprintf("%s (%d%%)", ref.Name, ref.Weight)
		if len(r.Matches) > 0 {
			word = fmt.Sprintf("%s (%s: %s)", ref.Name, naming.PreviewHeader, naming.PreviewValue)
		}
		words = append(words, word)
	}
	return words
}
