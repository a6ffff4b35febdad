package apply

import (
	"encoding/base64"
	"maps"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// same says whether the live object is as the intent wants it: every field of the intent has its
// value, and nothing that was wanted before and no longer is can be left (the annotation with the
// intent's hash tells).
//
// Fields that the intent does not name belong to others: the API server's defaults, or a second
// manager. In lists whose elements have a name, others may have added elements; all other lists must
// be equal in length. What leads traffic is nobody else's: see whole.
func same(intent, live *unstructured.Unstructured) bool {
	want := intent.Object
	if stringData, found := want["stringData"].(map[string]any); found {
		want = asData(want, stringData)
	}
	delete(live.Object, "status")
	return within(without(want, "apiVersion", "kind"), live.Object)
}

// asData is a Secret's intent with stringData as the API server stores it: in data, in base64.
func asData(secret, stringData map[string]any) map[string]any {
	out := without(secret, "stringData")
	data := map[string]any{}
	if have, ok := out["data"].(map[string]any); ok {
		maps.Copy(data, have)
	}
	for key, value := range stringData {
		text, _ := value.(string)
		data[key] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	out["data"] = data
	return out
}

func without(object map[string]any, keys ...string) map[string]any {
	out := make(map[string]any, len(object))
	maps.Copy(out, object)
	for _, key := range keys {
		delete(out, key)
	}
	return out
}

// inBoth is the intent as it is stored, without the zero values that are not: `hostNetwork: false` is
// stored as nothing, `allowPrivilegeEscalation: false` is not. And without what storing adds.
func inBoth(intent, stored any) any {
	switch s := stored.(type) {
	case map[string]any:
		i, ok := intent.(map[string]any)
		if !ok {
			return stored
		}
		out := map[string]any{}
		for key, value := range i {
			if kept, found := s[key]; found {
				out[key] = inBoth(value, kept)
			}
		}
		return out
	case []any:
		i, ok := intent.([]any)
		if !ok || len(i) != len(s) {
			return stored
		}
		out := make([]any, len(s))
		for n := range s {
			out[n] = inBoth(i[n], s[n])
		}
		return out
	default:
		return stored
	}
}

// whole are the fields that have one owner, by the schema: a label or a destination that somebody has
// added would lead traffic elsewhere.
var whole = []string{"selector", "parentRefs", "backendRefs"}

func length(value any) int {
	switch v := value.(type) {
	case map[string]any:
		return len(v)
	case []any:
		return len(v)
	default:
		return 0
	}
}

// within says whether want is found in have.
func within(want, have any) bool {
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return len(w) == 0 && have == nil // emptyDir: {} may be stored as nothing
		}
		for key, value := range w {
			if !within(value, h[key]) || (slices.Contains(whole, key) && length(value) != length(h[key])) {
				return false
			}
		}
		return true
	case []any:
		h, ok := have.([]any)
		return ok && listWithin(w, h)
	default:
		return scalar(want) == scalar(have)
	}
}

func listWithin(want, have []any) bool {
	if len(want) != len(have) && !named(want) {
		return false
	}
	for i, w := range want {
		if i < len(have) && within(w, have[i]) {
			continue
		}
		if !named(want) || !anyWithin(w, have) {
			return false
		}
	}
	return true
}

func anyWithin(want any, have []any) bool {
	for _, h := range have {
		if within(want, h) {
			return true
		}
	}
	return false
}

// named says whether the elements of a list have names, so that others may add theirs.
func named(list []any) bool {
	for _, element := range list {
		object, ok := element.(map[string]any)
		if !ok {
			return false
		}
		if object["name"] == nil && object["mountPath"] == nil && object["uid"] == nil {
			return false
		}
	}
	return true
}

// scalar makes numbers comparable: JSON gives float64, the converter int64.
func scalar(value any) any {
	switch v := reflect.ValueOf(value); v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return float64(v.Int())
	default:
		return value
	}
}
