package naming

import "github.com/scalableapp/scalableapp-operator/api/v1alpha1"

// RevisionSelector selects the pods of the app that belong to a revision. Empty is all revisions.
func RevisionSelector(app *v1alpha1.ScalableApp, revision string) map[string]string {
	selector := Selector(app, ComponentApp)
	if revision != "" {
		selector[LabelRevision] = revision
	}
	return selector
}

// ServiceSelector selects the pods that the shared Service leads to.
func ServiceSelector(app *v1alpha1.ScalableApp, traffic *v1alpha1.TrafficStatus) map[string]string {
	if traffic == nil {
		return RevisionSelector(app, "")
	}
	return RevisionSelector(app, traffic.Service)
}

// Backend is a Service behind the HTTPRoute and its weight.
type Backend struct {
	Service string
	Weight  int32
}

// Backends are the Services that the HTTPRoute leads to: those of the revisions, or the shared one where
// traffic follows the pods of all revisions.
func Backends(app *v1alpha1.ScalableApp, traffic *v1alpha1.TrafficStatus) []Backend {
	var backends []Backend
	if traffic != nil && traffic.Service != "" {
		for _, b := range traffic.Backends {
			if b.Weight > 0 {
				backends = append(backends, Backend{Service: b.Revision, Weight: b.Weight})
			}
		}
	}
	if len(backends) == 0 {
		return []Backend{{Service: Service(app), Weight: 100}}
	}
	return backends
}

// The header with which a request asks for the candidate, whatever the weights are.
const (
	PreviewHeader = "X-Canary"
	PreviewValue  = "always"
)
