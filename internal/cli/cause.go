package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/scalableapp/scalableapp-operator/internal/revision"
)

// annotationRestart is the annotation by which kubectl restarts a workload; ours is the same one.
const annotationRestart = "kubectl.kubernetes.io/restartedAt"

// causes say in words what makes a revision another than the one before.
func causes(before, after revision.Inputs) ([]string, error) {
	changes, err := differences(withoutRestart(before).App, withoutRestart(after).App)
	if err != nil {
		return nil, err
	}
	// The image first: it is what people look for.
	slices.SortStableFunc(changes, func(a, b change) int { return boolToInt(b.path == "image") - boolToInt(a.path == "image") })
	var words []string
	say := func(format string, args ...any) {
		// One field of several parts (a probe, a command) is said once.
		if text := fmt.Sprintf(format, args...); !slices.Contains(words, text) {
			words = append(words, text)
		}
	}
	for _, c := range changes {
		say("%s", cause(c))
	}
	if at := restartOf(after); at != "" && at != restartOf(before) {
		say("restarted %s", at)
	}
	for _, text := range configCauses(before.Config, after.Config) {
		say("%s", text)
	}
	bound, err := differences(before.Bindings, after.Bindings)
	if err != nil {
		return nil, err
	}
	for _, c := range bound {
		switch {
		case c.path == "rotation":
			say("passwords rotated (%s)", after.Bindings.Rotation)
		case c.path == "externalSecret":
			say("external database %s", c.words("")[len(c.path)+2:])
		case c.from == nil:
			say("%s bound", c.path)
		default:
			say("%s unbound", c.path)
		}
	}
	return words, nil
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// cause says what has changed about a field of spec.app.
func cause(c change) string {
	top, _, _ := strings.Cut(c.path, ".")
	list, name, isList := strings.Cut(top, "[")
	name = strings.TrimSuffix(name, "]")
	verb := "changed"
	switch {
	case c.from == nil:
		verb = "added"
	case c.to == nil:
		verb = "removed"
	}
	switch {
	case c.path == "image":
		return fmt.Sprintf("image %s → %s", text(c.from), text(c.to))
	case list == "env" && isList:
		if top != c.path {
			verb = "changed" // a part of the variable is new or gone
		}
		return fmt.Sprintf("env %s %s", name, verb)
	case isList: // command, args, envFrom, imagePullSecrets: the whole says enough
		return list + " changed"
	default:
		return strings.Replace(c.words(""), ":", "", 1)
	}
}

func configCauses(before, after []revision.Config) []string {
	var words []string
	for _, c := range after {
		i := slices.IndexFunc(before, func(b revision.Config) bool { return b.Name == c.Name })
		if i < 0 {
			words = append(words, fmt.Sprintf("config %s added", c.Name))
			continue
		}
		keys := changedKeys(before[i], c)
		if len(keys) > 0 {
			words = append(words, fmt.Sprintf("config %s changed (%s)", c.Name, strings.Join(keys, ", ")))
		}
	}
	for _, b := range before {
		if !slices.ContainsFunc(after, func(c revision.Config) bool { return c.Name == b.Name }) {
			words = append(words, fmt.Sprintf("config %s removed", b.Name))
		}
	}
	return words
}

func changedKeys(before, after revision.Config) []string {
	keys := map[string]bool{}
	for key := range before.Data {
		keys[key] = true
	}
	for key := range after.Data {
		keys[key] = true
	}
	for key := range before.BinaryData {
		keys[key] = true
	}
	for key := range after.BinaryData {
		keys[key] = true
	}
	var changed []string
	for key := range keys {
		a, inA := before.Data[key]
		b, inB := after.Data[key]
		x, inX := before.BinaryData[key]
		y, inY := after.BinaryData[key]
		if a != b || inA != inB || inX != inY || string(x) != string(y) {
			changed = append(changed, key)
		}
	}
	slices.Sort(changed)
	return changed
}

// onlyRestarted says whether two revisions differ in nothing but a restart.
func onlyRestarted(a, b revision.Inputs) bool {
	return sameInputs(withoutRestart(a), withoutRestart(b))
}

func sameInputs(a, b revision.Inputs) bool {
	changes, err := differences(a, b)
	return err == nil && len(changes) == 0
}

// restartOf is when a revision was last restarted, or empty.
func restartOf(in revision.Inputs) string {
	var template struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if in.App.PodTemplate == nil || json.Unmarshal(in.App.PodTemplate.Raw, &template) != nil {
		return ""
	}
	return template.Metadata.Annotations[annotationRestart]
}

// withoutRestart are the inputs as if there had never been a restart, nor a rotation of passwords, which is one.
func withoutRestart(in revision.Inputs) revision.Inputs {
	in.Bindings.Rotation = ""
	if restartOf(in) == "" {
		return in
	}
	var template map[string]any
	if err := json.Unmarshal(in.App.PodTemplate.Raw, &template); err != nil {
		return in
	}
	metadata, _ := template["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	delete(annotations, annotationRestart)
	if len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	if len(metadata) == 0 {
		delete(template, "metadata")
	}
	in.App.PodTemplate = nil
	if raw, err := json.Marshal(template); err == nil && len(template) > 0 {
		in.App.PodTemplate = &apiextensionsv1.JSON{Raw: raw}
	}
	return in
}
