package status

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// dataTier is an app whose data tier is as it shall be.
func dataTier(t *testing.T) Input {
	in := Input{App: testkit.App(t, testkit.Whole), Observed: &state.Observed{Now: testkit.Born.Time}, Desired: 2}
	for _, set := range []struct {
		name, component string
		pods            int32
	}{
		{naming.Database(in.App), naming.ComponentDatabase, 2},
		{naming.Sessions(in.App), naming.ComponentSessions, 1},
		{naming.Cache(in.App), naming.ComponentCache, 1},
	} {
		in.Observed.StatefulSets = append(in.Observed.StatefulSets, &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Name: set.name}, Spec: appsv1.StatefulSetSpec{Replicas: &set.pods},
			Status: appsv1.StatefulSetStatus{Replicas: set.pods, ReadyReplicas: set.pods, UpdatedReplicas: set.pods}})
		for i := range set.pods {
			in.Observed.Pods = append(in.Observed.Pods, testkit.Serve(testkit.Pod(in.App, set.component, set.name+"-"+string(rune('0'+i)))))
		}
	}
	state.SortByName(in.Observed.StatefulSets)
	state.SortByName(in.Observed.Pods)
	in.Observed.Pods[1].Labels[naming.LabelRole] = "primary" // shop-cache-0, shop-db-0, shop-db-1, shop-sessions-0
	in.Observed.Pods[2].Labels[naming.LabelRole] = "replica"
	in.Observed.ConfigMaps = []*corev1.ConfigMap{
		{ObjectMeta: metav1.ObjectMeta{Name: naming.DatabaseLeader(in.App), Annotations: map[string]string{"leader": "shop-db-0"}}},
		{ObjectMeta: metav1.ObjectMeta{Name: naming.DatabaseSync(in.App), Annotations: map[string]string{"sync_standby": "shop-db-1"}}},
	}
	return in
}

func TestDataTier(t *testing.T) {
	lose := func(in Input, i int) { stopServing(in.Observed.Pods[i]) }
	for name, c := range map[string]struct {
		change func(Input)
		kind   string
		want   string
		// waits is what a new revision waits for, as far as it is said.
		waits string
	}{
		"all is well": {kind: v1alpha1.ConditionDatabaseReady, want: "True Ready: shop-db-0 takes writes, 2 of 2 instances are ready"},
		"a replica is away": {change: func(in Input) { lose(in, 2) },
			kind: v1alpha1.ConditionDatabaseReady, want: "False Progressing: shop-db-0 takes writes, but 1 of 2 pods are ready"},
		"the primary is away": {change: func(in Input) { lose(in, 1) },
			kind: v1alpha1.ConditionDatabaseReady, want: "False Progressing: 1 of 2 pods are ready", waits: "database (1 of 2 pods are ready)"},
		"the label and the leader record disagree": {change: func(in Input) { in.Observed.ConfigMaps[0].Annotations["leader"] = "shop-db-1" },
			kind: v1alpha1.ConditionDatabaseReady, want: "False Unavailable: no instance is the primary", waits: "database (no instance is the primary)"},
		"no standby is in step": {change: func(in Input) { in.Observed.ConfigMaps[1].Annotations["sync_standby"] = "" },
			kind: v1alpha1.ConditionDatabaseReady, want: "False Degraded: shop-db-0 takes writes, but no standby is in step"},
		"none need be": {change: func(in Input) {
			in.Observed.ConfigMaps[1].Annotations["sync_standby"] = ""
			in.App.Spec.Database.Postgres.Durability = v1alpha1.DurabilityAsynchronous
		}, kind: v1alpha1.ConditionDatabaseReady, want: "True Ready: shop-db-0 takes writes, 2 of 2 instances are ready"},
		"no sessions": {change: func(in Input) { lose(in, 3) },
			kind: v1alpha1.ConditionSessionsReady, want: "False Progressing: 0 of 1 pods are ready", waits: "sessions (0 of 1 pods are ready)"},
		"no cache at first": {change: func(in Input) { lose(in, 0) },
			kind: v1alpha1.ConditionCacheReady, want: "False Progressing: 0 of 1 pods are ready", waits: "cache (0 of 1 pods are ready)"},
		"no cache later": {change: func(in Input) {
			lose(in, 0)
			in.App.Status.Rollout.Stable = &v1alpha1.RevisionStatus{Revision: "shop-a"}
		}, kind: v1alpha1.ConditionCacheReady, want: "False Progressing: 0 of 1 pods are ready"},
		"no StorageClass": {change: func(in Input) { in.App.Spec.Sessions.Redis.Storage.StorageClassName = new("fast") },
			kind: v1alpha1.ConditionSessionsReady, want: "False StorageClassMissing: StorageClass fast does not exist; create it, or create the app with another",
			waits: "sessions (StorageClass fast"},
		"quota": {change: func(in Input) {
			lose(in, 3)
			in.Observed.Warnings = map[string]string{"StatefulSet/shop-sessions": "pods is forbidden: exceeded quota: q"}
		}, kind: v1alpha1.ConditionSessionsReady,
			want: "False QuotaExceeded: 0 of 1 pods are ready: pods is forbidden: exceeded quota: q", waits: "sessions (0 of 1"},
	} {
		t.Run(name, func(t *testing.T) {
			in := dataTier(t)
			if c.change != nil {
				c.change(in)
			}
			if got := text(meta.FindStatusCondition(Build(in).Conditions, c.kind)); got != c.want {
				t.Errorf("%s is %q\nwant %q", c.kind, got, c.want)
			}
			if waits := DataTierObstacle(in); (waits == "") != (c.waits == "") || !strings.HasPrefix(waits, c.waits) {
				t.Errorf("a new revision waits for %q, want %q", waits, c.waits)
			}
		})
	}
}

func stopServing(pod *corev1.Pod) {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == corev1.PodReady {
			pod.Status.Conditions[i].Status = corev1.ConditionFalse
		}
	}
}
