package controllers

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/scalableapp/scalableapp-operator/internal/database"
)

// renewals watches the clocks of Patroni's leader records. Each leader renews its record every few seconds; a
// pass for each renewal would never let the operator rest, so they are only noted here, and a pass is made when
// one is overdue.
type renewals struct {
	// late takes the records that were not renewed in time.
	late chan event.GenericEvent

	mu      sync.Mutex
	records map[types.NamespacedName]*renewal
}

type renewal struct {
	leader, renewed string
	seen            time.Time
	timer           *time.Timer
}

func newRenewals() *renewals {
	return &renewals{late: make(chan event.GenericEvent, 64), records: map[types.NamespacedName]*renewal{}}
}

// saw notes a record, if the object is one. The time that counts is when a renewal was first seen here: the
// clocks of nodes differ.
func (r *renewals) saw(object client.Object) {
	record, ok := object.(*corev1.ConfigMap)
	if !ok || record.Annotations["renewTime"] == "" {
		return
	}
	key, leader, renewed := client.ObjectKeyFromObject(record), record.Annotations["leader"], record.Annotations["renewTime"]
	r.mu.Lock()
	defer r.mu.Unlock()
	have := r.records[key]
	switch {
	case have == nil:
		have = &renewal{}
		r.records[key] = have
	case have.leader == leader && have.renewed == renewed:
		return
	default:
		have.timer.Stop()
	}
	have.leader, have.renewed, have.seen = leader, renewed, time.Now()
	have.timer = time.AfterFunc(database.SilentFor, func() {
		select {
		case r.late <- event.GenericEvent{Object: record}:
		default: // nobody takes them: an operator that stands by
		}
	})
}

// forget ends the watch of a record.
func (r *renewals) forget(object client.Object) {
	if _, ok := object.(*corev1.ConfigMap); !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := client.ObjectKeyFromObject(object)
	if have := r.records[key]; have != nil {
		have.timer.Stop()
		delete(r.records, key)
	}
}

// Renewed is when the newest renewal of a record was first seen; zero if none was.
func (r *renewals) Renewed(record types.NamespacedName) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if have := r.records[record]; have != nil {
		return have.seen
	}
	return time.Time{}
}
