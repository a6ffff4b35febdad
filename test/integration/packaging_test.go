package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

const system = "scalableapp-system"

// What `make deploy` and the chart install, and the samples, are taken by an API server that refuses
// unknown fields, under the Pod Security level that their namespaces have.
func TestManifestsAreAccepted(t *testing.T) {
	makeNamespaces(t, system, "shop", "billing")
	for name, objects := range map[string][]*unstructured.Unstructured{
		"kustomize":        kustomize(t, "config/default"),
		"chart by default": helm(t, "--namespace", system),
		"chart all values": helm(t, "--namespace", system, "--values", "test/integration/testdata/all-values.yaml"),
		"samples":          samples(t),
	} {
		t.Run(name, func(t *testing.T) {
			for _, object := range objects {
				if object.GetNamespace() == "" && object.GetKind() != "CustomResourceDefinition" {
					object.SetNamespace("shop") // ignored where a kind has none
				}
				err := newClient(t).Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object),
					client.DryRunAll, client.FieldOwner("test"), client.ForceOwnership)
				if err != nil {
					t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
				}
			}
		})
	}
}

// The patch for Argo CD is taken by the API server, and leaves alone what else its ConfigMap says.
func TestArgoPatch(t *testing.T) {
	name := namespace(t)
	theirs := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "argocd-cm"}, Data: map[string]string{"url": "https://argo.example"},
	}
	if err := newClient(t).Create(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	output(t, kubectl(t, "patch", "configmap", "argocd-cm", "-n", name, "--patch-file", "config/argocd/argocd-cm.yaml"))
	if err := newClient(t).Get(t.Context(), client.ObjectKeyFromObject(theirs), theirs); err != nil {
		t.Fatal(err)
	}
	if len(theirs.Data) != 3 || theirs.Data["url"] == "" || theirs.Data["resource.customizations.health.apps.scalableapp.dev_ScalableApp"] == "" {
		t.Errorf("it holds %v", theirs.Data)
	}
}

// The chart and the plain manifests give the operator the same permissions, the same CRD and the same pod.
func TestChartEqualsManifests(t *testing.T) {
	plain, chart := kustomize(t, "config/default"), helm(t, "--namespace", system, "--set", "image.tag=dev")
	for _, c := range []struct {
		kind, name string
		path       []string
	}{
		{"ClusterRole", "scalableapp-operator", []string{"rules"}},
		{"ClusterRoleBinding", "scalableapp-operator", []string{"subjects"}},
		{"Role", "scalableapp-operator-leader-election", []string{"rules"}},
		{"RoleBinding", "scalableapp-operator-leader-election", []string{"subjects"}},
		{"CustomResourceDefinition", "scalableapps.apps.scalableapp.dev", []string{"spec"}},
		{"Deployment", "scalableapp-operator", []string{"spec", "template", "spec"}},
	} {
		t.Run(c.kind+"/"+c.name, func(t *testing.T) {
			want, got := field(t, plain, c.kind, c.name, c.path...), field(t, chart, c.kind, c.name, c.path...)
			if c.kind == "Deployment" { // flags whose values are the defaults
				withoutArgs(t, got, "--postgres-image=", "--pgbouncer-image=", "--redis-image=", "--zap-log-level=info")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-manifests +chart:\n%s", diff)
			}
		})
	}
}

// With watchNamespaces the chart gives the operator the same rules, but only there: the ClusterRole
// holds nothing but kinds without a namespace.
func TestChartWatchNamespaces(t *testing.T) {
	objects := helm(t, "--namespace", system, "--set", "watchNamespaces={shop,billing}")
	all := rules(t, field(t, kustomize(t, "config/default"), "ClusterRole", "scalableapp-operator", "rules"))
	cluster := rules(t, field(t, objects, "ClusterRole", "scalableapp-operator", "rules"))
	for _, namespace := range []string{"shop", "billing"} {
		var got []string
		for _, o := range objects {
			if o.GetKind() == "Role" && o.GetNamespace() == namespace {
				got = rules(t, o.Object["rules"])
			}
		}
		both := slices.Sorted(slices.Values(slices.Concat(cluster, got)))
		if diff := cmp.Diff(all, both); diff != "" {
			t.Errorf("rules in %s and the cluster together (-manifests +chart):\n%s", namespace, diff)
		}
	}
	for _, rule := range cluster {
		if !strings.Contains(rule, "storageclasses") {
			t.Errorf("the ClusterRole still reaches into all namespaces: %s", rule)
		}
	}
}

// Every value is tried: a value that testdata/all-values.yaml leaves as it is, is one that no test renders.
func TestAllValuesAreChanged(t *testing.T) {
	defaults, changed := readYAML(t, "charts/scalableapp-operator/values.yaml"), readYAML(t, "test/integration/testdata/all-values.yaml")
	var compare func(path string, a, b any)
	compare = func(path string, a, b any) {
		if branch, ok := a.(map[string]any); ok && len(branch) > 0 {
			other, _ := b.(map[string]any)
			for key := range branch {
				compare(path+"."+key, branch[key], other[key])
			}
			return
		}
		if b == nil || cmp.Equal(a, b) {
			t.Errorf("testdata/all-values.yaml does not change %s", strings.TrimPrefix(path, "."))
		}
	}
	compare("", defaults, changed)
}

// A misspelt value is refused, not ignored.
func TestChartRefusesUnknownValues(t *testing.T) {
	for _, set := range []string{"replica=2", "image.name=x", "crds.keep=true", "logLevel=loud", "replicas=two"} {
		cmd := helmCommand(t, "--set", set)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "don't meet the specifications") {
			t.Errorf("--set %s: %v\n%s", set, err, out)
		}
	}
}

// A field that does not exist is an error for kubectl's users too, without a flag.
func TestKubectlRefusesUnknownFields(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.yaml")
	text := render(t, object(t, namespace(t), "shop", app+"replicas: 3").Object)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := kubectl(t, "apply", "-f", file).CombinedOutput()
	if err == nil || !strings.Contains(string(out), `unknown field "spec.replicas"`) {
		t.Errorf("kubectl apply: %v\n%s", err, out)
	}
}

// kubectl is the one that comes with the API server, with the rights of the tests.
func kubectl(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	files := map[string][]byte{"ca": config.CAData, "crt": config.CertData, "key": config.KeyData}
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flags := []string{
		"--kubeconfig=" + os.DevNull, "--server=" + config.Host, "--certificate-authority=" + filepath.Join(dir, "ca"),
		"--client-certificate=" + filepath.Join(dir, "crt"), "--client-key=" + filepath.Join(dir, "key"),
	}
	binary := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")
	return exec.CommandContext(t.Context(), binary, append(flags, args...)...)
}

func kustomize(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	return decode(t, output(t, kubectl(t, "kustomize", folder)))
}

func helm(t *testing.T, flags ...string) []*unstructured.Unstructured {
	t.Helper()
	return decode(t, output(t, helmCommand(t, flags...)))
}

func helmCommand(t *testing.T, flags ...string) *exec.Cmd {
	t.Helper()
	args := append([]string{"helm", "template", "scalableapp-operator", "charts/scalableapp-operator"}, flags...)
	cmd := exec.CommandContext(t.Context(), "hack/tool.sh", args...)
	cmd.Dir = root(t)
	return cmd
}

func samples(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root(t), "config/samples/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var all []*unstructured.Unstructured
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, decode(t, text)...)
	}
	return all
}

func output(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	cmd.Dir = root(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, &stderr)
	}
	return out
}

func decode(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	for document := range bytes.SplitSeq(append([]byte("\n"), text...), []byte("\n---\n")) {
		json, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		if string(json) == "null" {
			continue
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(json); err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		objects = append(objects, object)
	}
	return objects
}

func field(t *testing.T, objects []*unstructured.Unstructured, kind, name string, path ...string) any {
	t.Helper()
	for _, o := range objects {
		if o.GetKind() == kind && o.GetName() == name {
			value, found, err := unstructured.NestedFieldNoCopy(o.Object, path...)
			if !found || err != nil {
				t.Fatalf("%s %s has no %s: %v", kind, name, strings.Join(path, "."), err)
			}
			return value
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}

// withoutArgs drops the arguments of the first container that begin with one of the prefixes.
func withoutArgs(t *testing.T, podSpec any, prefixes ...string) {
	t.Helper()
	container := podSpec.(map[string]any)["containers"].([]any)[0].(map[string]any)
	container["args"] = slices.DeleteFunc(container["args"].([]any), func(arg any) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(arg.(string), p) })
	})
}

func rules(t *testing.T, list any) []string {
	t.Helper()
	var texts []string
	for _, rule := range list.([]any) {
		texts = append(texts, render(t, rule))
	}
	slices.Sort(texts)
	return texts
}

func readYAML(t *testing.T, file string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), file))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return values
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func makeNamespaces(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		ns.Labels = map[string]string{"pod-security.kubernetes.io/warn": "restricted"}
		if err := newClient(t).Create(t.Context(), ns); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
}
