package components

import (
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	batchv1ac "k8s.io/client-go/applyconfigurations/batch/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
)

// gateTimeout is the schema's default of job.timeoutSeconds.
const gateTimeout = 300

// PreviewURL leads to the pods of a revision, whatever its share of the traffic is.
func PreviewURL(app *v1alpha1.ScalableApp, revision string) string {
	return "http://" + serviceHost(app, revision)
}

// Gate is the Job of a gate of a revision, for one step of one attempt. It runs once: a check that succeeds
// only at the second try says nothing good. Only a pod that the cluster itself took away is made again.
//
// In the revision's own image it runs as the app does, with its variables, ConfigMaps and Secrets. An image
// of its own gets none of these, only the three variables of a gate: it is somebody else's program, and
// the app's passwords are none of its business.
//
// A Job's template cannot change, so it is made once. GateOutdated says when it has to go first.
func Gate(in Input, r revision.Revision, gate *v1alpha1.GateSpec, attempt, step int32) Object {
	labels := labels(in.App, naming.ComponentGate)
	labels[naming.LabelRevision] = r.Name
	disrupted := batchv1ac.PodFailurePolicyRule().WithAction(batchv1.PodFailurePolicyActionIgnore).
		WithOnPodConditions(batchv1ac.PodFailurePolicyOnPodConditionsPattern().
			WithType(corev1.DisruptionTarget).WithStatus(corev1.ConditionTrue))
	return Object{Mode: Created, Intent: batchv1ac.Job(naming.Gate(r.Name, gate.Name), in.App.Namespace).
		WithLabels(labels).
		WithAnnotations(map[string]string{
			naming.AnnotationAttempt: strconv.Itoa(int(attempt)), naming.AnnotationStep: strconv.Itoa(int(step)),
		}).
		WithOwnerReferences(owner(in.App)).
		WithSpec(batchv1ac.JobSpec().
			WithBackoffLimit(0).
			WithPodFailurePolicy(batchv1ac.PodFailurePolicy().WithRules(disrupted)).
			WithActiveDeadlineSeconds(int64(or(gate.Job.TimeoutSeconds, gateTimeout))).
			WithTemplate(corev1ac.PodTemplateSpec().
				WithLabels(labels).
				WithSpec(gatePod(in, r, gate.Job).WithRestartPolicy(corev1.RestartPolicyNever))))}
}

// GateOutdated says whether the Job of a gate was made for another step or attempt: it has to be deleted
// before that of this one can be made, and tells nothing of it.
func GateOutdated(job *batchv1.Job, attempt, step int32) bool {
	return job.Annotations[naming.AnnotationAttempt] != strconv.Itoa(int(attempt)) ||
		job.Annotations[naming.AnnotationStep] != strconv.Itoa(int(step))
}

// bindsGate says whether a gate is a Job that is given the app's bindings.
func bindsGate(gate v1alpha1.GateSpec) bool { return gate.Job != nil && gate.Job.Image == "" }

func gatePod(in Input, r revision.Revision, job *v1alpha1.JobGate) *corev1ac.PodSpecApplyConfiguration {
	spec := r.AppSpec(func(i int) string { return naming.RevisionConfig(r.Name, i) })
	ours := []*corev1ac.EnvVarApplyConfiguration{
		corev1ac.EnvVar().WithName("PREVIEW_URL").WithValue(PreviewURL(in.App, r.Name)),
		corev1ac.EnvVar().WithName("APP_NAME").WithValue(in.App.Name),
		corev1ac.EnvVar().WithName("APP_REVISION").WithValue(r.Name),
	}
	if job.Image == "" {
		container := appContainer(in.App, r, spec)
		container.Command, container.Args = nil, nil
		container.Env = append(without(container.Env, ours), convertEnv(ours)...)
		return podSpec(in.App, r, spec, container.WithCommand(job.Command...))
	}
	container := corev1ac.Container().
		WithName(naming.ComponentGate).
		WithImage(job.Image).
		WithCommand(job.Command...).
		WithEnv(ours...).
		WithResources(resourcesOr(corev1.ResourceRequirements{}, corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
		}, nil)).
		WithTerminationMessagePolicy(corev1.TerminationMessageFallbackToLogsOnError).
		WithSecurityContext(restrictedContainer())
	stranger := *spec
	stranger.ServiceAccountName = ""
	unbound := r
	unbound.Inputs.Bindings = revision.Bindings{}
	return podSpec(in.App, unbound, &stranger, container)
}

// without are the variables but for those of the same name as one of TAKEN.
func without(env []corev1ac.EnvVarApplyConfiguration, taken []*corev1ac.EnvVarApplyConfiguration) []corev1ac.EnvVarApplyConfiguration {
	names := map[string]bool{}
	for _, e := range taken {
		names[*e.Name] = true
	}
	var out []corev1ac.EnvVarApplyConfiguration
	for _, e := range env {
		if !names[*e.Name] {
			out = append(out, e)
		}
	}
	return out
}

func convertEnv(env []*corev1ac.EnvVarApplyConfiguration) []corev1ac.EnvVarApplyConfiguration {
	var out []corev1ac.EnvVarApplyConfiguration
	for _, e := range env {
		out = append(out, *e)
	}
	return out
}
