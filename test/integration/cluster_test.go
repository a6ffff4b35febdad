package integration

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// cluster plays the controllers, the kubelets and Patroni of one namespace. Behind an API server alone
// nobody else does: without it no pod would ever be made.
type cluster struct {
	testing.TB
	ctx       context.Context
	api       client.Client
	seen      *mirror
	namespace string
	changed   bool
}

// turn lets everybody do what there is to do, and says whether there was anything. Pods with an image
// that holds the word "broken" never become ready.
func (c *cluster) turn() bool {
	c.Helper()
	c.changed = false
	for _, d := range all[appsv1.Deployment](c.seen) {
		c.deployment(d)
	}
	for _, s := range all[appsv1.StatefulSet](c.seen) {
		c.statefulSet(s)
	}
	for _, j := range all[batchv1.Job](c.seen) {
		c.job(j)
	}
	for _, h := range all[autoscalingv2.HorizontalPodAutoscaler](c.seen) {
		c.autoscaler(h)
	}
	c.orphans()
	for _, s := range all[corev1.Service](c.seen) {
		c.endpoints(s)
	}
	for _, r := range all[gatewayv1.HTTPRoute](c.seen) {
		c.route(r)
	}
	return c.changed
}

// endpoints is the controller of EndpointSlices.
func (c *cluster) endpoints(s *corev1.Service) {
	after := testkit.Slice(s.Name, s.Labels)
	after.Namespace, after.AddressType = c.namespace, discoveryv1.AddressTypeIPv4
	for i, pod := range c.pods(s.Spec.Selector) {
		testkit.AddEndpoint(after, pod)
		after.Endpoints[i].Addresses = []string{fmt.Sprintf("10.0.0.%d", i+1)}
	}
	object, found := c.seen.now[id{discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), c.key(s.Name)}]
	if !found {
		c.create(after)
		return
	}
	before := object.DeepCopyObject().(*discoveryv1.EndpointSlice)
	if !reflect.DeepEqual(before.Endpoints, after.Endpoints) || !maps.Equal(before.Labels, after.Labels) {
		before.Endpoints, before.Labels = after.Endpoints, after.Labels
		c.update(before)
	}
}

// route is a Gateway that accepts every route.
func (c *cluster) route(r *gatewayv1.HTTPRoute) {
	parents := len(r.Status.Parents)
	if len(r.Spec.ParentRefs) == 0 || parents > 0 && r.Status.Parents[0].Conditions[0].ObservedGeneration == r.Generation {
		return
	}
	testkit.Accept(r)
	for i := range r.Status.Parents {
		r.Status.Parents[i].ControllerName = "test.example/gateways"
	}
	c.status(r)
}

func (c *cluster) deployment(d *appsv1.Deployment) {
	pods := c.pods(d.Spec.Selector.MatchLabels)
	for i := len(pods); i > int(*d.Spec.Replicas); i-- {
		c.delete(pods[i-1])
	}
	ready := int32(0)
	for i := range int(*d.Spec.Replicas) {
		if c.pod(fmt.Sprintf("%s-%d", d.Name, i), d.Spec.Template, nil) {
			ready++
		}
	}
	after := appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: *d.Spec.Replicas, UpdatedReplicas: *d.Spec.Replicas,
		ReadyReplicas: ready, AvailableReplicas: ready, UnavailableReplicas: *d.Spec.Replicas - ready}
	if !reflect.DeepEqual(d.Status, after) {
		d.Status = after
		c.status(d)
	}
}

func (c *cluster) statefulSet(s *appsv1.StatefulSet) {
	database := s.Labels[naming.LabelComponent] == naming.ComponentDatabase
	ready := int32(0)
	for i := range *s.Spec.Replicas {
		name := fmt.Sprintf("%s-%d", s.Name, i)
		template := *s.Spec.Template.DeepCopy()
		for _, claim := range s.Spec.VolumeClaimTemplates {
			c.volume(claim, claim.Name+"-"+name)
			template.Spec.Volumes = append(template.Spec.Volumes, corev1.Volume{Name: claim.Name, VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name + "-" + name}}})
		}
		labels := map[string]string{}
		if database {
			labels[naming.LabelRole] = map[bool]string{true: "primary", false: "replica"}[i == 0]
		}
		if c.pod(name, template, labels) {
			ready++
		}
	}
	if database {
		c.record(s, "-config", map[string]string{"initialize": "7", "config": "{}"})
		c.record(s, "-leader", map[string]string{"leader": s.Name + "-0"})
		c.record(s, "-sync", map[string]string{"leader": s.Name + "-0", "sync_standby": s.Name + "-1"})
	}
	after := appsv1.StatefulSetStatus{ObservedGeneration: s.Generation, Replicas: *s.Spec.Replicas,
		ReadyReplicas: ready, AvailableReplicas: ready, CurrentReplicas: ready, UpdatedReplicas: *s.Spec.Replicas}
	if !reflect.DeepEqual(s.Status, after) {
		s.Status = after
		c.status(s)
	}
}

// job lets a Job end in its second turn, so that there is a time in which it runs. One with an image that
// holds the word "bad" fails, and so does one with an "overloaded" image that is not asked at the first step.
func (c *cluster) job(j *batchv1.Job) {
	image := j.Spec.Template.Spec.Containers[0].Image
	fails := strings.Contains(image, "bad") || (strings.Contains(image, "overloaded") && j.Annotations[naming.AnnotationStep] != "1")
	switch {
	case len(j.Status.Conditions) > 0:
		return
	case j.Status.StartTime == nil:
		j.Status.StartTime = &metav1.Time{Time: j.CreationTimestamp.Time}
	case fails:
		j.Status.Failed = 1
		for _, kind := range []batchv1.JobConditionType{batchv1.JobFailureTarget, batchv1.JobFailed} {
			j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue,
				Reason: batchv1.JobReasonBackoffLimitExceeded, Message: "Job has reached the specified backoff limit"})
		}
	default:
		j.Status.Succeeded, j.Status.CompletionTime = 1, j.Status.StartTime
		for _, kind := range []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobComplete} {
			j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue})
		}
	}
	c.status(j)
}

func (c *cluster) autoscaler(h *autoscalingv2.HorizontalPodAutoscaler) {
	if len(h.Status.Conditions) == 0 {
		h.Status.Conditions = []autoscalingv2.HorizontalPodAutoscalerCondition{
			{Type: autoscalingv2.ScalingActive, Status: corev1.ConditionTrue, Reason: "ValidMetricFound"}}
		c.status(h)
	}
}

// orphans is the garbage collector for pods whose Deployment or StatefulSet is gone, and for the
// EndpointSlices of Services that are.
func (c *cluster) orphans() {
	owners := map[string]bool{}
	for _, d := range all[appsv1.Deployment](c.seen) {
		owners[d.Name] = true
	}
	for _, s := range all[appsv1.StatefulSet](c.seen) {
		owners[s.Name] = true
	}
	for _, pod := range all[corev1.Pod](c.seen) {
		if !owners[pod.Name[:strings.LastIndex(pod.Name, "-")]] {
			c.delete(pod)
		}
	}
	services := map[string]bool{}
	for _, s := range all[corev1.Service](c.seen) {
		services[s.Name] = true
	}
	for _, slice := range all[discoveryv1.EndpointSlice](c.seen) {
		if !services[slice.Name] {
			c.delete(slice)
		}
	}
}

func (c *cluster) pods(labels map[string]string) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, pod := range all[corev1.Pod](c.seen) {
		carries := true
		for key, value := range labels {
			carries = carries && pod.Labels[key] == value
		}
		if carries {
			pods = append(pods, pod)
		}
	}
	return pods
}

// pod makes a pod, or makes it ready, and says whether it is.
func (c *cluster) pod(name string, template corev1.PodTemplateSpec, labels map[string]string) bool {
	object, found := c.seen.now[id{corev1.SchemeGroupVersion.WithKind("Pod"), c.key(name)}]
	if !found {
		pod := &corev1.Pod{ObjectMeta: c.meta(name), Spec: template.Spec}
		pod.Labels = maps.Clone(template.Labels)
		maps.Copy(pod.Labels, labels)
		pod.Annotations = maps.Clone(template.Annotations)
		if role := labels[naming.LabelRole]; role != "" {
			pod.Annotations["status"] = testkit.MemberStatus(role)
		}
		c.create(pod)
		return false
	}
	pod := object.DeepCopyObject().(*corev1.Pod)
	if strings.Contains(pod.Spec.Containers[0].Image, "broken") {
		return false
	}
	if len(pod.Status.Conditions) == 0 {
		pod.Status.Phase = corev1.PodRunning
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		c.status(pod)
	}
	return true
}

func (c *cluster) volume(claim corev1.PersistentVolumeClaim, name string) {
	if _, found := c.seen.now[id{corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"), c.key(name)}]; found {
		return
	}
	made := &corev1.PersistentVolumeClaim{ObjectMeta: c.meta(name), Spec: claim.Spec}
	made.Labels = claim.Labels
	c.create(made)
	made.Status.Phase = corev1.ClaimBound
	c.status(made)
}

// record is one that Patroni makes: with the labels that its configuration names, and without an owner.
func (c *cluster) record(s *appsv1.StatefulSet, suffix string, annotations map[string]string) {
	name := s.Name + suffix
	if _, found := c.seen.now[id{corev1.SchemeGroupVersion.WithKind("ConfigMap"), c.key(name)}]; !found {
		c.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.namespace, Labels: s.Labels, Annotations: annotations}})
	}
}

func (c *cluster) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: c.namespace, Name: name}
}

func (c *cluster) create(object client.Object) { c.wrote(object, c.api.Create(c.ctx, object)) }
func (c *cluster) update(object client.Object) { c.wrote(object, c.api.Update(c.ctx, object)) }
func (c *cluster) status(object client.Object) { c.wrote(object, c.api.Status().Update(c.ctx, object)) }
func (c *cluster) delete(object client.Object) {
	c.Helper()
	if err := c.api.Delete(c.ctx, object, client.GracePeriodSeconds(0)); err != nil {
		c.Fatal(err)
	}
	c.changed = true
	kind := object.GetObjectKind().GroupVersionKind()
	c.seen.store(kind, client.ObjectKeyFromObject(object), nil)
}

func (c *cluster) wrote(object client.Object, err error) {
	c.Helper()
	kind, kindErr := apiutil.GVKForObject(object, c.api.Scheme())
	if err != nil || kindErr != nil {
		c.Fatalf("%T %s: %v %v", object, object.GetName(), err, kindErr)
	}
	c.changed = true
	c.seen.answered(kind, object)
}

func (c *cluster) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: c.namespace, Name: name}
}
