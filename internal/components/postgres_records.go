package components

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// The values of naming.AnnotationBootstrap.
const (
	bootstrapAllowed   = "Allowed"
	bootstrapForbidden = "Forbidden"
)

// The annotations in which Patroni keeps its state on the -config record.
const (
	// RecordInitialize is the identity of the database; "" while a member makes it.
	RecordInitialize = "initialize"
	recordConfig     = "config"
)

// bootstrapMode decides whether patroni.yml has the section bootstrap, without which no member can
// make a new, empty database. It is there for the first start of a new database only: on kept volumes a
// member with an empty volume could else win the race, and the member with the data would refuse to
// join what it made ("system ID mismatch").
//
// The decision is taken once and then read back from the ConfigMap, because what it was taken from
// changes under a first start: volumes appear and are bound.
func bootstrapMode(in Input) string {
	if DatabaseInitialized(in) {
		return bootstrapForbidden
	}
	if config := in.Observed.ConfigMap(naming.DatabaseConfig(in.App)); config != nil {
		if mode := config.Annotations[naming.AnnotationBootstrap]; mode != "" {
			return mode
		}
	}
	if liveRecord(in, databaseRecord(in)) == nil && len(keptVolumes(in)) > 0 {
		return bootstrapForbidden
	}
	// With a record that has no initialize key, an earlier first start did not come to its end.
	return bootstrapAllowed
}

func databaseRecord(in Input) string { return naming.PatroniRecords(in.App)[0] }

// DatabaseInitialized says whether Patroni's record names a database.
func DatabaseInitialized(in Input) bool {
	record := liveRecord(in, databaseRecord(in))
	return record != nil && record.Annotations[RecordInitialize] != ""
}

// FirstStart is Patroni's record while a member makes the database, and when it said so; nil if none does.
func FirstStart(in Input) (record *corev1.ConfigMap, since time.Time) {
	record = liveRecord(in, databaseRecord(in))
	if record == nil {
		return nil, time.Time{}
	}
	if identity, begun := record.Annotations[RecordInitialize]; !begun || identity != "" {
		return nil, time.Time{}
	}
	for _, entry := range record.ManagedFields {
		if entry.Time != nil && entry.FieldsV1 != nil && strings.Contains(entry.FieldsV1.GetRawString(), `"f:`+RecordInitialize+`"`) {
			return record, entry.Time.Time
		}
	}
	return nil, time.Time{}
}

// liveRecord is one of Patroni's records, or nil if there is none or if it is stale.
func liveRecord(in Input, name string) *corev1.ConfigMap {
	record := in.Observed.ConfigMap(name)
	if record == nil || (record.CreationTimestamp.Before(&in.App.CreationTimestamp) && len(keptVolumes(in)) == 0) {
		return nil
	}
	return record
}

// StaleRecords are the records of an earlier app of this name whose volumes are gone: Patroni's last
// breath can write one after the garbage collector has passed. A stale initialize key would hang the
// new database, which waits for a member that has the data; so they must go.
func StaleRecords(in Input) []string {
	if !wantsPostgres(in.App) {
		return nil
	}
	var stale []string
	for _, name := range naming.PatroniRecords(in.App) {
		if in.Observed.ConfigMap(name) != nil && liveRecord(in, name) == nil {
			stale = append(stale, name)
		}
	}
	return stale
}

// keptVolumes are the database's volumes from before the app: those of an earlier app of its name. A
// claim that was never bound holds nothing.
func keptVolumes(in Input) []*corev1.PersistentVolumeClaim {
	var kept []*corev1.PersistentVolumeClaim
	for _, claim := range DatabaseVolumes(in) {
		if claim.CreationTimestamp.Before(&in.App.CreationTimestamp) && claim.Status.Phase != corev1.ClaimPending {
			kept = append(kept, claim)
		}
	}
	return kept
}

// DatabaseVolumes are the claims that the StatefulSet makes or takes up: data-NAME-N.
func DatabaseVolumes(in Input) []*corev1.PersistentVolumeClaim {
	return VolumesOf(in.Observed.Volumes, naming.Database(in.App))
}

// patroniRecords adopts the ConfigMaps that Patroni makes: the app owns them, and so do the volumes.
// Kubernetes collects an object when the last of its owners is gone, so the records live as long as
// there is data that they tell of:
//   - When the volumes go with the app the records go too, after the last pod, which else would write
//     them anew. A stale initialize key would hang a new database of the same name.
//   - When the volumes are kept, -sync still says which members have all that was acknowledged. Without
//     it, a replica that had fallen behind and happens to start first would become the primary.
//
// The dynamic configuration is kept as the spec wants it, as a PATCH of Patroni's /config would do; on
// kept volumes it would else stay that of the earlier app, its durability included. Not before Patroni
// has finished the first start, in which it writes the record itself.
func patroniRecords(in Input) []Object {
	var objects []Object
	for _, name := range naming.PatroniRecords(in.App) {
		if liveRecord(in, name) == nil {
			continue
		}
		record := corev1ac.ConfigMap(name, in.App.Namespace).
			WithLabels(labels(in.App, naming.ComponentDatabase)).
			WithOwnerReferences(owner(in.App))
		for _, claim := range DatabaseVolumes(in) {
			record.WithOwnerReferences(metav1ac.OwnerReference().
				WithAPIVersion("v1").WithKind("PersistentVolumeClaim").WithName(claim.Name).WithUID(claim.UID))
		}
		if name == databaseRecord(in) && DatabaseInitialized(in) {
			record.WithAnnotations(map[string]string{recordConfig: dynamicConfigJSON(in.App.Spec.Database.Postgres)})
		}
		objects = append(objects, Object{Intent: record})
	}
	return objects
}
