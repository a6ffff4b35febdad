package observe

import (
	"net"
	"net/url"
	"strconv"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/podmetrics"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/status"
)

// targets are the pods of a revision that serve, with the address of their metrics as that revision has it.
func (a asking) targets(name string) []podmetrics.Target {
	spec := &a.app.Spec.App
	if stored := a.seen.Revision(name); stored != nil {
		if r, err := revision.Stored(stored); err == nil {
			spec = &r.Inputs.App
		}
	}
	port, path := metricsOf(spec)
	var targets []podmetrics.Target
	labels := naming.Selector(a.app, naming.ComponentApp)
	labels[naming.LabelRevision] = name
	for _, pod := range a.seen.PodsWith(labels) {
		if !status.Serving(pod) || pod.Status.PodIP == "" {
			continue
		}
		address := url.URL{Scheme: "http", Host: net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port)))}
		targets = append(targets, podmetrics.Target{UID: pod.UID, Name: pod.Name, URL: address.String() + path})
	}
	return targets
}

// metricsOf is where a revision serves its metrics. Left out, the usual path on the app's port is tried: the
// gate that wants them says that they are there.
func metricsOf(spec *v1alpha1.AppSpec) (port int32, path string) {
	port, path = 8080, "/metrics"
	if spec.Port != nil {
		port = *spec.Port
	}
	if m := spec.Metrics; m != nil {
		if m.Port != nil {
			port = *m.Port
		}
		if m.Path != "" {
			path = m.Path
		}
	}
	return port, path
}
