// Package rotation decides how credentials are exchanged while they are in use. Of each pair there is one in
// use and one idle: the idle one is made anew and let in everywhere, then it becomes the one in use, and when
// nobody can hold the other any more that one ends. At no time has anybody a password that is refused.
//
// How far a rotation is stands in the Secret that holds the passwords, under the key ROTATION, and is written
// together with them, so that no view can know the one without the other. What was written is looked for in
// the next snapshot: a pass that was cut short is simply made again.
package rotation

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// The credentials that can be rotated, by the names that people give them.
const (
	App         = "app"
	Replication = "replication"
	Superuser   = "superuser"
	Sessions    = "sessions"
	Cache       = "cache"
)

// Names are all of them, in the order in which they are told of.
var Names = []string{App, Replication, Superuser, Sessions, Cache}

// The steps of a rotation. Each is written before what it asks for is done.
const (
	// StepPrepare: the idle one has a new password, and is to be let in everywhere.
	StepPrepare = "Prepare"
	// StepSwitch: the idle one has become the one in use; who logs in shall use it.
	StepSwitch = "Switch"
	// StepRoll: the app's pods are replaced, by a revision that carries the rotation.
	StepRoll = "Roll"
	// StepRetire: the old one's password is gone, and it is to be let in nowhere.
	StepRetire = "Retire"
)

// Record is how far the rotation of one credential is.
type Record struct {
	// Token is the request that is carried out, or was the last.
	Token string `json:"token,omitempty"`
	// Step is where it stands; "" is that none is under way.
	Step string `json:"step,omitempty"`
	// Since is when the step began.
	Since time.Time `json:"since,omitzero"`
	// Second says that the second of the pair is in use.
	Second bool `json:"second,omitempty"`
	// Bound is when the app's binding was seen to name the one that is in use, and Written when that was written,
	// by the API server's clock: it is that of the pods, too.
	Bound   time.Time `json:"bound,omitzero"`
	Written time.Time `json:"written,omitzero"`
	// Taken is the request that the app's revision carries.
	Taken string `json:"taken,omitempty"`
	// Rotated is when the last rotation came to its end.
	Rotated time.Time `json:"rotated,omitzero"`
}

// File is what a Secret holds of the rotations of its passwords.
type File struct {
	// Generation counts the writes that change who may log in. Who carries them out reports the last one.
	Generation int64 `json:"generation,omitempty"`
	// Rotating says that a rotation is under way, so that reports are wanted.
	Rotating bool `json:"rotating,omitempty"`
	// Credentials are the records by name.
	Credentials map[string]Record `json:"credentials,omitempty"`
}

// Key is the key of the Secret under which File is kept.
const Key = "ROTATION"

// Read reads the content of Key; nothing is an empty File.
func Read(raw []byte) (File, error) {
	var f File
	if len(raw) == 0 {
		return f, nil
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return File{}, fmt.Errorf("the key %s cannot be read: %w", Key, err)
	}
	return f, nil
}

// With is the file with another record.
func (f File) With(name string, r Record) File {
	out := File{Generation: f.Generation, Credentials: map[string]Record{}}
	maps.Copy(out.Credentials, f.Credentials)
	if r.Step != f.Credentials[name].Step && slices.Contains([]string{StepPrepare, StepSwitch, StepRetire}, r.Step) {
		out.Generation++
	}
	out.Credentials[name] = r
	for _, have := range out.Credentials {
		out.Rotating = out.Rotating || have.Step != ""
	}
	return out
}

// Bytes are the content of Key.
func (f File) Bytes() []byte {
	raw, err := json.Marshal(f)
	if err != nil {
		panic(fmt.Sprintf("rotation: a file cannot be written: %v", err)) // strings, numbers and times
	}
	return raw
}

// Taken is what a revision of the app carries of the rotations: whose passwords its pods were started for. What
// the app has no more, it carries no more.
func Taken(app *v1alpha1.ScalableApp, taken map[string]string) string {
	var parts []string
	for _, name := range Names {
		if token := taken[name]; token != "" && Impossible(app, name) == nil {
			parts = append(parts, name+"="+token)
		}
	}
	return strings.Join(parts, ",")
}

// Request is what a person asked for: NAME[,NAME…]:TOKEN.
type Request struct {
	Names []string
	Token string
}

var token = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// ParseRequest reads a person's words.
func ParseRequest(text string) (Request, error) {
	names, tok, found := strings.Cut(text, ":")
	form := fmt.Sprintf("write NAME[,NAME]:TOKEN with names out of %s", strings.Join(Names, ", "))
	switch {
	case !found || !token.MatchString(tok):
		return Request{}, fmt.Errorf("%q has no token of letters, digits, dots and dashes; %s", text, form)
	case names == "":
		return Request{}, fmt.Errorf("%q names nothing; %s", text, form)
	}
	r := Request{Token: tok}
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(Names, name) {
			return Request{}, fmt.Errorf("%q is not understood; %s", name, form)
		}
		if !slices.Contains(r.Names, name) {
			r.Names = append(r.Names, name)
		}
	}
	return r, nil
}

// Asks says whether the request is about a credential.
func (r Request) Asks(name string) bool { return slices.Contains(r.Names, name) }

// Impossible says why an app has no credentials of that name that the operator could rotate; nil is that it has.
func Impossible(app *v1alpha1.ScalableApp, name string) error {
	spec := app.Spec
	external, where := false, "spec.database.postgres"
	switch name {
	case App, Replication, Superuser:
		if db := spec.Database; db != nil && db.Postgres != nil {
			return nil
		}
		external = spec.Database != nil
	case Sessions:
		if s := spec.Sessions; s != nil && s.External == nil {
			return nil
		}
		external, where = spec.Sessions != nil, "spec.sessions"
	case Cache:
		if c := spec.Cache; c != nil && c.External == nil {
			return nil
		}
		external, where = spec.Cache != nil, "spec.cache"
	}
	if external {
		return fmt.Errorf("%s cannot be rotated here: the service is external and its passwords are in your Secret; "+
			"change it there and `kubectl scalableapp restart %s`", name, app.Name)
	}
	return fmt.Errorf("%s cannot be rotated: %s has none that the operator runs (%s)", name, app.Name, where)
}
