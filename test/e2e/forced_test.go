package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

func expectGone(err error) error {
	if err == nil {
		return errNotYet
	}
	return client.IgnoreNotFound(err)
}

// The only instance that holds the last commits is lost with its volume. Nobody takes over by himself, and the
// condition says why; a person may, and agrees to the loss. The lost instance is made anew as a copy.
func TestForcedFailover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.database("shop", 2, v1alpha1.DurabilityPreferred)
	primary := f.settled()
	config, err := pgx.ParseConfig(w.databaseURI("shop"))
	w.must(err)
	query := func(sql string) {
		t.Helper()
		conn := w.connectSoon(config)
		defer func() { _ = conn.Close(w.ctx) }()
		_, err := conn.Exec(w.ctx, sql)
		w.must(err)
	}
	query("CREATE TABLE told (word text); INSERT INTO told VALUES ('both have it')")

	// The standby goes and cannot come back for a while: the primary goes on alone.
	full := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "full", Namespace: w.namespace},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")}}}
	w.create(full)
	standby := "shop-db-0"
	if primary.Name == standby {
		standby = "shop-db-1"
	}
	w.must(api.Delete(w.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: standby, Namespace: w.namespace}}))
	w.eventually(2*time.Minute, "the primary goes on alone", func() error {
		sync := &corev1.ConfigMap{}
		w.must(w.read(naming.DatabaseSync(w.app("shop")), sync))
		if sync.Annotations["sync_standby"] != "" {
			return errNotYet
		}
		return expectGone(w.read(standby, &corev1.Pod{}))
	})
	query("INSERT INTO told VALUES ('one has it')")

	volume := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data-" + primary.Name, Namespace: w.namespace}}
	w.must(api.Delete(w.ctx, volume))
	w.must(api.Delete(w.ctx, primary, client.GracePeriodSeconds(0)))
	w.must(api.Delete(w.ctx, full))
	w.eventually(4*time.Minute, "the condition says that nobody may take over", func() error {
		c := meta.FindStatusCondition(w.app("shop").Status.Conditions, v1alpha1.ConditionDatabaseReady)
		if c == nil || c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "only it may take over") || !strings.Contains(c.Message, "database-no-leader.md") {
			return errNotYet
		}
		return nil
	})

	f.changeApp("shop", func(app *v1alpha1.ScalableApp) {
		annotate(app, naming.AnnotationDatabaseAction, "failover:"+standby+":agreed")
	})
	f.eventually(2*time.Minute, standby+" leads", func() error {
		if f.leader() != standby {
			return errNotYet
		}
		return nil
	})
	w.waitReady("shop")
	f.settled() // with a new copy
	var rows int
	conn := w.connectSoon(config)
	defer func() { _ = conn.Close(w.ctx) }()
	w.must(conn.QueryRow(w.ctx, "SELECT count(*) FROM told").Scan(&rows))
	if rows != 1 {
		t.Errorf("%d rows are there, want the one that both had", rows)
	}
}
