// Package components turns the spec, and what was decided about it, into the objects that shall be in
// the cluster: one file for each component, pure functions, no client and no clock.
package components

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/database"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// Images are the images of the operands that the operator runs. They come with the operator's
// release, so a ScalableApp never names them.
type Images struct {
	Postgres  string
	PgBouncer string
	Redis     string
}

// Input is all that a component may look at.
type Input struct {
	App      *v1alpha1.ScalableApp
	Observed *state.Observed
	// Rollout is what was decided of the rollout; it is stored before any object is written.
	Rollout v1alpha1.RolloutStatus
	Images  Images
	// Database is what was decided of the database; nil without one that the operator runs.
	Database *database.Decision
	// Nudge is, when set, a word for the HTTPRoute that is another one each time a Gateway is to look at the
	// route again; "0" is none yet.
	Nudge string
	// OperatorNamespace is the namespace of the operator's pods: NetworkPolicies let them in.
	OperatorNamespace string
}

// Mode says how a child is kept.
type Mode int

const (
	// Applied children are kept as they are intended: drift is repaired.
	Applied Mode = iota
	// Created children are made once and never written again, for example generated passwords: writing
	// them again from a cache that lags would replace a password that is in use.
	Created
)

// Object is one child as it shall be.
type Object struct {
	// Intent is the whole intent: a typed apply configuration with kind, name and namespace.
	Intent runtime.ApplyConfiguration
	// Mode says how it is kept.
	Mode Mode
	// Witnesses must still be as they were seen for this one to be written: what a revision may give up
	// depends on what the others have, and on what is decided of the rollout.
	Witnesses []Witness
	// IfVersion, when set, is the resourceVersion that the child must still have to be written: pods are
	// taken away only from what is as it was seen, because a cache may lag.
	IfVersion string
	// IfNew says that the child was not seen, so that it is written only if there is none: a view that does not
	// know it is older than it.
	IfNew bool
}

// Witness is an object and the resourceVersion that it had when it was seen.
type Witness struct {
	// Kind is one of the constants below.
	Kind            WitnessKind
	Name            string
	ResourceVersion string
	// Before is a time for WitnessPods.
	Before time.Time
}

// WitnessKind is a kind of witnesses.
type WitnessKind int

const (
	// WitnessDeployment is another revision's Deployment.
	WitnessDeployment WitnessKind = iota
	// WitnessApp is the ScalableApp itself, with the resourceVersion that it has once the pass has stored its
	// decision; so it has none here. Should it have changed since, somebody else may have decided otherwise.
	WitnessApp
	// WitnessPods are all pods of the app: none of them may hold what the Secret Name held before a time. A view
	// may not know a pod yet.
	WitnessPods
)

// Decided has an object written only as long as the decision that it follows from is the newest.
func Decided(in Input) Witness { return Witness{Kind: WitnessApp, Name: in.App.Name} }

// owner is the owner reference that makes an object a child of the app.
func owner(app *v1alpha1.ScalableApp) *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().
		WithAPIVersion(v1alpha1.GroupVersion.String()).
		WithKind("ScalableApp").
		WithName(app.Name).
		WithUID(app.UID).
		WithController(true).
		WithBlockOwnerDeletion(true)
}

// labels are the labels of a child, as naming.Labels.
func labels(app *v1alpha1.ScalableApp, component string) map[string]string {
	return naming.Labels(app, component)
}
