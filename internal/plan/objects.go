package plan

import (
	"errors"
	"slices"
	"strings"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/rollout"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

var errNoRecord = errors.New("the revision has no ControllerRevision")

// objects are the children as they shall be. The order is that of need: what others refer to comes
// first, and pods of the app come last.
func (b *builder) objects() []components.Object {
	var objects []components.Object
	for _, part := range []func(components.Input) []components.Object{
		components.Credentials,
		components.Certificates,
		components.NetworkPolicies, // before the pods that they protect
		components.Postgres,
		components.Pooler,
		components.Backup,
		components.Redis,
		components.Bindings,
		components.App,
		components.Autoscaler,
	} {
		objects = append(objects, part(b.in)...)
	}
	if b.shifting() {
		for i := range objects {
			id := Identify(objects[i])
			if id.Kind == "StatefulSet" || id.Kind == "Deployment" && id.Component == naming.ComponentPooler {
				objects[i].Mode = components.Created // the data tier is not changed while traffic moves
			}
		}
	}
	if b.unfit() {
		objects = b.withoutDatabase(objects)
	}
	return append(objects, b.revisionObjects()...)
}

// shifting says whether traffic moves from one revision to another.
func (b *builder) shifting() bool {
	s := b.decision.Status
	return s.Stable != nil && s.Candidate != nil && s.Failure == nil && s.Step > 0 && s.Stage == v1alpha1.StageProgressing &&
		b.seen.Deployment(s.Candidate.Revision) != nil
}

// revisionObjects are the children of the revisions that have a part in the rollout.
func (b *builder) revisionObjects() []components.Object {
	var objects []components.Object
	if b.targetErr == nil && b.decision.Status.Stage != v1alpha1.StageWaiting {
		if record, err := components.Record(b.in, b.target, b.number(), b.marks()); err == nil {
			objects = append(objects, record)
		}
	}
	if b.decision.Migrate && !b.neverRan() {
		objects = append(objects, components.Migration(b.in, b.target, b.decision.Status.Attempt)...)
	}
	objects = append(objects, b.gateJobs()...)
	for _, size := range b.shrinkingFirst() {
		r, err := b.revisionOf(size.Revision)
		if err != nil {
			continue // its record is unreadable; its Deployment is left as it is
		}
		if size.Replicas == 0 && !b.live(size.Revision) && b.gone(size.Revision) {
			continue // nothing of it runs: it is deleted
		}
		size.Replicas = b.patient(size)
		objects = append(objects, b.guarded(size, components.Revision(b.in, r, size.Replicas))...)
	}
	return objects
}

// patient is the size of a Deployment, but not less than it has while the controller of another one has not
// taken up that one's newest size. A Deployment that was shrunk and is to grow again still seems to have all
// its pods while one of them is about to be deleted; whoever counts on that pod serves with one too few. The
// controller's word comes within milliseconds, and with it the next pass.
func (b *builder) patient(size rollout.Size) int32 {
	d := b.seen.Deployment(size.Revision)
	if d == nil || d.Spec.Replicas == nil || *d.Spec.Replicas <= size.Replicas {
		return size.Replicas
	}
	for _, other := range b.seen.Deployments {
		if other.Name != d.Name && other.Status.ObservedGeneration < other.Generation {
			return *d.Spec.Replicas
		}
	}
	return size.Replicas
}

// guarded lets a Deployment be written only if it is as it was seen. Where it has to give pods away, the
// others must be, too: what it may give is reckoned from the whole view, and when a part of that is old this
// part tells.
func (b *builder) guarded(size rollout.Size, parts []components.Object) []components.Object {
	d := b.seen.Deployment(size.Revision)
	var witnesses []components.Witness
	if d != nil && d.Spec.Replicas != nil && *d.Spec.Replicas > size.Replicas {
		witnesses = append(witnesses, components.Decided(b.in))
		for _, other := range b.seen.Deployments {
			if other.Name != d.Name {
				witnesses = append(witnesses, components.Witness{Name: other.Name, ResourceVersion: other.ResourceVersion})
			}
		}
	}
	for i := range parts {
		switch {
		case Identify(parts[i]).Kind != "Deployment":
		case d == nil:
			parts[i].IfNew = true
		default:
			parts[i].IfVersion, parts[i].Witnesses = d.ResourceVersion, witnesses
		}
	}
	return parts
}

// shrinkingFirst are the sizes, those that take pods away before those that add some: a Deployment that
// was written in the same pass is no longer as it was seen.
func (b *builder) shrinkingFirst() []rollout.Size {
	shrinks := func(size rollout.Size) bool {
		d := b.seen.Deployment(size.Revision)
		return d != nil && d.Spec.Replicas != nil && *d.Spec.Replicas > size.Replicas
	}
	sizes := slices.Clone(b.decision.Sizes)
	slices.SortStableFunc(sizes, func(x, y rollout.Size) int {
		switch {
		case shrinks(x) && !shrinks(y):
			return -1
		case !shrinks(x) && shrinks(y):
			return 1
		default:
			return 0
		}
	})
	return sizes
}

func (b *builder) revisionOf(name string) (revision.Revision, error) {
	if b.targetErr == nil && name == b.target.Name {
		return b.target, nil
	}
	stored := b.seen.Revision(name)
	if stored == nil {
		return revision.Revision{}, errNoRecord
	}
	r, err := revision.Stored(stored)
	if err != nil {
		return r, err
	}
	return components.Template(b.in, r)
}

// deletions are the children that no object stands for any more.
func (b *builder) deletions(objects []components.Object) []state.Child {
	wanted := b.kept()
	for _, o := range objects {
		id := Identify(o)
		wanted[id.Kind+"/"+id.Name] = true
	}
	stale := map[string]bool{}
	for _, name := range components.StaleRecords(b.in) {
		stale["ConfigMap/"+name] = true
	}
	forgotten, bound := b.forgotten(), b.bound()
	bound[naming.ComponentPooler] = bound[naming.ComponentPooler] && b.boundPooler(objects)
	if b.unfit() {
		bound[naming.ComponentDatabase], bound[naming.ComponentPooler] = true, true
	}
	var deletions []state.Child
	for _, child := range b.seen.Children {
		switch {
		case stale[child.Kind+"/"+child.Name]:
			deletions = append(deletions, child)
		case child.Kind == "Job" && child.Name == naming.Migration(b.target.Name) && b.neverRan():
			deletions = append(deletions, child)
		case child.Kind == "Job" && (b.outdated(b.seen.Job(child.Name)) || b.gateOutdated(child.Name)):
			deletions = append(deletions, child)
		case !child.Owned || wanted[child.Kind+"/"+child.Name]:
		case bound[strings.TrimSuffix(child.Component, "-sentinel")]: // the spec has dropped it, but a revision that uses it still runs
		case child.Kind == "ControllerRevision" && !forgotten[child.Name]:
		case child.Kind != "ControllerRevision" && child.Revision != "" && (b.live(child.Revision) || !b.gone(child.Revision)):
			// Whatever happens, nothing that a running pod uses is deleted.
		default:
			deletions = append(deletions, child)
		}
	}
	return deletions
}

// bound are the components of the data tier that the target or a revision that still runs was bound to.
func (b *builder) bound() map[string]bool {
	bound := map[string]bool{}
	add := func(to revision.Bindings) {
		bound[naming.ComponentDatabase] = bound[naming.ComponentDatabase] || to.Database
		bound[naming.ComponentPooler] = bound[naming.ComponentPooler] || to.Pooler
		bound[naming.ComponentSessions] = bound[naming.ComponentSessions] || to.Sessions
		bound[naming.ComponentCache] = bound[naming.ComponentCache] || to.Cache
	}
	add(b.target.Inputs.Bindings)
	for _, d := range b.seen.Deployments {
		if b.ceased(d) {
			continue
		}
		if r, err := b.revisionOf(d.Name); err == nil {
			add(r.Inputs.Bindings)
		} else {
			add(revision.Bindings{Database: true, Pooler: true, Sessions: true, Cache: true}) // nobody knows
		}
	}
	return bound
}

// kept are the children, by KIND/NAME, that are made once and then named by no object, but wanted.
func (b *builder) kept() map[string]bool {
	kept := map[string]bool{}
	keep := func(kind, name string) { kept[kind+"/"+name] = true }
	if b.app.Spec.Database != nil && b.app.Spec.Database.Postgres != nil {
		keep("Secret", naming.DatabaseCredentials(b.app))
		keep("Secret", naming.DatabaseBinding(b.app))
		keep("Secret", naming.DatabaseAuthority(b.app))
		keep("Secret", naming.DatabaseTLS(b.app))
		keep("Secret", naming.BackupTLS(b.app))
		for _, record := range naming.PatroniRecords(b.app) {
			keep("ConfigMap", record)
		}
	}
	for _, name := range components.RedisNames(b.in) {
		keep("Secret", naming.RedisCredentials(name))
		keep("Secret", naming.RedisReplication(name))
		keep("Secret", naming.RedisBinding(name))
		keep("Secret", naming.RedisUsers(name))
	}
	return kept
}
