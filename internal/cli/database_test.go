package cli

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// Reads go to a replica that serves, and to the primary only where there is none.
func TestPsqlPod(t *testing.T) {
	pod := func(name, role string, serves bool) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{naming.LabelRole: role}}}
		if serves {
			testkit.Serve(&p)
		}
		return p
	}
	ending := pod("shop-db-1", "replica", true)
	ending.DeletionTimestamp = &metav1.Time{}
	primary := pod("shop-db-0", "primary", true)
	for name, c := range map[string]struct {
		pods     []corev1.Pod
		status   v1alpha1.DatabaseStatus
		readOnly bool
		want     string
	}{
		"writes": {nil, v1alpha1.DatabaseStatus{Primary: "shop-db-0", Synchronous: []string{"shop-db-1"}}, false, "shop-db-0"},
		"reads":  {nil, v1alpha1.DatabaseStatus{Primary: "shop-db-0", Synchronous: []string{"shop-db-1"}}, true, "shop-db-1"},
		"reads, and nobody is in step": {[]corev1.Pod{primary, pod("shop-db-1", "replica", false), pod("shop-db-2", "replica", true)},
			v1alpha1.DatabaseStatus{Primary: "shop-db-0"}, true, "shop-db-2"},
		"reads, and no replica serves": {[]corev1.Pod{primary, ending}, v1alpha1.DatabaseStatus{Primary: "shop-db-0"}, true, "shop-db-0"},
		"reads without a primary":      {[]corev1.Pod{pod("shop-db-1", "replica", true)}, v1alpha1.DatabaseStatus{}, true, "shop-db-1"},
		"writes without a primary":     {[]corev1.Pod{pod("shop-db-1", "replica", true)}, v1alpha1.DatabaseStatus{}, false, "shop has no primary at present"},
		"nobody":                       {nil, v1alpha1.DatabaseStatus{}, true, "shop has no instance that serves at present"},
	} {
		app := shop()
		app.Status.Database = &c.status
		got, err := psqlPod(app, c.pods, c.readOnly)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
