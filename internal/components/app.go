package components

import (
	"encoding/json"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
)

// drainSeconds is how long a pod that is to end goes on serving before it is told: until every
// node's proxy has taken it off. It is the kubelet's own sleep, so the image needs no shell.
const drainSeconds = 10

// gracePeriodSeconds covers the drain and then 35 s for requests that are under way.
const gracePeriodSeconds = 45

// Template makes a revision's pod template, unless it has one already. Its error is a mistake in the
// user's app.podTemplate.
func Template(in Input, r revision.Revision) (revision.Revision, error) {
	if r.Template != nil {
		return r, nil
	}
	template, err := podTemplate(in.App, r)
	if err != nil {
		return r, err
	}
	r.Template, err = json.Marshal(template)
	return r, err
}

// Revision is the children of one revision that run it: its Deployment with the given number of
// pods, its Service, and its copies of the user's ConfigMaps. The revision must have its template.
func Revision(in Input, r revision.Revision, replicas int32) []Object {
	template := &corev1ac.PodTemplateSpecApplyConfiguration{}
	if err := json.Unmarshal(r.Template, template); err != nil {
		panic(fmt.Sprintf("components: the template of %s is none: %v", r.Name, err)) // Template made it
	}
	deployment := appsv1ac.Deployment(r.Name, in.App.Namespace).
		WithLabels(revisionLabels(in.App, r.Name)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(appsv1ac.DeploymentSpec().
			WithReplicas(replicas).
			WithRevisionHistoryLimit(0).
			// The rollout has a deadline of its own; this one must not say something else before it.
			WithProgressDeadlineSeconds(maxInt32).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(naming.RevisionSelector(in.App, r.Name))).
			WithStrategy(appsv1ac.DeploymentStrategy().WithType("RollingUpdate").WithRollingUpdate(
				appsv1ac.RollingUpdateDeployment().WithMaxSurge(intstr.FromString("25%")).WithMaxUnavailable(intstr.FromInt32(0)))).
			WithTemplate(template))
	objects := RevisionConfig(in, r)
	return append(objects,
		Object{Intent: deployment},
		Object{Intent: service(in.App, r.Name, revisionLabels(in.App, r.Name), naming.RevisionSelector(in.App, r.Name))},
	)
}

const maxInt32 = 1<<31 - 1

// RevisionConfig is a revision's copies of the user's ConfigMaps.
func RevisionConfig(in Input, r revision.Revision) []Object {
	var objects []Object
	for i, config := range r.Inputs.Config {
		object := corev1ac.ConfigMap(naming.RevisionConfig(r.Name, i), in.App.Namespace).
			WithLabels(revisionLabels(in.App, r.Name)).
			WithOwnerReferences(owner(in.App)).
			WithImmutable(true)
		if len(config.Data) > 0 {
			object.WithData(config.Data)
		}
		if len(config.BinaryData) > 0 {
			object.WithBinaryData(config.BinaryData)
		}
		objects = append(objects, Object{Intent: object})
	}
	return objects
}

func revisionLabels(app *v1alpha1.ScalableApp, name string) map[string]string {
	labels := labels(app, naming.ComponentApp)
	labels[naming.LabelRevision] = name
	return labels
}

// App is the children of the app that all revisions share: what leads traffic to them, and the
// PodDisruptionBudget.
func App(in Input) []Object {
	budget := policyv1ac.PodDisruptionBudget(naming.DisruptionBudget(in.App), in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentApp)).
		WithOwnerReferences(owner(in.App)).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			// Of the pods of all revisions together, and rounded up: a single pod blocks no drain.
			WithMaxUnavailable(intstr.FromString("25%")).
			// A pod that does not serve protects nothing; it must not keep a node from being drained.
			WithUnhealthyPodEvictionPolicy("AlwaysAllow").
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(naming.Selector(in.App, naming.ComponentApp))))
	return append(Traffic(in), Object{Intent: budget})
}

// service is a Service on httpPort. Its target is the named port of the pods, which each revision
// chooses for itself.
func service(app *v1alpha1.ScalableApp, name string, labels, selector map[string]string) *corev1ac.ServiceApplyConfiguration {
	return corev1ac.Service(name, app.Namespace).
		WithLabels(labels).
		WithOwnerReferences(owner(app)).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithSelector(selector).
			WithPorts(corev1ac.ServicePort().WithName("http").WithPort(httpPort).
				WithTargetPort(intstr.FromString("http")).WithProtocol(corev1.ProtocolTCP)))
}

// podTemplate is the template of a revision's pods, with the user's own laid over it.
func podTemplate(app *v1alpha1.ScalableApp, r revision.Revision) (*corev1ac.PodTemplateSpecApplyConfiguration, error) {
	spec := r.AppSpec(func(i int) string { return naming.RevisionConfig(r.Name, i) })
	container := appContainer(app, r, spec)
	port := corev1ac.ContainerPort().WithName("http").WithContainerPort(*spec.Port).WithProtocol(corev1.ProtocolTCP)
	container.WithPorts(port)
	if m := spec.Metrics; m != nil && m.Port != nil && *m.Port != *spec.Port {
		container.WithPorts(corev1ac.ContainerPort().WithName("metrics").WithContainerPort(*m.Port).WithProtocol(corev1.ProtocolTCP))
	}
	container.
		WithStartupProbe(probe(spec.Probes.Startup, orPath(spec.Probes.Liveness, "/livez"), 1, 60)).
		WithReadinessProbe(probe(spec.Probes.Readiness, "/readyz", 2, 3)).
		WithLivenessProbe(probe(spec.Probes.Liveness, "/livez", 10, 3)).
		WithLifecycle(corev1ac.Lifecycle().WithPreStop(corev1ac.LifecycleHandler().
			WithSleep(corev1ac.SleepAction().WithSeconds(drainSeconds))))

	pod := podSpec(app, r, spec, container).
		WithTerminationGracePeriodSeconds(gracePeriodSeconds).
		WithTopologySpreadConstraints(corev1ac.TopologySpreadConstraint().
			WithMaxSkew(1).WithTopologyKey("kubernetes.io/hostname").WithWhenUnsatisfiable(corev1.ScheduleAnyway).
			WithLabelSelector(metav1ac.LabelSelector().WithMatchLabels(naming.RevisionSelector(app, r.Name))))
	template := corev1ac.PodTemplateSpec().WithLabels(revisionLabels(app, r.Name)).WithSpec(pod)
	return overlay(template, spec.PodTemplate, revisionLabels(app, r.Name))
}

func orPath(p *v1alpha1.HTTPProbe, path string) string {
	if p != nil {
		return p.Path
	}
	return path
}

// appContainer is the app's container as the app's pods and its migration have it.
func appContainer(app *v1alpha1.ScalableApp, r revision.Revision, spec *v1alpha1.AppSpec) *corev1ac.ContainerApplyConfiguration {
	container := corev1ac.Container().
		WithName(naming.AppContainer).
		WithImage(spec.Image).
		WithCommand(spec.Command...).
		WithArgs(spec.Args...).
		WithResources(resourcesOr(spec.Resources, corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
		}, nil)).
		WithTerminationMessagePolicy(corev1.TerminationMessageFallbackToLogsOnError).
		WithSecurityContext(restrictedContainer())
	ours := []*corev1ac.EnvVarApplyConfiguration{
		corev1ac.EnvVar().WithName("PORT").WithValue(strconv.Itoa(int(*spec.Port))),
		corev1ac.EnvVar().WithName("APP_REVISION").WithValue(r.Name),
		corev1ac.EnvVar().WithName("POD_NAME").WithValueFrom(corev1ac.EnvVarSource().
			WithFieldRef(corev1ac.ObjectFieldSelector().WithAPIVersion("v1").WithFieldPath("metadata.name"))),
	}
	binding := bind(app, r.Inputs.Bindings)
	ours = append(ours, binding.Env...)
	taken := map[string]bool{}
	for _, env := range ours {
		taken[*env.Name] = true
	}
	container.WithEnv(ours...)
	for _, env := range spec.Env {
		if !taken[env.Name] {
			container.WithEnv(convert[corev1ac.EnvVarApplyConfiguration](env))
		}
	}
	for _, from := range spec.EnvFrom {
		container.WithEnvFrom(convert[corev1ac.EnvFromSourceApplyConfiguration](from))
	}
	return container.WithVolumeMounts(binding.Mounts...)
}

// podSpec is what the app's pods and its migration's pod have in common.
func podSpec(
	app *v1alpha1.ScalableApp, r revision.Revision, spec *v1alpha1.AppSpec, container *corev1ac.ContainerApplyConfiguration,
) *corev1ac.PodSpecApplyConfiguration {
	pod := corev1ac.PodSpec().
		WithContainers(container).
		WithVolumes(bind(app, r.Inputs.Bindings).Volumes...).
		WithEnableServiceLinks(false). // its variables, such as SHOP_PORT, would meet the app's own
		WithSecurityContext(restrictedPod())
	if spec.ServiceAccountName != "" {
		pod.WithServiceAccountName(spec.ServiceAccountName)
	} else {
		pod.WithAutomountServiceAccountToken(false)
	}
	for _, secret := range spec.ImagePullSecrets {
		pod.WithImagePullSecrets(corev1ac.LocalObjectReference().WithName(secret.Name))
	}
	return pod
}

func probe(p *v1alpha1.HTTPProbe, path string, period, failures int32) *corev1ac.ProbeApplyConfiguration {
	timeout := int32(2)
	if p != nil {
		path = p.Path
		period, timeout, failures = or(p.PeriodSeconds, period), or(p.TimeoutSeconds, timeout), or(p.FailureThreshold, failures)
	}
	return corev1ac.Probe().
		WithHTTPGet(corev1ac.HTTPGetAction().WithPath(path).WithPort(intstr.FromString("http"))).
		WithPeriodSeconds(period).WithTimeoutSeconds(timeout).WithFailureThreshold(failures)
}

func or(value *int32, otherwise int32) int32 {
	if value == nil {
		return otherwise
	}
	return *value
}
