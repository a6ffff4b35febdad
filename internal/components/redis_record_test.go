package components

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// An app that is made anew over the volumes of an earlier one knows that there has been data: an empty member waits for
// the others, who may have it.
func TestRedisRecordOverKeptVolumes(t *testing.T) {
	in := settle(t, testInput(func(s *v1alpha1.ScalableAppSpec) {
		s.Sessions = &v1alpha1.SessionsSpec{Store: v1alpha1.SessionStoreRedis, Redis: &v1alpha1.SessionRedisSpec{Members: 3}}
	}))
	seeded := func() string {
		for _, object := range Redis(in) {
			if record, ok := object.Intent.(*corev1ac.ConfigMapApplyConfiguration); ok && *record.GetName() == naming.RedisRecord("shop-sessions") {
				if record.Data["master"] != "shop-sessions-0" || object.Mode != Created {
					t.Errorf("%v", record.Data)
				}
				return record.Data["seeded"]
			}
		}
		t.Fatal("there is no record")
		return ""
	}
	if got := seeded(); got != "" {
		t.Errorf("a new one: %q", got)
	}
	in.Observed.Volumes = []*corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data-shop-sessions-2"}}}
	if got := seeded(); got != "true" {
		t.Errorf("over a volume that was kept: %q", got)
	}
}
