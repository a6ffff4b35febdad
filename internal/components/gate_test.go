package components

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
)

// gateJob is the Job of a gate of an app with a database and variables of its own.
func gateJob(t *testing.T, gate *v1alpha1.JobGate) *batchv1.Job {
	t.Helper()
	in := testInput(func(s *v1alpha1.ScalableAppSpec) {
		s.App = v1alpha1.AppSpec{Image: "shop:2", Command: []string{"/shop"}, Args: []string{"serve"}, ServiceAccountName: "shop",
			ImagePullSecrets: []corev1.LocalObjectReference{{Name: "registry"}},
			Env:              []corev1.EnvVar{{Name: "COLOR", Value: "red"}, {Name: "PREVIEW_URL", Value: "the user's own"}}}
		s.Database = &v1alpha1.DatabaseSpec{Postgres: &v1alpha1.PostgresSpec{}}
	})
	r, err := revision.Of(in.App, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Name = "shop-1a2b"
	object := Gate(in, r, &v1alpha1.GateSpec{Name: "smoke", Job: gate}, 2, 3)
	if object.Mode != Created {
		t.Error("a Job's template cannot change: it is made once")
	}
	raw, err := json.Marshal(object.Intent)
	if err != nil {
		t.Fatal(err)
	}
	job := &batchv1.Job{}
	if err := json.Unmarshal(raw, job); err != nil {
		t.Fatal(err)
	}
	return job
}

func variables(c corev1.Container) map[string]string {
	values := map[string]string{}
	for _, e := range c.Env {
		if _, twice := values[e.Name]; twice {
			values[e.Name] = "TWICE"
		} else {
			values[e.Name] = e.Value
		}
	}
	return values
}

func TestGateJob(t *testing.T) {
	job := gateJob(t, &v1alpha1.JobGate{Command: []string{"/shop", "smoke"}, TimeoutSeconds: new(int32(60))})
	if job.Name != naming.Gate("shop-1a2b", "smoke") || job.Namespace != "prod" || len(job.OwnerReferences) != 1 {
		t.Errorf("identity: %+v", job.ObjectMeta)
	}
	if diff := cmp.Diff(map[string]string{naming.AnnotationAttempt: "2", naming.AnnotationStep: "3"}, job.Annotations); diff != "" {
		t.Error(diff)
	}
	if *job.Spec.BackoffLimit != 0 || *job.Spec.ActiveDeadlineSeconds != 60 ||
		job.Spec.PodFailurePolicy.Rules[0].Action != batchv1.PodFailurePolicyActionIgnore {
		t.Errorf("%+v", job.Spec)
	}
	labels := map[string]string{naming.LabelManagedBy: naming.ManagedBy, naming.LabelInstance: "shop",
		naming.LabelComponent: naming.ComponentGate, naming.LabelRevision: "shop-1a2b"}
	for _, have := range []map[string]string{job.Labels, job.Spec.Template.Labels} {
		if diff := cmp.Diff(labels, have); diff != "" {
			t.Error(diff)
		}
	}
	pod := job.Spec.Template.Spec
	c := pod.Containers[0]
	if c.Image != "shop:2" || len(c.Args) != 0 || pod.RestartPolicy != corev1.RestartPolicyNever || pod.ServiceAccountName != "shop" {
		t.Errorf("%+v", pod)
	}
	if diff := cmp.Diff([]string{"/shop", "smoke"}, c.Command); diff != "" {
		t.Error(diff)
	}
	want := map[string]string{"PREVIEW_URL": "http://shop-1a2b.prod.svc", "APP_NAME": "shop", "APP_REVISION": "shop-1a2b",
		"PORT": "8080", "POD_NAME": "", "COLOR": "red", "DATABASE_URL": "", "DATABASE_RO_URL": "", "SERVICE_BINDING_ROOT": "/bindings"}
	if diff := cmp.Diff(want, variables(c)); diff != "" {
		t.Error(diff)
	}
}

// An image of its own is somebody else's program: it is given nothing of the app's but three names.
func TestGateJobWithAnImageOfItsOwn(t *testing.T) {
	job := gateJob(t, &v1alpha1.JobGate{Image: "k6:1", Command: []string{"k6", "run"}})
	pod := job.Spec.Template.Spec
	c := pod.Containers[0]
	want := map[string]string{"PREVIEW_URL": "http://shop-1a2b.prod.svc", "APP_NAME": "shop", "APP_REVISION": "shop-1a2b"}
	if diff := cmp.Diff(want, variables(c)); diff != "" {
		t.Error(diff)
	}
	if c.Image != "k6:1" || len(c.EnvFrom) != 0 || len(c.VolumeMounts) != 0 || len(pod.Volumes) != 0 ||
		pod.ServiceAccountName != "" || pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Errorf("%+v", pod)
	}
	if len(pod.ImagePullSecrets) != 1 || *job.Spec.ActiveDeadlineSeconds != 300 {
		t.Errorf("%+v", job.Spec)
	}
	for _, ok := range []bool{*pod.SecurityContext.RunAsNonRoot, !*c.SecurityContext.AllowPrivilegeEscalation,
		c.SecurityContext.Capabilities.Drop[0] == "ALL", pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault} {
		if !ok {
			t.Errorf("not restricted: %+v, %+v", pod.SecurityContext, c.SecurityContext)
		}
	}
}

func TestGateOutdated(t *testing.T) {
	job := &batchv1.Job{}
	job.Annotations = map[string]string{naming.AnnotationAttempt: "2", naming.AnnotationStep: "3"}
	for _, c := range []struct {
		attempt, step int32
		want          bool
	}{{2, 3, false}, {3, 3, true}, {2, 4, true}} {
		if got := GateOutdated(job, c.attempt, c.step); got != c.want {
			t.Errorf("attempt %d, step %d: %v", c.attempt, c.step, got)
		}
	}
	if !GateOutdated(&batchv1.Job{}, 0, 0) {
		t.Error("a Job without annotations is of no step")
	}
}

// A gate's Job in the revision's image is given the app's passwords, so it must be let to the data tier; one
// in an image of its own is not, and need not.
func TestNetworkPoliciesLetGatesIn(t *testing.T) {
	for image, want := range map[string]bool{"": true, "k6:1": false} {
		in := testInput(func(s *v1alpha1.ScalableAppSpec) {
			s.Database = &v1alpha1.DatabaseSpec{Postgres: &v1alpha1.PostgresSpec{}}
			s.Cache = &v1alpha1.CacheSpec{}
			s.Rollout.Gates = []v1alpha1.GateSpec{{Name: "smoke", Job: &v1alpha1.JobGate{Image: image}}}
		})
		for _, o := range NetworkPolicies(in) {
			policy := o.Intent.(*networkingv1ac.NetworkPolicyApplyConfiguration)
			let := false
			for _, rule := range policy.Spec.Ingress {
				for _, peer := range rule.From {
					let = let || peer.PodSelector != nil && peer.PodSelector.MatchLabels[naming.LabelComponent] == naming.ComponentGate
				}
				if *policy.Name == naming.Service(in.App) && len(rule.From) != 0 {
					t.Error("the app is open to the operator, which reads its metrics")
				}
			}
			if *policy.Name != naming.Service(in.App) && let != want {
				t.Errorf("image %q: NetworkPolicy %s lets gates in: %v", image, *policy.Name, let)
			}
		}
	}
}
