// Package revision gives every version of an app its identity: the hash of what the user wrote,
// together with the ConfigMaps it refers to.
//
// The hash is taken over canonical JSON of the fields that the user set, never over a Go struct: a
// newer operator whose API has one more defaulted field must not roll everybody's app
// (docs/adr/0003-revision-identity.md).
package revision

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/rotation"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

// Format is the version of the layout of Inputs.
const Format = 1

// Inputs is everything that makes a revision what it is; it is the content of its ControllerRevision.
type Inputs struct {
	// Format is the layout of this value.
	Format int `json:"format"`
	// App is spec.app without replicas and without fields that hold their default.
	App v1alpha1.AppSpec `json:"app"`
	// Bindings are the services whose addresses the pods are given.
	Bindings Bindings `json:"bindings"`
	// Config are the ConfigMaps that App refers to, sorted by name.
	Config []Config `json:"config,omitempty"`
}

// Bindings are the services whose addresses the pods are given.
type Bindings struct {
	Database bool `json:"database,omitempty"`
	// Pooler says that the address of the database is its pooler's: who has it needs the pooler.
	Pooler         bool   `json:"pooler,omitempty"`
	ExternalSecret string `json:"externalSecret,omitempty"`
	Sessions       bool   `json:"sessions,omitempty"`
	// SessionsSecret and CacheSecret are the user's Secrets of a session store and a cache that exist already.
	SessionsSecret string `json:"sessionsSecret,omitempty"`
	Cache          bool   `json:"cache,omitempty"`
	CacheSecret    string `json:"cacheSecret,omitempty"`
	// Rotation names the rotations of these services' passwords that the pods were started after
	// (rotation.Taken); "" before the first. Another one is another revision, so that pods with old passwords
	// are replaced in the app's own way.
	Rotation string `json:"rotation,omitempty"`
}

// Config is one of the user's ConfigMaps as it was when the revision was made.
type Config struct {
	Name       string            `json:"name"`
	Data       map[string]string `json:"data,omitempty"`
	BinaryData map[string][]byte `json:"binaryData,omitempty"`
}

// Revision is a version of the app with its identity.
type Revision struct {
	// Name is APP-HASH: the name of its ControllerRevision, Deployment and Service.
	Name string
	// Inputs is what the hash was taken over, with the defaults filled in again.
	Inputs Inputs
	// Data is the canonical JSON of the inputs.
	Data []byte
	// Template is the pod template that was made from the inputs when the revision was first run, as
	// JSON; nil before. It is kept, so that a newer operator that makes templates otherwise rolls
	// nobody's app.
	Template []byte
}

// record is the content of a ControllerRevision.
type record struct {
	Inputs   `json:",inline"`
	Template json.RawMessage `json:"template,omitempty"`
}

// Of is the revision that the spec asks for. Config holds the content of the ConfigMaps named by
// ConfigNames; a name that is missing there is left out. What it carries of rotations is that of the status.
func Of(app *v1alpha1.ScalableApp, config map[string]*state.Config) (Revision, error) {
	taken := map[string]string{}
	for _, c := range app.Status.Credentials {
		taken[c.Name] = c.TakenToken
	}
	return OfRotation(app, config, rotation.Taken(app, taken))
}

// OfRotation is the revision that the spec asks for and that carries the given rotations.
func OfRotation(app *v1alpha1.ScalableApp, config map[string]*state.Config, rotations string) (Revision, error) {
	inputs := Inputs{Format: Format, App: *app.Spec.App.DeepCopy(), Bindings: bindingsOf(app)}
	inputs.Bindings.Rotation = rotations
	withoutDefaults(&inputs.App)
	for _, name := range ConfigNames(&app.Spec.App) {
		if c := config[name]; c != nil {
			inputs.Config = append(inputs.Config, Config{Name: name, Data: c.Data, BinaryData: c.BinaryData})
		}
	}
	data, err := canonical(inputs)
	if err != nil {
		return Revision{}, fmt.Errorf("spec.app cannot be written as JSON: %w", err)
	}
	withDefaults(&inputs.App)
	return Revision{Name: app.Name + "-" + hash(data), Inputs: inputs, Data: data}, nil
}

// Record is the content of the revision's ControllerRevision: its inputs and its template.
func (r Revision) Record() ([]byte, error) {
	var content map[string]json.RawMessage
	if err := json.Unmarshal(r.Data, &content); err != nil {
		return nil, err
	}
	content["template"] = r.Template
	return json.Marshal(content)
}

// Stored is the revision that a ControllerRevision holds.
func Stored(object *appsv1.ControllerRevision) (Revision, error) {
	var content record
	if err := json.Unmarshal(object.Data.Raw, &content); err != nil {
		return Revision{}, fmt.Errorf("ControllerRevision %s cannot be read: %w", object.Name, err)
	}
	if content.Format != Format {
		return Revision{}, fmt.Errorf("ControllerRevision %s has format %d, and this operator knows only format %d: "+
			"run the operator that wrote it, or a newer one", object.Name, content.Format, Format)
	}
	data, err := canonical(content.Inputs)
	if err != nil {
		return Revision{}, fmt.Errorf("ControllerRevision %s cannot be read: %w", object.Name, err)
	}
	withDefaults(&content.App)
	return Revision{Name: object.Name, Inputs: content.Inputs, Data: data, Template: content.Template}, nil
}

// ConfigNames are the names of the ConfigMaps that the app refers to, sorted.
func ConfigNames(app *v1alpha1.AppSpec) []string {
	var names []string
	eachConfigRef(app, func(name *string, _ bool) { names = append(names, *name) })
	slices.Sort(names)
	return slices.Compact(names)
}

// MissingConfig are the names of the ConfigMaps that the app cannot do without and that do not exist.
func MissingConfig(app *v1alpha1.AppSpec, config map[string]*state.Config) []string {
	var missing []string
	eachConfigRef(app, func(name *string, optional bool) {
		if config[*name] == nil && !optional {
			missing = append(missing, *name)
		}
	})
	slices.Sort(missing)
	return slices.Compact(missing)
}

// AppSpec is the revision's spec.app with each reference to a ConfigMap turned to the revision's own
// copy of it, whose name copyName gives.
func (r Revision) AppSpec(copyName func(index int) string) *v1alpha1.AppSpec {
	app := r.Inputs.App.DeepCopy()
	eachConfigRef(app, func(name *string, _ bool) {
		i := slices.IndexFunc(r.Inputs.Config, func(c Config) bool { return c.Name == *name })
		if i >= 0 {
			*name = copyName(i)
		}
	})
	return app
}

func eachConfigRef(app *v1alpha1.AppSpec, visit func(name *string, optional bool)) {
	isTrue := func(b *bool) bool { return b != nil && *b }
	for i := range app.EnvFrom {
		if ref := app.EnvFrom[i].ConfigMapRef; ref != nil {
			visit(&ref.Name, isTrue(ref.Optional))
		}
	}
	for i := range app.Env {
		if from := app.Env[i].ValueFrom; from != nil && from.ConfigMapKeyRef != nil {
			visit(&from.ConfigMapKeyRef.Name, isTrue(from.ConfigMapKeyRef.Optional))
		}
	}
}

func bindingsOf(app *v1alpha1.ScalableApp) Bindings {
	var b Bindings
	if s := app.Spec.Sessions; s != nil {
		b.Sessions = s.External == nil
		b.SessionsSecret = secretOf(s.External)
	}
	if c := app.Spec.Cache; c != nil {
		b.Cache = c.External == nil
		b.CacheSecret = secretOf(c.External)
	}
	if db := app.Spec.Database; db != nil {
		b.Database = db.Postgres != nil
		b.Pooler = db.Postgres != nil && db.Postgres.Pooler != nil
		if db.External != nil {
			b.ExternalSecret = db.External.SecretName
		}
	}
	return b
}

func secretOf(external *v1alpha1.ExternalServiceSpec) string {
	if external == nil {
		return ""
	}
	return external.SecretName
}

// The defaults of the fields of spec.app, as the CRD's schema has them. A default that a later
// version of the CRD adds gets its line in both functions below: then an app that never set the
// field keeps its hash.
const (
	defaultPort             = 8080
	defaultMetricsPath      = "/metrics"
	defaultMigrationTimeout = 300
)

func withoutDefaults(app *v1alpha1.AppSpec) {
	app.Replicas = nil
	if app.Port != nil && *app.Port == defaultPort {
		app.Port = nil
	}
	if app.Metrics != nil && app.Metrics.Path == defaultMetricsPath {
		app.Metrics.Path = ""
	}
	if m := app.Migration; m != nil {
		if m.TimeoutSeconds != nil && *m.TimeoutSeconds == defaultMigrationTimeout {
			m.TimeoutSeconds = nil
		}
		if m.RollbackSafe == v1alpha1.RollbackSafeYes {
			m.RollbackSafe = ""
		}
	}
}

func withDefaults(app *v1alpha1.AppSpec) {
	if app.Port == nil {
		app.Port = new(int32(defaultPort))
	}
	if app.Metrics != nil && app.Metrics.Path == "" {
		app.Metrics.Path = defaultMetricsPath
	}
	if m := app.Migration; m != nil {
		if m.TimeoutSeconds == nil {
			m.TimeoutSeconds = new(int32(defaultMigrationTimeout))
		}
		if m.RollbackSafe == "" {
			m.RollbackSafe = v1alpha1.RollbackSafeYes
		}
	}
}

// canonical is JSON with sorted keys and without anything empty, so that it depends on what the user
// wrote and not on how a version of a Go struct happens to be written: `resources: {}`, `env: []` and
// leaving both out are the same.
func canonical(inputs Inputs) ([]byte, error) {
	raw, err := json.Marshal(inputs)
	if err != nil {
		return nil, err
	}
	var tree any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	return json.Marshal(withoutEmpty(tree))
}

func withoutEmpty(tree any) any {
	object, ok := tree.(map[string]any)
	if !ok {
		return tree // lists keep all their elements: an empty string among arguments is an argument
	}
	for key, value := range object {
		if key == "podTemplate" {
			continue // the user's own patch: there, null and {} mean something
		}
		value = withoutEmpty(value)
		if key != "metrics" && isEmpty(value) { // metrics: {} says that there are some
			delete(object, key)
			continue
		}
		object[key] = value
	}
	return object
}

func isEmpty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	default:
		return false
	}
}

// hash is 10 characters of the sha256 in an alphabet without vowels (no words by accident): 27^10
// values, so that two revisions of an app meet by chance once in 10^14.
func hash(data []byte) string {
	const alphabet = "bcdfghjklmnpqrstvwxz2456789"
	sum := sha256.Sum256(data)
	n := new(big.Int).SetBytes(sum[:])
	base, digit := big.NewInt(int64(len(alphabet))), new(big.Int)
	var out strings.Builder
	for range 10 {
		n.DivMod(n, base, digit)
		out.WriteByte(alphabet[digit.Int64()])
	}
	return out.String()
}

// Number is the number of a new revision: one more than any before it.
func Number(known []*appsv1.ControllerRevision, status v1alpha1.RolloutStatus) int64 {
	var highest int64
	for _, r := range known {
		highest = max(highest, r.Revision)
	}
	for _, r := range []*v1alpha1.RevisionStatus{status.Stable, status.Candidate} {
		if r != nil {
			highest = max(highest, r.Number)
		}
	}
	return highest + 1
}
