// Package state is the snapshot from which the operator decides: what one pass has seen of an app, as
// plain data. Nothing in it is written to; the objects belong to the cache.
package state

import (
	"sort"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// Observed is what one pass has seen. All lists hold only children of the app and are sorted by name.
type Observed struct {
	// Now is the time of the pass.
	Now time.Time
	// Entropy are random bytes, fresh in each pass, from which new credentials are made. 256 bytes.
	Entropy []byte

	// Deployments are those of the app's revisions.
	Deployments []*appsv1.Deployment
	// Poolers are the Deployments of the database's poolers.
	Poolers      []*appsv1.Deployment
	StatefulSets []*appsv1.StatefulSet
	Revisions    []*appsv1.ControllerRevision
	Jobs         []*batchv1.Job
	Pods         []*corev1.Pod
	Secrets      []*corev1.Secret
	ConfigMaps   []*corev1.ConfigMap
	Volumes      []*corev1.PersistentVolumeClaim
	Autoscaler   *autoscalingv2.HorizontalPodAutoscaler
	Services     []*corev1.Service
	Slices       []*discoveryv1.EndpointSlice
	// Route is the app's HTTPRoute.
	Route *gatewayv1.HTTPRoute
	// Gateways is what there is of the Gateways that the spec names.
	Gateways Gateways
	// Gates are the samples that were taken in this pass, by the gate's name. Only gates that were due
	// have one.
	Gates map[string]Sample

	// LeaderRenewed is when the newest renewal of Patroni's leader record was first seen; zero if nobody knows.
	LeaderRenewed time.Time

	// Parameters is what PostgreSQL says of settings that are to be another now; nil while they are in force, and
	// while there is nobody to ask.
	Parameters *ParameterCheck

	// Config are the user's ConfigMaps that the app refers to, by name; nil where there is none of
	// that name.
	Config map[string]*Config
	// External is the user's Secret of an external database.
	External ExternalSecret
	// BackupStore is the user's Secret of the object store that the backups go to. It is asked for only
	// while the spec names one.
	BackupStore StoreSecret
	// Source is the app that the database is restored from. It is nil when the spec names none and when
	// the database is there already.
	Source *Source
	// ExternalSessions and ExternalCache are those of a session store and a cache that exist already.
	ExternalSessions, ExternalCache ExternalSecret
	// Redis is what the members of a Redis of several and its Sentinels said, by the StatefulSet's name; nil
	// when they were not asked.
	Redis map[string]*RedisGroup
	// StorageClasses are the names of the StorageClasses that the spec names and that exist.
	StorageClasses map[string]bool
	// Warnings is what the cluster says in events of children that cannot come up, by KIND/NAME. It is
	// asked for only while something is missing.
	Warnings map[string]string
	// FixedVolumes is why a volume that is to grow cannot, by the claim's name.
	FixedVolumes map[string]string
	// Children are all objects that belong to the app, of all kinds.
	Children []Child
}

// ParameterCheck is PostgreSQL's word on the wanted settings of the database.
type ParameterCheck struct {
	// Unanswered is why there is no word yet; then the judgement says nothing.
	Unanswered string
	Judgement
}

// Judgement is what PostgreSQL says of settings.
type Judgement struct {
	// Refused are its reasons not to start with them; none means that it would.
	Refused []string
	// SharedMemory is what it would take of shared memory, in bytes; 0 when nobody knows.
	SharedMemory int64
}

// Child is an object that belongs to the app.
type Child struct {
	APIVersion, Kind, Name string
	UID                    types.UID
	ResourceVersion        string
	// Owned says that the app is its controller.
	Owned bool
	// Component is the part of the stack that it belongs to.
	Component string
	// Revision is the revision that it belongs to, or empty.
	Revision string
}

// Config is the content of a ConfigMap.
type Config struct {
	Data       map[string]string
	BinaryData map[string][]byte
}

// ExternalSecret is what was seen of a Secret that the user owns: its keys, never its values.
type ExternalSecret struct {
	Exists bool
	Keys   []string
}

// StoreSecret is the user's Secret of an object store.
type StoreSecret struct {
	Exists                           bool
	AccessKeyID, SecretAccessKey, CA string
}

// Source is an app whose backups another one is restored from.
type Source struct {
	// App is nil if there is no such app.
	App *v1alpha1.ScalableApp
	// Authority is the Secret with its certificate authority, nil if there is none.
	Authority *corev1.Secret
	// Store is the Secret of its object store.
	Store StoreSecret
}

// Gateways is what there is of the Gateways that the spec names. It is asked for only while the spec
// names some.
type Gateways struct {
	// Known says that the cluster knows HTTPRoutes.
	Known bool
	// Missing are those that do not exist, as NAMESPACE/NAME.
	Missing []string
}

// Outcome is what one sample of a gate says.
type Outcome int

// The outcomes.
const (
	// OutcomeInconclusive: nothing can be said; Sample.Reason tells why. The zero Outcome, so that what
	// was forgotten is never a pass.
	OutcomeInconclusive Outcome = iota
	// OutcomeNone: no sample yet, and that is as it should be: a Job that still runs, a first scrape.
	OutcomeNone
	// OutcomeGood: within the limits.
	OutcomeGood
	// OutcomeBad: outside the limits.
	OutcomeBad
	// OutcomeInvalid: the gate cannot be asked at all until the spec changes, for example because its
	// PromQL does not parse.
	OutcomeInvalid
)

// Sample is what a gate's source said once.
type Sample struct {
	Outcome Outcome
	// Value is what was measured and Limit what it is held against, for people.
	Value, Limit string
	// Reason says in words how it came about.
	Reason string
}

// Deployment is the Deployment of that name, or nil.
func (o *Observed) Deployment(name string) *appsv1.Deployment { return find(o.Deployments, name) }

// StatefulSet is the StatefulSet of that name, or nil.
func (o *Observed) StatefulSet(name string) *appsv1.StatefulSet { return find(o.StatefulSets, name) }

// Revision is the ControllerRevision of that name, or nil.
func (o *Observed) Revision(name string) *appsv1.ControllerRevision { return find(o.Revisions, name) }

// Job is the Job of that name, or nil.
func (o *Observed) Job(name string) *batchv1.Job { return find(o.Jobs, name) }

// Service is the Service of that name, or nil.
func (o *Observed) Service(name string) *corev1.Service { return find(o.Services, name) }

// Secret is the Secret of that name, or nil.
func (o *Observed) Secret(name string) *corev1.Secret { return find(o.Secrets, name) }

// ConfigMap is the operator's or Patroni's ConfigMap of that name, or nil.
func (o *Observed) ConfigMap(name string) *corev1.ConfigMap { return find(o.ConfigMaps, name) }

// PodsWith are the pods that carry all the given labels.
func (o *Observed) PodsWith(labels map[string]string) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, pod := range o.Pods {
		if carries(pod.Labels, labels) {
			pods = append(pods, pod)
		}
	}
	return pods
}

func carries(have, want map[string]string) bool {
	for key, value := range want {
		if have[key] != value {
			return false
		}
	}
	return true
}

type named interface{ GetName() string }

// find looks a name up in a list sorted by name.
func find[T named](list []T, name string) T {
	i := sort.Search(len(list), func(i int) bool { return list[i].GetName() >= name })
	if i < len(list) && list[i].GetName() == name {
		return list[i]
	}
	var none T
	return none
}

// SortByName sorts a list as Observed wants it.
func SortByName[T named](list []T) {
	sort.Slice(list, func(i, j int) bool { return list[i].GetName() < list[j].GetName() })
}
