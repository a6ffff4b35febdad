package plan

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// Whoever looks while nobody takes the writes reads so, and why; and where to look up what to do, once it is more than
// an election in its first seconds. A first start may have taken long until there is somebody to be elected.
func TestNobodyTakesTheWrites(t *testing.T) {
	const page = "docs/runbooks/database-no-leader.md"
	s := newStory(t, tuned)
	s.pass()
	said := condition(s.pass(), v1alpha1.ConditionDatabaseReady)
	if !strings.HasPrefix(said, "False Progressing") || strings.Contains(said, "nobody takes") {
		t.Errorf("at the first start: %s", said)
	}
	s.play()
	lost := func(name string, ago time.Duration) {
		s.pod(name).Status.Conditions = []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(s.Now.Add(-ago))}}
		s.pod(name).Annotations["status"] = `{"state":"stopped"}`
	}
	acquired := func(ago time.Duration) {
		s.Children["ConfigMap/shop-db-leader"].GetAnnotations()["acquireTime"] = s.Now.Add(-ago).Format("2006-01-02T15:04:05.000000-07:00")
	}
	lost("shop-db-0", time.Hour)
	acquired(2 * time.Second)
	said = condition(s.judged(nil), v1alpha1.ConditionDatabaseReady)
	if !strings.HasPrefix(said, "False Progressing") || strings.Contains(said, page) {
		t.Errorf("the first start has just ended: %s", said)
	}
	acquired(time.Hour)
	for _, c := range []struct {
		lost []string
		ago  time.Duration
		want string
		page bool
	}{
		{[]string{"shop-db-0"}, 5 * time.Second, "False Progressing: 1 of 2 pods are ready; nobody takes the writes: Patroni elects", false},
		{[]string{"shop-db-0"}, 31 * time.Second, "False Progressing: 1 of 2 pods are ready; nobody takes the writes: Patroni elects", true},
		{[]string{"shop-db-0", "shop-db-1"}, 5 * time.Second, "False Progressing: 0 of 2 pods are ready; nobody takes the writes: no member runs", false},
		{[]string{"shop-db-0", "shop-db-1"}, time.Hour, "False Progressing: 0 of 2 pods are ready; nobody takes the writes: no member runs", true},
	} {
		for _, name := range c.lost {
			lost(name, c.ago)
		}
		p := s.judged(nil)
		said := condition(p, v1alpha1.ConditionDatabaseReady)
		if !strings.HasPrefix(said, c.want) || strings.HasSuffix(said, "; see "+page) != c.page {
			t.Errorf("%v for %s: %s", c.lost, c.ago, said)
		}
		if !c.page && (p.Wake == 0 || p.Wake > 25*time.Second) {
			t.Errorf("%v for %s: looks again in %s", c.lost, c.ago, p.Wake)
		}
	}
}
