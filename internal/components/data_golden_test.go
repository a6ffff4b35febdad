package components

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

var update = flag.Bool("update", false, "write the golden files anew")

var born = metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))

// testInput is an app with nothing but the given data tier, and a cluster without a trace of it.
func testInput(change func(*v1alpha1.ScalableAppSpec)) Input {
	app := &v1alpha1.ScalableApp{ObjectMeta: metav1.ObjectMeta{
		Name: "shop", Namespace: "prod", UID: "uid-of-shop", CreationTimestamp: born,
	}}
	change(&app.Spec)
	entropy := bytes.Repeat([]byte("0123456789abcdef"), 16)
	return Input{
		App: app, Observed: &state.Observed{Entropy: entropy}, OperatorNamespace: "scalableapp-system",
		Images: Images{Postgres: "scalableapp/postgres:17", PgBouncer: "scalableapp/pgbouncer:1", Redis: "scalableapp/redis:8"},
	}
}

func withPostgres(spec *v1alpha1.ScalableAppSpec) {
	spec.Database = &v1alpha1.DatabaseSpec{Postgres: &v1alpha1.PostgresSpec{
		Version: 17, Instances: 2, Durability: v1alpha1.DurabilityPreferred,
		Storage: v1alpha1.StorageSpec{Size: resource.MustParse("10Gi"), OnDelete: v1alpha1.StorageRetain},
	}}
}

func withRedis(spec *v1alpha1.ScalableAppSpec) {
	memory, cache := resource.MustParse("256Mi"), resource.MustParse("128Mi")
	spec.Sessions = &v1alpha1.SessionsSpec{Store: v1alpha1.SessionStoreRedis, Redis: &v1alpha1.SessionRedisSpec{
		Memory: &memory, Persistence: v1alpha1.PersistenceEnabled,
		Storage: v1alpha1.StorageSpec{Size: resource.MustParse("1Gi"), OnDelete: v1alpha1.StorageDelete},
	}}
	spec.Cache = &v1alpha1.CacheSpec{Redis: &v1alpha1.CacheRedisSpec{Memory: &cache}}
}

func withRedisOfThree(spec *v1alpha1.ScalableAppSpec) {
	withRedis(spec)
	spec.Sessions.Redis.Members, spec.Cache.Redis.Members = 3, 3
	spec.Sessions.Redis.Eviction = v1alpha1.SessionEvictionEvictIdle
}

func withAll(spec *v1alpha1.ScalableAppSpec) {
	withPostgres(spec)
	withRedis(spec)
}

// settle lets the operator see the Secrets that it has made.
func settle(t *testing.T, in Input) Input {
	t.Helper()
	for _, object := range append(Credentials(in), Certificates(in)...) {
		secret := &corev1.Secret{}
		if err := json.Unmarshal(marshal(t, object), secret); err != nil {
			t.Fatal(err)
		}
		in.Observed.Secrets = append(in.Observed.Secrets, secret)
	}
	state.SortByName(in.Observed.Secrets)
	return in
}

// withAddresses lets the operator see the Services of a Redis of three with their addresses.
func withAddresses(in Input) Input {
	for i, object := range Redis(in) {
		if service, ok := object.Intent.(*corev1ac.ServiceApplyConfiguration); ok {
			in.Observed.Services = append(in.Observed.Services, &corev1.Service{
				ObjectMeta: metav1.ObjectMeta{Name: *service.GetName()}, Spec: corev1.ServiceSpec{ClusterIP: fmt.Sprintf("10.96.0.%d", i+1)}})
		}
	}
	state.SortByName(in.Observed.Services)
	return in
}

// observeRecord lets the operator see one of Patroni's records.
func observeRecord(in Input, name string, annotations map[string]string) {
	in.Observed.ConfigMaps = append(in.Observed.ConfigMaps, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "prod", Annotations: annotations, CreationTimestamp: born}})
	state.SortByName(in.Observed.ConfigMaps)
}

func observeVolume(in Input, name string, age time.Duration, phase corev1.PersistentVolumeClaimPhase) {
	in.Observed.Volumes = append(in.Observed.Volumes, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-of-" + name), CreationTimestamp: metav1.NewTime(born.Add(-age))},
		Status:     corev1.PersistentVolumeClaimStatus{Phase: phase}})
	state.SortByName(in.Observed.Volumes)
}

func marshal(t *testing.T, object Object) []byte {
	t.Helper()
	raw, err := json.Marshal(object.Intent)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func dataTier(in Input) []Object {
	var all []Object
	for _, part := range [][]Object{Credentials(in), Certificates(in), Postgres(in), Redis(in), Bindings(in), NetworkPolicies(in)} {
		all = append(all, part...)
	}
	return all
}

func TestGolden(t *testing.T) {
	scenarios := map[string]func() []Object{
		"data_first_pass":  func() []Object { return dataTier(testInput(withAll)) },
		"postgres_default": func() []Object { return Postgres(settle(t, testInput(withPostgres))) },
		"postgres_single": func() []Object {
			return Postgres(settle(t, testInput(func(s *v1alpha1.ScalableAppSpec) {
				withPostgres(s)
				s.Database.Postgres.Instances = 1
				s.Database.Postgres.Durability = v1alpha1.DurabilityAsynchronous
			})))
		},
		"postgres_tuned": func() []Object {
			return Postgres(settle(t, testInput(func(s *v1alpha1.ScalableAppSpec) {
				withPostgres(s)
				class := "fast"
				p := s.Database.Postgres
				p.Instances, p.Durability = 3, v1alpha1.DurabilityRequired
				p.Storage.StorageClassName, p.Storage.OnDelete = &class, v1alpha1.StorageDelete
				p.Parameters = map[string]v1alpha1.PostgresParameter{"work_mem": "16MB", "max_connections": "300", "shared_buffers": "1GB"}
				p.Resources = corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("4Gi")}}
			})))
		},
		"postgres_running": func() []Object {
			in := settle(t, testInput(withPostgres))
			observeVolume(in, "data-shop-db-0", -time.Minute, corev1.ClaimBound)
			observeVolume(in, "data-shop-db-1", -time.Minute, corev1.ClaimBound)
			observeRecord(in, "shop-db-config", map[string]string{"initialize": "7710789474496061463"})
			observeRecord(in, "shop-db-leader", nil)
			observeRecord(in, "shop-db-sync", nil)
			return Postgres(in)
		},
		"pooler": func() []Object {
			in := settle(t, testInput(withPooler))
			return append(Pooler(in), Bindings(in)...)
		},
		"pooler_single": func() []Object {
			in := settle(t, testInput(withPooler))
			in.App.Spec.Database.Postgres.Instances = 1
			return Pooler(in)
		},
		"redis":                  func() []Object { return Redis(settle(t, testInput(withRedis))) },
		"redis_three_first_pass": func() []Object { return Redis(settle(t, testInput(withRedisOfThree))) },
		"redis_three":            func() []Object { return Redis(withAddresses(settle(t, testInput(withRedisOfThree)))) },
		// One member becomes three: the Service leads to the lone one as long as it is there.
		"redis_one_to_three": func() []Object {
			in := withAddresses(settle(t, testInput(withRedisOfThree)))
			in.App.Spec.Cache = nil
			in.Observed.Pods = []*corev1.Pod{{
				ObjectMeta: metav1.ObjectMeta{Name: "shop-sessions-0", Labels: labels(in.App, naming.ComponentSessions)}}}
			return Redis(in)[1:2]
		},
		"networkpolicies_three": func() []Object { return NetworkPolicies(testInput(withRedisOfThree)) },
		"bindings":              func() []Object { return Bindings(settle(t, testInput(withAll))) },
		"networkpolicies":       func() []Object { return NetworkPolicies(testInput(withAll)) },
	}
	for name, objects := range scenarios {
		t.Run(name, func(t *testing.T) { golden(t, name, objects()) })
	}
}

// privateKey finds the private keys of certificates: a golden file shall hold none, not even of a test.
var privateKey = regexp.MustCompile(`(?m)^(  (?:ca|tls)\.key:).*$`)

func golden(t *testing.T, name string, objects []Object) {
	t.Helper()
	var documents []string
	for _, object := range objects {
		text, err := yaml.JSONToYAML(marshal(t, object))
		if err != nil {
			t.Fatal(err)
		}
		mode := ""
		if object.Mode == Created {
			mode = "# made once\n"
		}
		documents = append(documents, mode+privateKey.ReplaceAllString(string(text), "$1 (a private key)"))
	}
	got := strings.Join(documents, "---\n")
	path := filepath.Join("testdata", name+".golden.yaml")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with: go test ./internal/components -update", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at it with: go test ./internal/components -update && git diff\ngot:\n%s", path, got)
	}
}

// A child without them would be neither found by the operator's caches nor collected with its app.
func TestEveryObjectIsAChild(t *testing.T) {
	first := testInput(withAll)
	objects := append(dataTier(first), dataTier(settle(t, testInput(withAll)))...)
	objects = append(objects, Pooler(settle(t, testInput(withPooler)))...)
	for _, object := range objects {
		var meta struct {
			Kind     string
			Metadata metav1.ObjectMeta
		}
		if err := json.Unmarshal(marshal(t, object), &meta); err != nil {
			t.Fatal(err)
		}
		m := meta.Metadata
		if meta.Kind == "" || m.Name == "" || m.Namespace != "prod" || m.Labels[naming.LabelManagedBy] != naming.ManagedBy || m.Labels[naming.LabelInstance] != "shop" {
			t.Errorf("%s %s lacks kind, name, namespace or labels: %+v", meta.Kind, m.Name, m)
		}
		if len(m.OwnerReferences) != 1 || m.OwnerReferences[0].UID != "uid-of-shop" {
			t.Errorf("%s %s has owners %v", meta.Kind, m.Name, m.OwnerReferences)
		}
	}
}
