package components

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

func TestMemoryFits(t *testing.T) {
	for _, c := range []struct {
		limit      string
		parameters map[string]v1alpha1.PostgresParameter
		want       string // "" fits
	}{
		{"", nil, ""},
		{"128Mi", nil, ""},
		{"512Mi", map[string]v1alpha1.PostgresParameter{"shared_buffers": "256MB"}, ""},
		{"512Mi", map[string]v1alpha1.PostgresParameter{"shared_buffers": "512MB"}, "512MB (shared_buffers) + 64MB"},
		{"512Mi", map[string]v1alpha1.PostgresParameter{"Shared_Buffers": "65536"}, "= 576MB, and the limit is 512MB"}, // blocks of 8 kB
		{"512Mi", map[string]v1alpha1.PostgresParameter{"shared_buffers": "99999999 TB"}, "and the limit is 512MB"},
		{"512Mi", map[string]v1alpha1.PostgresParameter{"work_mem": "1GB"}, "1024MB (work_mem, for one operation)"},
		{"512Mi", map[string]v1alpha1.PostgresParameter{"maintenance_work_mem": "2097152"}, "lower maintenance_work_mem"},
		{"512Mi", map[string]v1alpha1.PostgresParameter{"work_mem": "16MB"}, ""},
		{"512Mi", map[string]v1alpha1.PostgresParameter{"shared_buffers": "16QB"}, ""}, // PostgreSQL says so itself
		{"512Mi", map[string]v1alpha1.PostgresParameter{"autovacuum_work_mem": "-1"}, ""},
	} {
		in := testInput(withPostgres)
		postgres := in.App.Spec.Database.Postgres
		postgres.Parameters, postgres.Resources = c.parameters, corev1.ResourceRequirements{}
		if c.limit != "" {
			postgres.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(c.limit)}
		}
		err := memoryFits(postgres)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %v: %v, want %q", c.limit, c.parameters, err, c.want)
		}
	}
}

// What PostgreSQL reckons itself goes before what we do.
func TestSharedMemoryFits(t *testing.T) {
	in := testInput(withPostgres)
	in.App.Spec.Database.Postgres.Resources = corev1.ResourceRequirements{}
	for mebibytes, fits := range map[int64]bool{0: true, 143: true, 448: true, 449: false} {
		in.Observed.Parameters = &state.ParameterCheck{Judgement: state.Judgement{SharedMemory: mebibytes * mebi}}
		if err := DatabaseFits(in); (err == nil) != fits {
			t.Errorf("%d MiB: %v", mebibytes, err)
		}
	}
}

func TestParametersAreDueUntilPatroniHasThem(t *testing.T) {
	in := settle(t, testInput(withPostgres))
	observeRecord(in, "shop-db-config", map[string]string{
		RecordInitialize: "7710789474496061463", recordConfig: dynamicConfigJSON(in.App.Spec.Database.Postgres),
	})
	if _, due := DueParameters(in); due {
		t.Error("due, and they are recorded")
	}
	in.App.Spec.Database.Postgres.Parameters = map[string]v1alpha1.PostgresParameter{"WORK_MEM": "16MB"}
	if wanted, due := DueParameters(in); !due || wanted["work_mem"] != "16MB" {
		t.Errorf("due %v, %v", due, wanted)
	}
}
