package components

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

func withPooler(spec *v1alpha1.ScalableAppSpec) {
	withPostgres(spec)
	spec.Database.Postgres.Pooler = &v1alpha1.PoolerSpec{Instances: 2, PoolSize: 20, MaxClientConnections: 1000}
}

func TestPoolersNeedTheirPasswordsFirst(t *testing.T) {
	if objects := Pooler(testInput(withPooler)); len(objects) > 0 {
		t.Errorf("%d objects", len(objects))
	}
}

// A Secret that an operator without poolers made has no passwords for one.
func TestMissingPasswordsAreAdded(t *testing.T) {
	in := settle(t, testInput(withPostgres))
	withPooler(&in.App.Spec)
	seen := in.Observed.Secret(naming.DatabaseCredentials(in.App))
	seen.ResourceVersion = "77"
	before := seen.DeepCopy()

	objects := Credentials(in)
	if len(objects) != 1 || objects[0].Mode != Applied || objects[0].IfVersion != "77" {
		t.Fatalf("want one object, applied to what was seen: %+v", objects)
	}
	after := &corev1.Secret{}
	if err := json.Unmarshal(marshal(t, objects[0]), after); err != nil {
		t.Fatal(err)
	}
	for key, value := range before.Data {
		if !bytes.Equal(after.Data[key], value) {
			t.Errorf("%s is another one", key)
		}
	}
	for _, key := range []string{keyPoolerPassword, keyPoolerAdminPassword} {
		if len(after.Data[key]) != 32 {
			t.Errorf("%s = %q", key, after.Data[key])
		}
	}

	in.Observed.Secrets = []*corev1.Secret{after}
	if objects := Credentials(in); len(objects) > 0 {
		t.Errorf("written again: %+v", objects)
	}
}

func TestPoolersFit(t *testing.T) {
	tests := []struct {
		name   string
		change func(*v1alpha1.PostgresSpec)
		says   []string
	}{
		{"the defaults", func(*v1alpha1.PostgresSpec) {}, nil},
		{"just", func(p *v1alpha1.PostgresSpec) { p.Pooler.PoolSize = 22 }, nil}, // 2 x 4 x 23 + 13 = 197
		{"one more", func(p *v1alpha1.PostgresSpec) { p.Pooler.PoolSize = 23 },
			[]string{"2 (read-write, read-only) x 4 pods (twice 2", "x 24 (poolSize 23", "+ 13 reserved = 205", "max_connections is 200", "to at least 205", "poolSize to 22 or less"}},
		{"no replica", func(p *v1alpha1.PostgresSpec) { p.Instances, p.Pooler.PoolSize = 1, 45 }, nil},
		{"more connections", func(p *v1alpha1.PostgresSpec) {
			p.Pooler.PoolSize, p.Parameters = 100, map[string]v1alpha1.PostgresParameter{"Max_Connections": "900"}
		}, nil},
		{"fewer connections", func(p *v1alpha1.PostgresSpec) {
			p.Parameters = map[string]v1alpha1.PostgresParameter{"max_connections": "100"}
		}, []string{"max_connections is 100"}},
		{"more reserved", func(p *v1alpha1.PostgresSpec) {
			p.Parameters = map[string]v1alpha1.PostgresParameter{"reserved_connections": "20", "superuser_reserved_connections": "13"}
		}, []string{"+ 43 reserved = 211"}},
		{"too many pods for any size", func(p *v1alpha1.PostgresSpec) {
			p.Pooler.Instances, p.Parameters = 10, map[string]v1alpha1.PostgresParameter{"max_connections": "60"}
		}, []string{"or lower pooler.instances"}},
		{"no number", func(p *v1alpha1.PostgresSpec) {
			p.Parameters = map[string]v1alpha1.PostgresParameter{"max_connections": "many"}
		}, []string{`max_connections "many" is no number`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := testInput(withPooler)
			test.change(in.App.Spec.Database.Postgres)
			err := PoolerFits(in.App)
			if (err != nil) != (test.says != nil) {
				t.Fatalf("got %v", err)
			}
			for _, part := range test.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestReadsLeadToThePrimaryWithoutAReplica(t *testing.T) {
	in := testInput(withPooler)
	leads := func() string {
		service := &corev1.Service{}
		if err := json.Unmarshal(marshal(t, databaseReadOnly(in)), service); err != nil {
			t.Fatal(err)
		}
		return service.Spec.Selector[naming.LabelRole]
	}
	if got := leads(); got != rolePrimary {
		t.Errorf("with no pod at all to %s", got)
	}
	replica := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "shop-db-1", Labels: naming.Labels(in.App, naming.ComponentDatabase)}}
	replica.Labels[naming.LabelRole] = roleReplica
	in.Observed = &state.Observed{Pods: []*corev1.Pod{replica}}
	if got := leads(); got != rolePrimary {
		t.Errorf("with a replica that is not in step to %s", got)
	}
	replica.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if got := leads(); got != roleReplica {
		t.Errorf("with a replica to %s", got)
	}
}

func TestForgottenTransactionsEndOnce(t *testing.T) {
	in := testInput(withPooler)
	if text := pgbouncerINI(in, naming.PoolerReadWrite); !strings.Contains(text, "idle_transaction_timeout = 60\n") {
		t.Error("a forgotten transaction keeps its connection")
	}
	in.App.Spec.Database.Postgres.Parameters = map[string]v1alpha1.PostgresParameter{"Idle_in_transaction_session_timeout": "10min"}
	if text := pgbouncerINI(in, naming.PoolerReadWrite); !strings.Contains(text, "idle_transaction_timeout = 0\n") {
		t.Error("the user's own setting does not stand")
	}
}
