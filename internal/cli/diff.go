package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// change is a field that differs between two objects; from and to are nil where there is none.
type change struct {
	path     string
	from, to any
}

// differences are the fields that differ between two values, by their JSON, in the order of their paths.
// Elements of lists are told apart by their names, where they have some.
func differences(from, to any) ([]change, error) {
	a, err := asTree(from)
	if err != nil {
		return nil, err
	}
	b, err := asTree(to)
	if err != nil {
		return nil, err
	}
	var out []change
	walk("", a, b, &out)
	return out, nil
}

// asTree is a value as plain maps and lists.
func asTree(value any) (any, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var tree any
	return tree, json.Unmarshal(raw, &tree)
}

func walk(path string, a, b any, out *[]change) {
	if reflect.DeepEqual(a, b) {
		return
	}
	before, after := children(orEmpty(a, b)), children(orEmpty(b, a))
	// What is new or gone as a whole is one change, not one for each of its fields.
	if before == nil || after == nil { // one of them has no parts
		*out = append(*out, change{strings.TrimPrefix(path, "."), a, b})
		return
	}
	keys := slices.Sorted(maps.Keys(before))
	for key := range after {
		if _, both := before[key]; !both {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		walk(path+key, before[key], after[key], out)
	}
}

// orEmpty is a value, or an empty list where there is none beside a list of named things: then each of
// them is new or gone.
func orEmpty(value, other any) any {
	list, ok := other.([]any)
	if value == nil && ok && len(list) > 0 && nameIn(list[0], "") != "" {
		return []any{}
	}
	return value
}

// children are the parts of a value by the piece of path that leads to each; nil if it has none.
func children(value any) map[string]any {
	out := map[string]any{}
	switch v := value.(type) {
	case map[string]any:
		for key, part := range v {
			if strings.ContainsAny(key, "./") {
				key = "[" + key + "]"
			} else {
				key = "." + key
			}
			out[key] = part
		}
		return out
	case []any:
		for i, part := range v {
			key := "[" + nameIn(part, strconv.Itoa(i)) + "]"
			if _, twice := out[key]; twice {
				key = fmt.Sprintf("[%d]", i)
			}
			out[key] = part
		}
		return out
	default:
		return nil
	}
}

// nameIn is what tells an element of a list from the others.
func nameIn(part any, otherwise string) string {
	object, ok := part.(map[string]any)
	if !ok {
		return otherwise
	}
	for _, key := range []string{"name", "mountPath", "uid", "ip"} {
		if name, ok := object[key].(string); ok && name != "" {
			return name
		}
	}
	return otherwise
}

// words say what has changed about a field. Values are shown only where they cannot be a secret.
func (c change) words(kind string) string {
	hidden := secret(kind, c.path)
	switch {
	case c.from == nil:
		return c.path + ": added" + shownValue(" ", c.to, hidden)
	case c.to == nil:
		return c.path + ": removed" + shownValue(" ", c.from, hidden)
	case hidden || !scalar(c.from) || !scalar(c.to):
		return c.path + ": changed"
	default:
		return fmt.Sprintf("%s: %s → %s", c.path, text(c.from), text(c.to))
	}
}

func shownValue(before string, value any, hidden bool) string {
	if hidden || !scalar(value) {
		return ""
	}
	return before + text(value)
}

func scalar(value any) bool {
	switch value.(type) {
	case string, float64, bool:
		return true
	default:
		return false
	}
}

func text(value any) string {
	switch v := value.(type) {
	case string:
		if v == "" {
			return `""`
		}
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// secret says whether the value of a field may be a secret: what Secrets and ConfigMaps hold, and what
// containers are given, which people fill with passwords although there is a better place.
func secret(kind, path string) bool {
	if kind == "Secret" || kind == "ConfigMap" || kind == "ControllerRevision" {
		return !strings.HasPrefix(path, "metadata.")
	}
	for _, part := range []string{".env[", "command[", "args[", ".podTemplate", "annotations["} {
		if strings.Contains("."+path, part) {
			return true
		}
	}
	return false
}
