package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// The operator is force-deleted in the middle of rollouts: one app of each strategy in
// each traffic mode is there, each at another stage. The next operator goes on where it stopped, forth and
// back, and the apps' users see nothing of it.
func TestOperatorRestart(t *testing.T) {
	w := newWorld(t)
	var all []*cutover
	for _, gateway := range []bool{false, true} {
		for _, strategy := range []v1alpha1.RolloutStrategy{v1alpha1.RolloutCanary, v1alpha1.RolloutRolling, v1alpha1.RolloutBlueGreen} {
			w.create(w.cutoverApp(strings.ToLower(string(strategy)+"-"+modeName(gateway)), strategy, gateway))
		}
	}
	for _, gateway := range []string{"replicas", "gateway"} {
		for _, strategy := range []string{"canary", "rolling", "bluegreen"} {
			all = append(all, w.startCutover(strategy+"-"+gateway, w.rate()/5))
		}
	}
	time.Sleep(5 * time.Second) // a measurement, not a wait: what "before" is

	legs, candidates := map[*cutover]*leg{}, map[*cutover]string{}
	for _, c := range all {
		legs[c] = c.begin("operator killed in the middle", c.next())
	}
	for _, c := range all {
		candidates[c] = c.candidate(legs[c].changed)
		c.await(c.name, legs[c].changed, "the candidate has pods", func(app *v1alpha1.ScalableApp) bool {
			return app.Status.Rollout.Candidate != nil && app.Status.Rollout.Candidate.Replicas > 0
		})
	}
	w.killOperator(all) // while pods start
	canary := all[0]
	canary.middle(legs[canary].changed, candidates[canary])
	w.killOperator(all) // while traffic moves
	for _, c := range all {
		l := legs[c]
		l.done = c.promoted(l.changed, candidates[c])
		l.settled, l.cutover = l.done, l.done.Sub(l.changed)
	}
	time.Sleep(12 * time.Second) // a measurement: who answers in the end
	for _, c := range all {
		legs[c].final, legs[c].ended = candidates[c], time.Now()
	}

	for _, c := range all {
		legs[c] = c.begin("operator killed on the way back", c.next(env("FAULT_ERROR_RATIO", faultRatio)...))
	}
	failing := all[len(all)-1]
	for _, c := range all {
		legs[c].back, legs[c].bad = true, c.candidate(legs[c].changed)
	}
	failing.failedFor(legs[failing].changed, legs[failing].bad, v1alpha1.ReasonGateFailed)
	w.killOperator(all) // while traffic goes back
	for _, c := range all {
		l := legs[c]
		l.done = c.failedFor(l.changed, l.bad, v1alpha1.ReasonGateFailed)
		l.decided, l.cutover, l.final = l.done, l.done.Sub(l.changed), c.stable()
		l.settled = c.settled(l.done, l.final)
	}
	time.Sleep(12 * time.Second) // a measurement: who answers in the end
	for _, c := range all {
		legs[c].ended = time.Now()
		c.finish()
	}
}

// killOperator force-deletes the operator: the API server forgets its pods at once. The kubelet may still send
// them SIGTERM, and then they give up their lease: this is not a power cut. It returns when another pod is ready.
func (w *world) killOperator(apps []*cutover) {
	w.Helper()
	operators, err := operatorPods(w.ctx)
	w.must(err)
	killed := map[string]bool{}
	for i := range operators {
		w.must(client.IgnoreNotFound(api.Delete(w.ctx, &operators[i], client.GracePeriodSeconds(0))))
		killed[operators[i].Name] = true
	}
	at, under := time.Now(), 0
	for _, c := range apps {
		r := w.app(c.name).Status.Rollout
		w.Logf("  killed while %s was at: %s, step %d of %d: %s", c, r.Stage, r.Step, r.Steps, r.Message)
		if r.Candidate != nil {
			under++
		}
	}
	if under == 0 {
		w.Error("no rollout was under way when the operator was killed; this run shows nothing")
	}
	w.eventually(2*time.Minute, "another operator is at work", func() error {
		operators, err := operatorPods(w.ctx)
		w.must(err)
		for i := range operators {
			if pod := &operators[i]; !killed[pod.Name] && isPodReady(pod) {
				return nil
			}
		}
		return fmt.Errorf("there are %d pods of it", len(operators))
	})
	w.Logf("  another operator was ready %s later", time.Since(at).Round(100*time.Millisecond))
}
