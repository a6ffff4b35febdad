package components

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

func TestMemorySettings(t *testing.T) {
	memory := func(quantity string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(quantity)}
	}
	tests := []struct {
		name           string
		resources      corev1.ResourceRequirements
		storage        string
		shared, cache  string
		wal, slotsKeep string
	}{
		{"default", corev1.ResourceRequirements{}, "10Gi", "128MB", "384MB", "2048MB", "4096MB"},
		{"limit", corev1.ResourceRequirements{Requests: memory("1Gi"), Limits: memory("2Gi")}, "1Gi", "512MB", "1536MB", "204MB", "409MB"},
		{"request alone", corev1.ResourceRequirements{Requests: memory("1Gi")}, "1Gi", "256MB", "768MB", "204MB", "409MB"},
		{"cpu alone", corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}, "1Gi", "128MB", "384MB", "204MB", "409MB"},
		{"decimal", corev1.ResourceRequirements{Limits: memory("1G")}, "1G", "238MB", "715MB", "190MB", "381MB"},
		{"tiny", corev1.ResourceRequirements{Limits: memory("32Mi")}, "100Mi", "16MB", "24MB", "64MB", "64MB"},
		{"huge", corev1.ResourceRequirements{Limits: memory("1Ti")}, "1Ei", "262144MB", "786432MB", "4096MB", "439804651110MB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			storage := v1alpha1.StorageSpec{Size: resource.MustParse(test.storage)}
			got := parameters(&v1alpha1.PostgresSpec{Resources: test.resources, Storage: storage})
			for name, want := range map[string]string{
				"shared_buffers": test.shared, "effective_cache_size": test.cache,
				"max_wal_size": test.wal, "max_slot_wal_keep_size": test.slotsKeep,
			} {
				if got[name] != want {
					t.Errorf("%s = %s, want %s", name, got[name], want)
				}
			}
		})
	}
}

func TestTheUsersParametersStand(t *testing.T) {
	got := parameters(&v1alpha1.PostgresSpec{Storage: v1alpha1.StorageSpec{Size: resource.MustParse("1Gi")},
		Parameters: map[string]v1alpha1.PostgresParameter{
			"Max_Connections": "300", "shared_buffers": "64MB",
			"Work_Mem": "2MB", "work_mem": "1MB", "WORK_MEM": "3MB",
		}})
	if got["max_connections"] != "300" || got["shared_buffers"] != "64MB" {
		t.Errorf("the user's settings must stand over the operator's: %v", got)
	}
	if got["work_mem"] != "3MB" || got["WORK_MEM"] != "" {
		t.Errorf("of work_mem's spellings the first of the alphabet must stand, in lower case: %v", got)
	}
}

func TestDurability(t *testing.T) {
	for durability, want := range map[v1alpha1.Durability][3]any{
		v1alpha1.DurabilityAsynchronous: {false, nil, false},
		v1alpha1.DurabilityPreferred:    {true, false, true},
		v1alpha1.DurabilityRequired:     {true, true, true},
	} {
		config := dynamicConfig(&v1alpha1.PostgresSpec{Durability: durability})
		got := [3]any{config["synchronous_mode"], config["synchronous_mode_strict"], config["postgresql"].(object)["remove_data_directory_on_rewind_failure"]}
		if got != want {
			t.Errorf("%s: %v, want %v", durability, got, want)
		}
		if loop, retry, ttl := config["loop_wait"].(int), config["retry_timeout"].(int), config["ttl"].(int); loop+2*retry > ttl {
			t.Errorf("loop_wait %d + 2 * retry_timeout %d is more than ttl %d", loop, retry, ttl)
		}
	}
}

func TestBootstrap(t *testing.T) {
	const config, volume = "shop-db-config", "data-shop-db-0"
	decided := func(mode string) func(Input) {
		return func(in Input) {
			observeRecord(in, "shop-db-patroni", map[string]string{naming.AnnotationBootstrap: mode})
		}
	}
	kept := func(in Input) { observeVolume(in, volume, time.Hour, corev1.ClaimBound) }
	own := func(in Input) { observeVolume(in, volume, -time.Second, corev1.ClaimBound) }
	unbound := func(in Input) { observeVolume(in, volume, time.Hour, corev1.ClaimPending) }
	record := func(initialize string) func(Input) {
		return func(in Input) { observeRecord(in, config, map[string]string{"initialize": initialize}) }
	}
	tests := []struct {
		name string
		seen []func(Input)
		want string
	}{
		{"nothing is there", nil, bootstrapAllowed},
		{"kept volumes", []func(Input){kept}, bootstrapForbidden},
		{"kept volumes that were taken up in an earlier pass", []func(Input){kept, decided(bootstrapForbidden)}, bootstrapForbidden},
		{"kept volumes and the start has begun", []func(Input){kept, decided(bootstrapForbidden), record("")}, bootstrapForbidden},
		{"kept volumes with their record", []func(Input){kept, record("7710789474496061463")}, bootstrapForbidden},
		{"volumes of a first start that did not end", []func(Input){kept, record("")}, bootstrapAllowed},
		{"claim that was never bound", []func(Input){unbound}, bootstrapAllowed},
		{"such a claim, bound in the first start", []func(Input){kept, decided(bootstrapAllowed)}, bootstrapAllowed},
		{"volumes of this first start", []func(Input){own, decided(bootstrapAllowed)}, bootstrapAllowed},
		{"a first start whose ConfigMap was deleted", []func(Input){own}, bootstrapAllowed},
		{"the first start is over", []func(Input){own, decided(bootstrapAllowed), record("7710789474496061463")}, bootstrapForbidden},
		{"the record was deleted later", []func(Input){own, decided(bootstrapForbidden)}, bootstrapForbidden},
		{"volumes of another app", []func(Input){func(in Input) {
			observeVolume(in, "data-shop-db-extra-0", time.Hour, corev1.ClaimBound)
			observeVolume(in, "data-shop-sessions-0", time.Hour, corev1.ClaimBound)
		}}, bootstrapAllowed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := testInput(withPostgres)
			for _, see := range test.seen {
				see(in)
			}
			if got := bootstrapMode(in); got != test.want {
				t.Errorf("bootstrap is %s, want %s", got, test.want)
			}
			parsed := object{}
			if err := yaml.Unmarshal([]byte(patroniConfig(in.App, bootstrapMode(in) == bootstrapAllowed)), &parsed); err != nil {
				t.Fatal(err)
			}
			if _, there := parsed["bootstrap"]; there != (test.want == bootstrapAllowed) {
				t.Errorf("section bootstrap in patroni.yml: %v", there)
			}
		})
	}
}

// A record that an earlier app's Patroni wrote with its last breath would hang a new database; with kept
// volumes it tells of their data and stays.
func TestStaleRecords(t *testing.T) {
	orphan := func(in Input) {
		observeRecord(in, "shop-db-config", map[string]string{"initialize": "7710789474496061463"})
		in.Observed.ConfigMap("shop-db-config").CreationTimestamp = metav1.NewTime(born.Add(-time.Hour))
	}
	for name, test := range map[string]struct {
		see   func(Input)
		stale []string
		want  string
	}{
		"no volumes":   {func(in Input) { orphan(in) }, []string{"shop-db-config"}, bootstrapAllowed},
		"kept volumes": {func(in Input) { orphan(in); observeVolume(in, "data-shop-db-0", time.Hour, corev1.ClaimBound) }, nil, bootstrapForbidden},
		"own record":   {func(in Input) { observeRecord(in, "shop-db-config", map[string]string{"initialize": "1"}) }, nil, bootstrapForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			in := testInput(withPostgres)
			test.see(in)
			if got := StaleRecords(in); !slices.Equal(got, test.stale) {
				t.Errorf("stale records are %v, want %v", got, test.stale)
			}
			if got := bootstrapMode(in); got != test.want {
				t.Errorf("bootstrap is %s, want %s", got, test.want)
			}
			for _, object := range patroniRecords(in) {
				if len(test.stale) > 0 {
					t.Errorf("a stale record is adopted: %s", marshal(t, object))
				}
			}
		})
	}
}

// The end of the first start, a new size, settings and resources, and a new class of durability make no pod anew;
// a new image does.
func TestWhatMakesPodsAnew(t *testing.T) {
	base := testInput(withPostgres)
	before := databaseShape(base)
	postgres := base.App.Spec.Database.Postgres
	postgres.Instances, postgres.Durability = 5, v1alpha1.DurabilityRequired
	postgres.Parameters = map[string]v1alpha1.PostgresParameter{"work_mem": "16MB", "max_connections": "500"}
	postgres.Resources = corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")}}
	if databaseShape(base) != before {
		t.Error("what Patroni or the kubelet can change in a running pod must not make it anew")
	}
	base.Images.Postgres = "another"
	if databaseShape(base) == before {
		t.Error("a new image must make the pods anew")
	}

	running := settle(t, testInput(withPostgres))
	first := marshal(t, databaseStatefulSet(running))
	observeRecord(running, "shop-db-config", map[string]string{"initialize": "7710789474496061463"})
	if string(first) != string(marshal(t, databaseStatefulSet(running))) {
		t.Error("the end of the first start must not change the StatefulSet")
	}
}
