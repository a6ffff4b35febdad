package cli

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// changed is an app after a change.
func changed(app *v1alpha1.ScalableApp, change func(*v1alpha1.ScalableApp)) *v1alpha1.ScalableApp {
	change(app)
	return app
}

func told(app *v1alpha1.ScalableApp, word string) *v1alpha1.ScalableApp {
	app.Annotations = map[string]string{naming.AnnotationAction: word}
	return app
}

func heard(app *v1alpha1.ScalableApp, word string) *v1alpha1.ScalableApp {
	app.Status.Rollout.HandledAction = word
	return told(app, word)
}

func deleted(app *v1alpha1.ScalableApp) *v1alpha1.ScalableApp {
	app.DeletionTimestamp = new(metav1.Now())
	return app
}

func unopened() *v1alpha1.ScalableApp {
	return changed(canary(), func(app *v1alpha1.ScalableApp) {
		app.Status.Rollout.StepStartedTime, app.Status.Rollout.Message = nil, "0 of 1 pods of shop-b serve"
	})
}

func firstRollout() *v1alpha1.ScalableApp {
	return changed(canary(), func(app *v1alpha1.ScalableApp) { app.Status.Rollout.Stable = nil })
}

func lastStep() *v1alpha1.ScalableApp {
	return changed(canary(), func(app *v1alpha1.ScalableApp) { app.Status.Rollout.Step = 4 })
}

func secondAttempt() *v1alpha1.ScalableApp {
	return changed(givenUp(), func(app *v1alpha1.ScalableApp) { app.Status.Rollout.Attempt = 2 })
}

// noDeadline is the first of all, past its deadline: it is not given up.
func noDeadline() *v1alpha1.ScalableApp {
	return changed(firstRollout(), func(app *v1alpha1.ScalableApp) {
		app.Status.Rollout.Stage, app.Status.Rollout.StepStartedTime = v1alpha1.StageFailed, nil
		app.Status.Rollout.Message = "no progress for 10m0s"
	})
}

func TestActions(t *testing.T) {
	unsafe := []past{record(1, "shop-a", "shop:1", nil), record(2, "shop-b", "shop:2", migrates(v1alpha1.RollbackSafeNo))}
	safe := []past{record(1, "shop-a", "shop:1", nil), record(2, "shop-b", "shop:2", migrates(v1alpha1.RollbackSafeYes))}
	older := []past{record(0, "shop-b", "shop:0", migrates(v1alpha1.RollbackSafeNo)), record(1, "shop-a", "shop:1", nil)}
	type outcome func(*v1alpha1.ScalableApp) (object, string, error)
	var promoted outcome = func(app *v1alpha1.ScalableApp) (object, string, error) { return promote(app, false) }
	var inFull outcome = func(app *v1alpha1.ScalableApp) (object, string, error) { return promote(app, true) }
	aborted := func(history []past, force bool) outcome {
		return func(app *v1alpha1.ScalableApp) (object, string, error) { return abort(app, history, force) }
	}
	for name, c := range map[string]struct {
		do      outcome
		app     *v1alpha1.ScalableApp
		word    string // the annotation that is written
		says    string // a part of what is said, or of the refusal when there is no word
		andSays string
	}{
		"promote an approval":             {promoted, awaiting(), "promote:shop-b:1:2", "step 2 of 4 of revision 2 (shop-b, shop:2) goes on", "step 3 follows (50% of the traffic)"},
		"promote past a pause":            {promoted, canary(), "promote:shop-b:1:2", "past what is left of its pause", "have not passed: errors"},
		"promote past a silent gate":      {promoted, inconclusive(), "promote:shop-b:1:2", "have not passed: errors", ""},
		"promote at the last step":        {promoted, lastStep(), "promote:shop-b:1:4", "the new revision is the stable one", ""},
		"promote with steps of their own": {promoted, changed(canary(), func(app *v1alpha1.ScalableApp) { app.Status.Rollout.Steps = 9 }), "promote:shop-b:1:2", "step 3 follows.", ""},
		"promote a new step":              {promoted, heard(awaiting(), "promote:shop-b:1:1"), "promote:shop-b:1:2", "goes on", ""},
		"promote what waits for pods":     {promoted, unopened(), "", "waits for no person (0 of 1 pods of shop-b serve)", "--full"},
		"promote nothing":                 {promoted, shop(), "", "nothing of shop is rolled out", "status shop"},
		"promote what failed":             {promoted, givenUp(), "", "GateFailed: gate errors failed at step 2", "retry shop"},
		"promote what goes back":          {promoted, aborting(), "", "does not go on", "retry shop"},
		"promote what cannot go back":     {promoted, frozenApp(), "", "does not go on", "retry shop"},
		"promote what changes":            {promoted, unseen(awaiting()), "", "has not seen it yet", "try again"},
		"promote what goes":               {promoted, deleted(awaiting()), "", "is being deleted", ""},
		"promote twice":                   {promoted, told(awaiting(), "promote:shop-b:1:2"), "", "has not acted on it yet", ""},
		"promote what was heard":          {promoted, heard(awaiting(), "promote:shop-b:1:2"), "", "has heard it", "shop-b waits for approval at step 2 of 4"},
		"promote over an abort":           {promoted, told(awaiting(), "abort:shop-b:1"), "", "is to be aborted", ""},
		"promote over an old abort":       {promoted, told(awaiting(), "abort:shop-a:3"), "promote:shop-b:1:2", "goes on", ""},
		"promote in full":                 {inFull, awaiting(), "promote-full:shop-b:1", "takes over in full", ""},
		"promote in full before a step":   {inFull, unopened(), "promote-full:shop-b:1", "Pods and traffic still count", ""},
		"promote in full what is frozen":  {inFull, frozenApp(), "promote-full:shop-b:1", "takes over in full", ""},
		"promote in full past a deadline": {inFull, noDeadline(), "promote-full:shop-b:1", "takes over in full", ""},
		"promote in full what failed":     {inFull, givenUp(), "", "does not go on", "retry shop"},

		"abort":                          {aborted(safe, false), canary(), "abort:shop-b:1", "goes back to revision 1 (shop-a, shop:1)", "retry shop"},
		"abort before the migration":     {aborted(unsafe[:1], false), canary(), "abort:shop-b:1", "goes back", ""},
		"abort what changes":             {aborted(safe, false), unseen(canary()), "abort:shop-b:1", "goes back", ""},
		"abort a promote":                {aborted(safe, false), told(awaiting(), "promote:shop-b:1:2"), "abort:shop-b:1", "goes back", ""},
		"abort over a migration":         {aborted(unsafe, false), canary(), "", "rollbackSafe: No", "--force"},
		"abort over it by force":         {aborted(nil, true), canary(), "abort-force:shop-b:1", "goes back", ""},
		"abort an undo":                  {aborted(older, false), canary(), "abort:shop-b:1", "goes back", ""},
		"abort nothing":                  {aborted(nil, false), shop(), "", "nothing of shop is rolled out", "undo shop"},
		"abort the first":                {aborted(nil, true), firstRollout(), "", "there is none to go back to", "set image"},
		"abort what failed":              {aborted(safe, false), givenUp(), "", "failed already (GateFailed: gate errors failed at step 2", "retry shop"},
		"abort what failed, by force":    {aborted(nil, true), givenUp(), "", "failed already", "set a new image"},
		"abort what goes back":           {aborted(safe, false), aborting(), "", "goes back already", ""},
		"abort what cannot go back":      {aborted(unsafe, false), frozenApp(), "", "may not work on the database", "--force"},
		"abort it by force":              {aborted(nil, true), frozenApp(), "abort-force:shop-b:1", "goes back", ""},
		"abort what goes back, by force": {aborted(nil, true), aborting(), "abort-force:shop-b:1", "goes back", ""},
		"abort what goes":                {aborted(nil, true), deleted(canary()), "", "is being deleted", ""},
		"abort by force after an abort":  {aborted(nil, true), heard(canary(), "abort:shop-b:1"), "abort-force:shop-b:1", "goes back", ""},

		"retry":                      {retry, givenUp(), "retry:shop-b:1", "tried again from its first step", "GateFailed: gate errors failed at step 2"},
		"retry again":                {retry, heard(secondAttempt(), "retry:shop-b:1"), "retry:shop-b:2", "tried again", ""},
		"retry what goes back":       {retry, aborting(), "retry:shop-b:1", "tried again", ""},
		"retry what is not given up": {retry, noDeadline(), "", "goes on by itself", "no progress"},
		"retry what is frozen":       {retry, frozenApp(), "retry:shop-b:1", "from the step where it has kept its traffic", ""},
		"retry what goes on":         {retry, canary(), "", "has not failed", "10% of the traffic"},
		"retry nothing":              {retry, shop(), "", "nothing of shop has failed", "restart shop"},
		"retry twice":                {retry, told(givenUp(), "retry:shop-b:1"), "", "has not acted on it yet", ""},
		"retry what changes":         {retry, unseen(givenUp()), "", "has not seen it yet", ""},
	} {
		t.Run(name, func(t *testing.T) {
			changes, said, err := c.do(c.app)
			got := ""
			if metadata, ok := changes["metadata"].(object); ok {
				got, _ = metadata["annotations"].(object)[naming.AnnotationAction].(string)
			}
			if err != nil {
				said = err.Error()
			}
			if got != c.word || (err == nil) != (c.word != "") {
				t.Errorf("writes %q, want %q; it says: %s", got, c.word, said)
			}
			for _, part := range []string{c.says, c.andSays} {
				if !strings.Contains(said, part) {
					t.Errorf("%q is not in what it says: %s", part, said)
				}
			}
		})
	}
}

// A dry run that sends nothing prints what would be there.
func TestMergeInto(t *testing.T) {
	app := told(canary(), "old")
	app.Annotations["mine"] = "stays"
	if err := mergeInto(app, annotations(object{naming.AnnotationAction: "new", naming.AnnotationUndo: nil})); err != nil {
		t.Fatal(err)
	}
	if app.Annotations[naming.AnnotationAction] != "new" || app.Annotations["mine"] != "stays" || len(app.Annotations) != 2 {
		t.Errorf("the annotations are %v", app.Annotations)
	}
	if app.Spec.Rollout.Strategy != v1alpha1.RolloutCanary || app.Status.Rollout.Step != 2 {
		t.Error("the rest does not stay")
	}
}
