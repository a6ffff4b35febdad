package observe

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/member"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// ParameterJudge has PostgreSQL say whether it would start with settings.
type ParameterJudge interface {
	Check(ctx context.Context, address string, login member.Login, parameters map[string]string) (state.Judgement, error)
}

// judgements remembers the newest judgement for each app, so that settings which are refused are not asked
// about in each pass.
type judgements struct {
	mu    sync.Mutex
	known map[types.NamespacedName]judged
}

type judged struct {
	of   [sha256.Size]byte
	said state.ParameterCheck
	// until is how long no answer is one: zero is for ever.
	until time.Time
}

// askAgain is how soon a member that did not answer is asked again: whoever fell silent must not hold up pass
// after pass.
const askAgain = 5 * time.Second

// parameters asks a member what PostgreSQL says of the settings, but only while they are to be others than
// those in force, and once. A member of an older operator has nobody who could be asked.
func (o *Observer) parameters(ctx context.Context, app *v1alpha1.ScalableApp, seen *state.Observed) error {
	key := types.NamespacedName{Namespace: app.Namespace, Name: app.Name}
	in := components.Input{App: app, Observed: seen}
	wanted, due := components.DueParameters(in)
	secret := seen.Secret(naming.DatabaseCredentials(app))
	if o.Parameters == nil || !due || secret == nil {
		o.judgements.forget(key)
		return nil
	}
	pods := agents(seen, app)
	if len(pods) == 0 {
		return nil
	}
	raw, err := json.Marshal([]any{app.UID, pods[0].Spec.Containers[0].Image, wanted})
	if err != nil {
		return err
	}
	of := sha256.Sum256(raw)
	if said, known := o.judgements.find(key, of, seen.Now); known {
		seen.Parameters = &said
		return nil
	}
	user, password := components.PatroniLogin(secret)
	check := judged{of: of, until: seen.Now.Add(askAgain)}
	for _, pod := range pods {
		address := member.Address(pod.Status.PodIP, components.AgentPort)
		said, err := o.Parameters.Check(ctx, address, member.Login{User: user, Password: password}, wanted)
		if err == nil {
			check = judged{of: of, said: state.ParameterCheck{Judgement: said}}
			break
		}
		check.said.Unanswered = pod.Name + " does not answer"
	}
	o.judgements.remember(key, check)
	seen.Parameters = &check.said
	return nil
}

// agents are the members with an agent that runs, the primary first.
func agents(seen *state.Observed, app *v1alpha1.ScalableApp) []*corev1.Pod {
	pods := slices.DeleteFunc(running(seen, app, naming.ComponentDatabase), func(pod *corev1.Pod) bool {
		return pod.DeletionTimestamp != nil || !components.HasAgent(pod)
	})
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int { return leads(b) - leads(a) })
	return pods
}

func leads(pod *corev1.Pod) int {
	if pod.Labels[naming.LabelRole] == "primary" {
		return 1
	}
	return 0
}

func (j *judgements) find(key types.NamespacedName, of [sha256.Size]byte, now time.Time) (state.ParameterCheck, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	known, there := j.known[key]
	return known.said, there && known.of == of && (known.until.IsZero() || now.Before(known.until))
}

func (j *judgements) remember(key types.NamespacedName, said judged) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.known == nil {
		j.known = map[types.NamespacedName]judged{}
	}
	j.known[key] = said
}

func (j *judgements) forget(key types.NamespacedName) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.known, key)
}
