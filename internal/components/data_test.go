package components

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

func TestCredentialsAreMadeOnce(t *testing.T) {
	in := testInput(withAll)
	made := Credentials(in)
	if len(made) != 3 {
		t.Fatalf("made %d Secrets, want 3", len(made))
	}
	seen := map[string]bool{}
	for _, secret := range settle(t, in).Observed.Secrets {
		if secret.Type == corev1.SecretTypeTLS || secret.Name == "shop-db-ca" {
			continue
		}
		for key, value := range secret.Data {
			if !strings.HasSuffix(key, "_PASSWORD") {
				continue // what follows from the passwords, or is none
			}
			if len(value) != 32 || seen[string(value)] {
				t.Errorf("%s/%s: %d characters, or the same as another", secret.Name, key, len(value))
			}
			seen[string(value)] = true
		}
	}
	for _, object := range made {
		if object.Mode != Created {
			t.Error("a generated password must not be written a second time")
		}
	}
	if again := Credentials(in); len(again) != 0 {
		t.Errorf("made %d Secrets that are there already", len(again))
	}
}

func TestNoPasswordsWithoutEntropy(t *testing.T) {
	in := testInput(withAll)
	in.Observed.Entropy = nil
	if made := Credentials(in); len(made) != 0 {
		t.Error("passwords were made from nothing")
	}
}

func TestNothingIsMadeThatIsNotWanted(t *testing.T) {
	in := testInput(func(s *v1alpha1.ScalableAppSpec) {
		s.NetworkPolicy = v1alpha1.NetworkPolicyDisabled
		s.Database = &v1alpha1.DatabaseSpec{External: &v1alpha1.ExternalDatabaseSpec{SecretName: "legacy"}}
	})
	if objects := dataTier(in); len(objects) != 0 {
		t.Errorf("%d objects for an app without a data tier of its own", len(objects))
	}
}

// What a pass leaves out is deleted. A password Secret that is not seen, because somebody deleted it or
// the cache lags, must not cost the database.
func TestStatefulSetsAreWantedWhateverIsSeen(t *testing.T) {
	in := testInput(withAll)
	for _, name := range []string{"shop-cache", "shop-db", "shop-sessions"} {
		in.Observed.StatefulSets = append(in.Observed.StatefulSets, &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	sets := 0
	for _, object := range append(Postgres(in), Redis(in)...) {
		if strings.Contains(string(marshal(t, object)), `"kind":"StatefulSet"`) {
			sets++
		}
	}
	if sets != 3 {
		t.Errorf("%d StatefulSets, want 3", sets)
	}
}

// Secrets are the only place that Kubernetes, its users and this operator treat as secret.
func TestPasswordsAreInSecretsAlone(t *testing.T) {
	in := settle(t, testInput(withAll))
	var passwords []string
	for _, secret := range in.Observed.Secrets {
		for key, value := range secret.Data {
			if key == keyAppActive {
				continue
			}
			passwords = append(passwords, string(value), redisHash(string(value)))
		}
	}
	for _, object := range dataTier(in) {
		raw := marshal(t, object)
		var kind struct{ Kind string }
		if err := json.Unmarshal(raw, &kind); err != nil {
			t.Fatal(err)
		}
		for _, password := range passwords {
			if kind.Kind != "Secret" && strings.Contains(string(raw), password) {
				t.Errorf("a password is in a %s: %s", kind.Kind, raw)
			}
		}
	}
}

// The rules of the Pod Security Standard "restricted", each by its name, and the operator's own: a root
// file system that cannot be written.
func TestPodsAreRestricted(t *testing.T) {
	pods := 0
	for _, object := range dataTier(settle(t, testInput(withAll))) {
		var set appsv1.StatefulSet
		if err := json.Unmarshal(marshal(t, object), &set); err != nil || set.Kind != "StatefulSet" {
			continue
		}
		pods++
		spec := set.Spec.Template.Spec
		if spec.HostNetwork || spec.HostPID || spec.HostIPC {
			t.Errorf("%s: host namespaces", set.Name)
		}
		for _, volume := range spec.Volumes {
			if volume.ConfigMap == nil && volume.Secret == nil && volume.EmptyDir == nil && volume.Projected == nil {
				t.Errorf("%s: volume type of %s", set.Name, volume.Name)
			}
		}
		s := spec.SecurityContext
		if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 {
			t.Errorf("%s: runs as root", set.Name)
		}
		if s == nil || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: seccomp profile", set.Name)
		}
		for _, container := range append(spec.InitContainers, spec.Containers...) {
			c := container.SecurityContext
			if c == nil || c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation || c.Privileged != nil {
				t.Errorf("%s/%s: privileges", set.Name, container.Name)
			}
			if c == nil || c.Capabilities == nil || len(c.Capabilities.Drop) != 1 || c.Capabilities.Drop[0] != "ALL" || len(c.Capabilities.Add) > 0 {
				t.Errorf("%s/%s: capabilities", set.Name, container.Name)
			}
			if c == nil || c.ReadOnlyRootFilesystem == nil || !*c.ReadOnlyRootFilesystem {
				t.Errorf("%s/%s: root file system", set.Name, container.Name)
			}
			for _, port := range container.Ports {
				if port.HostPort != 0 {
					t.Errorf("%s/%s: host port", set.Name, container.Name)
				}
			}
		}
		token := set.Name == naming.Database(testInput(withAll).App)
		if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken != token {
			t.Errorf("%s: token of the service account", set.Name)
		}
	}
	if pods != 3 {
		t.Errorf("looked at %d pod templates, want 3", pods)
	}
}

func TestRedisConfig(t *testing.T) {
	memory := resource.MustParse("100Mi")
	in := testInput(func(s *v1alpha1.ScalableAppSpec) {
		withRedis(s)
		s.Cache.Redis.Memory = &memory
		s.Sessions.Redis.Persistence = v1alpha1.PersistenceDisabled
	})
	stores := redises(in.App)
	sessions, cache := stores[0].config(), stores[1].config()
	for text, wants := range map[string][]string{
		sessions: {"maxmemory 187904819\n", "maxmemory-policy noeviction\n", "appendonly no\n"},
		cache:    {"maxmemory 73400320\n", "maxmemory-policy allkeys-lfu\n", "appendonly no\n"},
	} {
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
	if stores[0].storage != nil {
		t.Error("a store without persistence has a volume")
	}
}

// Tried against Redis 8.0.2: this is the file it took, with what the users may and may not do.
func TestRedisACL(t *testing.T) {
	want := "user default off\n" +
		"user app on #" + strings.Repeat("a", 64) + " ~* &* +@all -@admin -@dangerous +info\n" +
		"user monitor on #" + strings.Repeat("b", 64) + " -@all +ping +info +acl|load +latency|latest +latency|histogram +slowlog|len +slowlog|get\n"
	if got := redisACL(strings.Repeat("b", 64), strings.Repeat("a", 64)); got != want {
		t.Errorf("got\n%s", got)
	}
	// printf secret | sha256sum
	if got := redisHash("secret"); got != "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b" {
		t.Errorf("hash %s", got)
	}
}

// The checksum of a lone member of the default size is that of the first operator: another one would restart it on
// the day of an upgrade.
func TestChecksumOfALoneRedisStays(t *testing.T) {
	in := testInput(withRedis)
	if got := redisChecksum(in, redises(in.App)[0]); got != "050d23dceadf75d4" {
		t.Errorf("checksum %s", got)
	}
}

// The Sentinels come with the members, but not beside a lone one that does not know them: they would promote a
// replica that has nothing.
func TestSentinelsWaitForALoneMember(t *testing.T) {
	in := withAddresses(settle(t, testInput(withRedisOfThree)))
	sentinels := func() bool {
		return slices.ContainsFunc(Redis(in), func(o Object) bool {
			return strings.Contains(string(marshal(t, o)), `"kind":"StatefulSet","apiVersion":"apps/v1","metadata":{"name":"shop-sessions-sentinel"`)
		})
	}
	if !sentinels() {
		t.Error("a first start has no Sentinels")
	}
	in.Observed.StatefulSets = []*appsv1.StatefulSet{{ObjectMeta: metav1.ObjectMeta{Name: "shop-sessions"}}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "shop-sessions-0", Labels: naming.Labels(in.App, naming.ComponentSessions)},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "redis"}}}}
	in.Observed.Pods = []*corev1.Pod{pod}
	in.Observed.Redis = map[string]*state.RedisGroup{"shop-sessions": {Members: map[string]state.RedisMember{"shop-sessions-0": {Master: true}}}}
	if sentinels() {
		t.Error("Sentinels beside a lone member")
	}
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "role"})
	in.Observed.Redis["shop-sessions"].Members["shop-sessions-0"] = state.RedisMember{}
	if sentinels() {
		t.Error("Sentinels before it is master again")
	}
	in.Observed.Redis["shop-sessions"].Members["shop-sessions-0"] = state.RedisMember{Master: true}
	if !sentinels() {
		t.Error("no Sentinels beside a master that knows them")
	}
}

// A pod of an older operator, which has no exporter, is as wanted as long as settings and image are.
func TestAnOlderPodOfRedisIsNotOutdated(t *testing.T) {
	in := testInput(withRedis)
	group := RedisGroups(in)[0]
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotationConfig: "050d23dceadf75d4"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "redis", Image: in.Images.Redis}}}}
	if group.Outdated(in, pod) {
		t.Error("it would be restarted")
	}
	pod.Spec.Containers[0].Image = "scalableapp/redis:7"
	if !group.Outdated(in, pod) {
		t.Error("it would keep its image")
	}
}

func TestBind(t *testing.T) {
	app := testInput(withAll).App
	tests := []struct {
		name     string
		bindings revision.Bindings
		env      string
		mounts   string
	}{
		{"nothing", revision.Bindings{}, "", ""},
		{"all", revision.Bindings{Database: true, Sessions: true, Cache: true},
			"DATABASE_URL=shop-db-app/uri DATABASE_RO_URL=shop-db-app/uri-ro SESSION_URL=shop-sessions-app/uri CACHE_URL=shop-cache-app/uri SERVICE_BINDING_ROOT",
			"/bindings/database=shop-db-app /bindings/sessions=shop-sessions-app /bindings/cache=shop-cache-app"},
		{"external", revision.Bindings{ExternalSecret: "legacy"},
			"DATABASE_URL=legacy/uri DATABASE_RO_URL=legacy/uri-ro? SERVICE_BINDING_ROOT", "/bindings/database=legacy"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := bind(app, test.bindings)
			var env, mounts []string
			for _, e := range b.Env {
				text := *e.Name
				if e.ValueFrom != nil {
					ref := e.ValueFrom.SecretKeyRef
					text += "=" + *ref.Name + "/" + *ref.Key
					if ref.Optional != nil && *ref.Optional {
						text += "?"
					}
				}
				env = append(env, text)
			}
			for i, m := range b.Mounts {
				if *m.Name != *b.Volumes[i].Name {
					t.Errorf("mount %s of volume %s", *m.Name, *b.Volumes[i].Name)
				}
				mounts = append(mounts, *m.MountPath+"="+*b.Volumes[i].Secret.SecretName)
			}
			if got := strings.Join(env, " "); got != test.env {
				t.Errorf("env %s\nwant %s", got, test.env)
			}
			if got := strings.Join(mounts, " "); got != test.mounts {
				t.Errorf("mounts %s\nwant %s", got, test.mounts)
			}
		})
	}
}
