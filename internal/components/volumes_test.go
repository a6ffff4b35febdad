package components

import (
	"encoding/json"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A StatefulSet that is about to be made anew with larger volumes lets go of those that it has, or they would be
// deleted with it; as long as they do not all ask for the new size it is as the user wants it.
func TestVolumesOutliveTheirStatefulSet(t *testing.T) {
	for _, c := range []struct {
		name                  string
		template, claim, spec string
		policy                appsv1.PersistentVolumeClaimRetentionPolicyType
		size                  string
	}{
		{"at rest", "1Gi", "1Gi", "1Gi", appsv1.DeletePersistentVolumeClaimRetentionPolicyType, "1Gi"},
		{"the claims grow first, or cannot", "1Gi", "1Gi", "2Gi", appsv1.DeletePersistentVolumeClaimRetentionPolicyType, "1Gi"},
		{"then it lets go of them", "1Gi", "2Gi", "2Gi", appsv1.RetainPersistentVolumeClaimRetentionPolicyType, "1Gi"},
		{"a new one takes them", "", "2Gi", "2Gi", appsv1.DeletePersistentVolumeClaimRetentionPolicyType, "2Gi"},
		{"and has the new size", "2Gi", "2Gi", "2Gi", appsv1.DeletePersistentVolumeClaimRetentionPolicyType, "2Gi"},
	} {
		in := settle(t, testInput(withRedis))
		in.App.Spec.Sessions.Redis.Storage.Size = resource.MustParse(c.spec)
		storage := func(size string) corev1.PersistentVolumeClaimSpec {
			return corev1.PersistentVolumeClaimSpec{Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}}}
		}
		if c.template != "" {
			in.Observed.StatefulSets = []*appsv1.StatefulSet{{ObjectMeta: metav1.ObjectMeta{Name: "shop-sessions"},
				Spec: appsv1.StatefulSetSpec{VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{Spec: storage(c.template)}}}}}
		}
		in.Observed.Volumes = []*corev1.PersistentVolumeClaim{
			{ObjectMeta: metav1.ObjectMeta{Name: "data-shop-sessions-0"}, Spec: storage(c.claim)}}
		var set appsv1.StatefulSet
		if err := json.Unmarshal(marshal(t, redisStatefulSet(in, redises(in.App)[0])), &set); err != nil {
			t.Fatal(err)
		}
		size := set.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests[corev1.ResourceStorage]
		if got := set.Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted; got != c.policy || size.String() != c.size {
			t.Errorf("%s: %s with %s, want %s with %s", c.name, got, size.String(), c.policy, c.size)
		}
	}
}
