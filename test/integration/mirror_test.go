package integration

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"sort"
	"strconv"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// mirror is a cache whose lag the test decides: it holds what the API server answered, object by object,
// and shows either the newest or what there was at some earlier time. An informer's cache is the same
// without the choice.
type mirror struct {
	t    testing.TB
	api  client.Client
	mu   sync.Mutex
	now  map[id]client.Object
	past []map[id]client.Object
	// frozen is what readers see while it is not nil.
	frozen map[id]client.Object
}

type id struct {
	kind schema.GroupVersionKind
	key  client.ObjectKey
}

func newMirror(t testing.TB, api client.Client) *mirror {
	return &mirror{t: t, api: api, now: map[id]client.Object{}}
}

// refresh reads an object that was just written.
func (m *mirror) refresh(ctx context.Context, kind schema.GroupVersionKind, key client.ObjectKey) {
	m.t.Helper()
	made, err := m.api.Scheme().New(kind)
	if err != nil {
		m.t.Fatal(err)
	}
	object := made.(client.Object)
	if err = m.api.Get(ctx, key, object); apierrors.IsNotFound(err) {
		object = nil
	} else if err != nil {
		m.t.Fatal(err)
	}
	m.store(kind, key, object)
}

// answered takes in what the API server answered to a write.
func (m *mirror) answered(kind schema.GroupVersionKind, object client.Object) {
	m.t.Helper()
	made, err := m.api.Scheme().New(kind)
	if err != nil {
		m.t.Fatal(err)
	}
	raw, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(raw, made)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.store(kind, client.ObjectKeyFromObject(object), made.(client.Object))
}

// store takes in an object as it is now; nil is none.
func (m *mirror) store(kind schema.GroupVersionKind, key client.ObjectKey, object client.Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := maps.Clone(m.now)
	if object == nil {
		delete(next, id{kind, key})
	} else {
		if has := m.now[id{kind, key}]; has != nil && has.GetUID() == object.GetUID() && older(object, has) {
			return // read before what has been written since
		}
		object.GetObjectKind().SetGroupVersionKind(kind) // clients leave it out
		next[id{kind, key}] = object
	}
	m.past, m.now = append(m.past, m.now), next
}

// older says which of two states of one object was stored first.
func older(a, b client.Object) bool {
	x, errX := strconv.ParseUint(a.GetResourceVersion(), 10, 64)
	y, errY := strconv.ParseUint(b.GetResourceVersion(), 10, 64)
	return errX == nil && errY == nil && x < y
}

// view is a mirror as one operator sees it: as all do, or on its own some writes behind.
type view struct {
	*mirror
	lag int
}

func (m *mirror) view() *view { return &view{mirror: m} }

func (v *view) seen() map[id]client.Object {
	if v.lag == 0 {
		return v.mirror.seen()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.past[max(0, len(v.past)-v.lag)]
}

// freeze shows what there was n writes ago, until thaw.
func (m *mirror) freeze(n int) { m.frozen = m.past[len(m.past)-n] }
func (m *mirror) thaw()        { m.frozen = nil }

func (m *mirror) seen() map[id]client.Object {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.frozen != nil {
		return m.frozen
	}
	return m.now
}

// cached says whether the operator's caches hold an object: its own kind, and what carries its label.
func cached(object client.Object) bool {
	return object.GetObjectKind().GroupVersionKind().Kind == "ScalableApp" || object.GetLabels()[naming.LabelManagedBy] == naming.ManagedBy
}

// children is the view as the manager's cache shows it, config as the cache of metadata does.
func (v *view) children() client.Reader { return mirrorReader{v, cached} }
func (v *view) config() client.Reader {
	return mirrorReader{v, func(client.Object) bool { return true }}
}

type mirrorReader struct {
	*view
	holds func(client.Object) bool
}

func (r mirrorReader) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	kind, err := apiutil.GVKForObject(into, r.api.Scheme())
	if err != nil {
		return err
	}
	found := r.seen()[id{kind, key}]
	if found == nil || !r.holds(found) {
		return apierrors.NewNotFound(schema.GroupResource{Group: kind.Group, Resource: kind.Kind}, key.Name)
	}
	if partial, ok := into.(*metav1.PartialObjectMetadata); ok {
		partial.Name, partial.Namespace = found.GetName(), found.GetNamespace()
		partial.UID, partial.ResourceVersion = found.GetUID(), found.GetResourceVersion()
		return nil
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(found.DeepCopyObject()).Elem())
	return nil
}

func (r mirrorReader) List(_ context.Context, into client.ObjectList, options ...client.ListOption) error {
	o := client.ListOptions{}
	o.ApplyOptions(options)
	if o.FieldSelector != nil {
		return errors.New("the mirror has no field indexes")
	}
	kind, err := apiutil.GVKForObject(into, r.api.Scheme())
	if err != nil {
		return err
	}
	kind.Kind = kind.Kind[:len(kind.Kind)-len("List")]
	var items []runtime.Object
	for i, object := range r.seen() {
		if i.kind == kind && r.holds(object) && (o.Namespace == "" || o.Namespace == i.key.Namespace) &&
			(o.LabelSelector == nil || o.LabelSelector.Matches(labels.Set(object.GetLabels()))) {
			items = append(items, object.DeepCopyObject())
		}
	}
	sort.Slice(items, func(a, b int) bool { return items[a].(client.Object).GetName() < items[b].(client.Object).GetName() })
	return meta.SetList(into, items)
}

// all are the objects of a type as they are, whatever readers are shown.
func all[T any, P interface {
	*T
	client.Object
}](m *mirror) []P {
	var out []P
	m.mu.Lock()
	now := m.now
	m.mu.Unlock()
	for _, object := range now {
		if o, ok := object.(P); ok {
			out = append(out, o.DeepCopyObject().(P))
		}
	}
	sort.Slice(out, func(a, b int) bool { return out[a].GetName() < out[b].GetName() })
	return out
}
