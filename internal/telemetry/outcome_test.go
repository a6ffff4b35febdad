package telemetry

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// at is a rollout whose stable revision and candidate have these names; empty is none.
func at(stable, candidate, stage string, changes ...func(*v1alpha1.RolloutStatus)) v1alpha1.RolloutStatus {
	r := v1alpha1.RolloutStatus{Stage: stage}
	if stable != "" {
		r.Stable = &v1alpha1.RevisionStatus{Revision: stable}
	}
	if candidate != "" {
		r.Candidate, r.Attempt = &v1alpha1.RevisionStatus{Revision: candidate}, 1
	}
	for _, change := range changes {
		change(&r)
	}
	return r
}

func failure(reason string) func(*v1alpha1.RolloutStatus) {
	return func(r *v1alpha1.RolloutStatus) { r.Failure = &v1alpha1.FailureStatus{Reason: reason} }
}

func attempt(n int32) func(*v1alpha1.RolloutStatus) {
	return func(r *v1alpha1.RolloutStatus) { r.Attempt = n }
}

func step(n int32, gates ...v1alpha1.GateStatus) func(*v1alpha1.RolloutStatus) {
	return func(r *v1alpha1.RolloutStatus) { r.Step, r.Gates = n, gates }
}

func gate(name, verdict string) v1alpha1.GateStatus {
	return v1alpha1.GateStatus{Name: name, Verdict: verdict}
}

const (
	progressing = v1alpha1.StageProgressing
	stable      = v1alpha1.StageStable
	aborting    = v1alpha1.StageAborting
	givenUpFor  = v1alpha1.StageFailed
)

func TestBetween(t *testing.T) {
	aborted, gateFailed := failure(v1alpha1.ReasonAborted), failure(v1alpha1.ReasonGateFailed)
	for name, c := range map[string]struct {
		before, after v1alpha1.RolloutStatus
		want          Transition
	}{
		"nothing":                     {at("a", "", stable), at("a", "", stable), Transition{}},
		"the first begins":            {at("", "", ""), at("", "a", progressing), Transition{Began: true}},
		"the first is there":          {at("", "a", progressing), at("a", "", stable), Transition{Ended: Promoted}},
		"there at once":               {at("", "", ""), at("a", "", stable), Transition{Ended: Promoted}},
		"one begins":                  {at("a", "", stable), at("a", "b", v1alpha1.StageWaiting), Transition{Began: true}},
		"it goes on":                  {at("a", "b", v1alpha1.StageWaiting), at("a", "b", progressing), Transition{}},
		"promoted":                    {at("a", "b", progressing), at("b", "", stable), Transition{Ended: Promoted}},
		"promoted, the next begins":   {at("a", "b", progressing), at("b", "c", progressing), Transition{Ended: Promoted, Began: true}},
		"a gate fails":                {at("a", "b", progressing), at("a", "b", aborting, gateFailed), Transition{Ended: Failed}},
		"a person aborts":             {at("a", "b", progressing), at("a", "b", aborting, aborted), Transition{Ended: Aborted}},
		"it has gone back":            {at("a", "b", aborting, gateFailed), at("a", "b", givenUpFor, gateFailed), Transition{}},
		"a migration fails":           {at("a", "b", v1alpha1.StageMigrating), at("a", "b", givenUpFor), Transition{Ended: Failed}},
		"tried again":                 {at("a", "b", givenUpFor, gateFailed), at("a", "b", progressing, attempt(2)), Transition{Began: true}},
		"it comes after its deadline": {at("", "b", givenUpFor), at("b", "", stable), Transition{Ended: Promoted}},
		"another takes its place":     {at("a", "b", progressing), at("a", "c", progressing), Transition{Ended: Superseded, Began: true}},
		"another after it failed":     {at("a", "b", givenUpFor, gateFailed), at("a", "c", progressing), Transition{Began: true}},
		"another that fails at once":  {at("a", "b", progressing), at("a", "c", givenUpFor), Transition{Ended: Failed, Began: true}},
		"back to the stable one":      {at("a", "b", progressing), at("a", "", stable), Transition{Ended: Reverted}},
		"back after it failed":        {at("a", "b", givenUpFor, gateFailed), at("a", "", stable), Transition{}},
		"new steps of the same": {
			at("a", "b", progressing, step(3)), at("a", "b", progressing, step(1), attempt(2)), Transition{Stepped: true},
		},
		"a step":                    {at("a", "b", progressing, step(1)), at("a", "b", progressing, step(2)), Transition{Stepped: true}},
		"the first step":            {at("a", "", stable), at("a", "b", progressing, step(1)), Transition{Began: true, Stepped: true}},
		"no step without a rollout": {at("a", "b", progressing, step(2)), at("b", "", stable), Transition{Ended: Promoted}},
		"a gate is asked": {
			at("a", "b", progressing, step(1)), at("a", "b", progressing, step(1, gate("g", "Pending"))),
			Transition{},
		},
		"a gate comes to a verdict": {
			at("a", "b", progressing, step(1, gate("g", "Pending"))), at("a", "b", progressing, step(1, gate("g", "Pass"))),
			Transition{Verdicts: []Verdict{{"g", "Pass"}}},
		},
		"a verdict stays": {
			at("a", "b", progressing, step(1, gate("g", "Pass"))), at("a", "b", progressing, step(1, gate("g", "Pass"), gate("h", "Fail"))),
			Transition{Verdicts: []Verdict{{"h", "Fail"}}},
		},
		"the same at the next step": {
			at("a", "b", progressing, step(1, gate("g", "Pass"))), at("a", "b", progressing, step(2, gate("g", "Pass"))),
			Transition{Stepped: true, Verdicts: []Verdict{{"g", "Pass"}}},
		},
		"no word, and then one": {
			at("a", "b", progressing, step(1, gate("g", "Inconclusive"))), at("a", "b", progressing, step(1, gate("g", "Fail"))),
			Transition{Verdicts: []Verdict{{"g", "Fail"}}},
		},
		"a failed one waits for pods":  {at("a", "b", givenUpFor, gateFailed), at("a", "b", givenUpFor, gateFailed), Transition{}},
		"paused, and on it goes":       {at("a", "b", v1alpha1.StagePaused), at("a", "b", progressing), Transition{}},
		"an undo of what was promoted": {at("b", "", stable), at("b", "a", progressing), Transition{Began: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Between(c.before, c.after)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
