package events

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

func on(stable, candidate, stage string) v1alpha1.ScalableAppStatus {
	rev := func(name string) *v1alpha1.RevisionStatus {
		if name == "" {
			return nil
		}
		return &v1alpha1.RevisionStatus{Revision: name, Image: "image-" + name}
	}
	return v1alpha1.ScalableAppStatus{Rollout: v1alpha1.RolloutStatus{Stage: stage, Stable: rev(stable), Candidate: rev(candidate)}}
}

func with(kind string, status metav1.ConditionStatus, reason string) v1alpha1.ScalableAppStatus {
	return v1alpha1.ScalableAppStatus{Conditions: []metav1.Condition{{Type: kind, Status: status, Reason: reason, Message: "words"}}}
}

// judged is a candidate at step 2 of 3, of which a gate says something.
func judged(gate v1alpha1.GateStatus) v1alpha1.ScalableAppStatus {
	status := on("a", "b", v1alpha1.StageProgressing)
	gate.Name = "errors"
	status.Rollout.Step, status.Rollout.Steps, status.Rollout.Gates = 2, 3, []v1alpha1.GateStatus{gate}
	return status
}

func primaryIs(name string) v1alpha1.ScalableAppStatus {
	return v1alpha1.ScalableAppStatus{Database: &v1alpha1.DatabaseStatus{Primary: name}}
}

func TestBetween(t *testing.T) {
	none := v1alpha1.ScalableAppStatus{}
	for name, c := range map[string]struct {
		before, after v1alpha1.ScalableAppStatus
		want          []string
	}{
		"first candidate": {none, on("", "a", v1alpha1.StageProgressing), []string{"Normal RolloutStarted: revision a (image-a) is to take over from nothing"}},
		"candidate":       {on("a", "", v1alpha1.StageStable), on("a", "b", v1alpha1.StageProgressing), []string{"Normal RolloutStarted: revision b (image-b) is to take over from a"}},
		"candidate is superseded": {on("a", "b", v1alpha1.StageProgressing), on("a", "c", v1alpha1.StageProgressing),
			[]string{"Normal RolloutStarted: revision c (image-c) is to take over from a"}},
		"candidate that migrates": {on("a", "", v1alpha1.StageStable), on("a", "b", v1alpha1.StageMigrating),
			[]string{"Normal RolloutStarted: revision b (image-b) is to take over from a", "Normal MigrationStarted: the migration of b runs"}},
		"it waited, now it migrates": {on("a", "b", v1alpha1.StageWaiting), on("a", "b", v1alpha1.StageMigrating), []string{"Normal MigrationStarted: the migration of b runs"}},
		"completed":                  {on("a", "b", v1alpha1.StageProgressing), on("b", "", v1alpha1.StageProgressing), []string{"Normal RolloutCompleted: revision b (image-b) serves; before it served a"}},
		"reverted":                   {on("a", "b", v1alpha1.StageProgressing), on("a", "", v1alpha1.StageStable), []string{"Normal RolloutReverted: back to revision a; b is given up"}},
		"ready":                      {none, with("Ready", "True", "Ready"), []string{"Normal Ready: words"}},
		"ready again":                {with("Ready", "False", "Degraded"), with("Ready", "True", "Ready"), []string{"Normal Ready: words"}},
		"ready no longer":            {with("Ready", "True", "Ready"), with("Ready", "False", "Degraded"), []string{"Warning NotReady: Degraded: words"}},
		"stalled":                    {none, with("Stalled", "True", "ConfigMissing"), []string{"Warning ConfigMissing: words"}},
		"stalled by something else": {with("Stalled", "True", "NameConflict"), with("Stalled", "True", "ConfigMissing"),
			[]string{"Warning ConfigMissing: words"}},
		"the first primary": {primaryIs(""), primaryIs("db-0"), []string{"Normal PrimaryElected: db-0 is the database's primary"}},
		"no primary for a moment": {primaryIs("db-0"), primaryIs(""),
			[]string{"Warning PrimaryLost: no instance of the database takes writes; before it was db-0"}},
		"the database is gone": {primaryIs("db-0"), none, nil},
		"another primary":      {primaryIs("db-0"), primaryIs("db-1"), []string{"Normal PrimaryChanged: db-1 is the database's primary; before it was db-0"}},

		"a gate failed": {judged(v1alpha1.GateStatus{Verdict: v1alpha1.VerdictPending}),
			judged(v1alpha1.GateStatus{Verdict: v1alpha1.VerdictFail, Value: "0.8", Limit: "0.05", Reason: "0.8 is above the limit of 0.05"}),
			[]string{"Warning GateFail: gate errors at step 2 of 3: 0.8 is above the limit of 0.05"}},
		"a gate passed": {judged(v1alpha1.GateStatus{Verdict: v1alpha1.VerdictPending}),
			judged(v1alpha1.GateStatus{Verdict: v1alpha1.VerdictPass, Value: "0.01", Limit: "0.05"}),
			[]string{"Normal GatePassed: gate errors at step 2 of 3: 0.01"}},

		"not ready from the start":       {none, with("Ready", "False", "RollingOut"), nil},
		"other words of one trouble":     {with("Ready", "False", "RollingOut"), with("Ready", "False", "Degraded"), nil},
		"Reconciling says no more":       {none, with("Reconciling", "True", "RollingOut"), nil},
		"no longer stalled":              {with("Stalled", "True", "ConfigMissing"), none, nil},
		"Migrating goes on":              {on("a", "b", v1alpha1.StageMigrating), on("a", "b", v1alpha1.StageMigrating), nil},
		"the migrated gets its pods":     {on("a", "b", v1alpha1.StageMigrating), on("a", "b", v1alpha1.StageProgressing), nil},
		"the old pods of a release left": {on("b", "", v1alpha1.StageProgressing), on("b", "", v1alpha1.StageStable), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, e := range Between(c.before, c.after) {
				got = append(got, e.Type+" "+e.Reason+": "+e.Message)
				if e.Action == "" {
					t.Errorf("%s has no action, and the API server refuses it", e.Reason)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if again := Between(c.after, c.after); len(again) > 0 {
				t.Errorf("without a transition: %v", again)
			}
		})
	}
}
