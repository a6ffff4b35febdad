package rollout

import (
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// Word is a person's word about the rollout under way: the annotation naming.AnnotationAction.
type Word struct {
	// Text is the whole of it.
	Text string
	Verb string
	// Revision and Attempt are what it means; a word about another than the candidate's is not heard.
	Revision string
	Attempt  int32
	// Step is the step that is promoted.
	Step int32
}

// The verbs.
const (
	VerbPromote     = "promote"
	VerbPromoteFull = "promote-full"
	VerbAbort       = "abort"
	VerbAbortForce  = "abort-force"
	VerbRetry       = "retry"
)

// ParseWord reads VERB:REVISION:ATTEMPT[:STEP]. What it cannot read is a word that nobody hears.
func ParseWord(text string) Word {
	word := Word{Text: text}
	parts := strings.Split(text, ":")
	if len(parts) < 3 {
		return word
	}
	attempt, err := strconv.ParseInt(parts[2], 10, 32)
	if err != nil {
		return word
	}
	step := int64(0)
	if len(parts) == 4 {
		if step, err = strconv.ParseInt(parts[3], 10, 32); err != nil {
			return word
		}
	}
	return Word{Text: text, Verb: parts[0], Revision: parts[1], Attempt: int32(attempt), Step: int32(step)}
}

// heard takes a new word down as handled, whether or not it can be carried out: it must not be carried out
// later, when it would mean something else.
func heard(in Input) Input {
	if in.Word.Text == in.Status.HandledAction {
		in.Word = Word{}
		return in
	}
	in.Status.HandledAction = in.Word.Text
	return in
}

// tryWord does what a person said. A person comes before everything else.
func tryWord(in Input) *Decision {
	c := in.Status.Candidate
	if in.Word.Verb == "" || c == nil || in.Word.Revision != c.Revision || in.Word.Attempt != in.Status.Attempt {
		return nil
	}
	failed := in.Status.Failure != nil
	switch in.Word.Verb {
	case VerbAbort, VerbAbortForce:
		return aborted(in, in.Word.Verb == VerbAbortForce)
	case VerbRetry:
		if failed {
			return retried(in)
		}
	case VerbPromote:
		if !failed && in.Status.StepStartedTime != nil && in.Word.Step == in.Status.Step {
			return new(advance(in))
		}
	case VerbPromoteFull:
		if !failed || frozen(in) {
			in.Status.Failure, in.Status.FullTime = nil, in.seconds()
			d := progressing(in, v1alpha1.ReasonRollingOut, "%s was promoted in full: the steps and gates that are left are passed over", in.Target.Revision)
			d.Wake = again
			return &d
		}
	}
	return nil
}

func aborted(in Input, force bool) *Decision {
	if in.Status.Failure == nil {
		in.Status.Failure = &v1alpha1.FailureStatus{Reason: v1alpha1.ReasonAborted, Message: "aborted by a person", Time: *in.seconds()}
	}
	if force && in.Status.Failure.ForcedTime == nil {
		in.Status.Failure.ForcedTime = in.seconds()
	}
	return tryBack(in)
}

// retried tries the candidate again, from the first step; one that kept its traffic goes on where it
// stood.
func retried(in Input) *Decision {
	step := int32(1)
	if frozen(in) {
		step = in.Status.Step
	}
	in.Status.Failure, in.Status.Reopened = nil, 0
	in.Status.Attempt++
	in = at(in, step)
	d := progressing(in, v1alpha1.ReasonRollingOut, "%s is tried again", in.Target.Revision)
	d.Wake = again
	return &d
}

// seconds is the time of the pass as status stores it.
func (in *Input) seconds() *metav1.Time { return new(metav1.NewTime(in.Now.Truncate(time.Second))) }
