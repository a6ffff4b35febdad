// Package action holds what is done to the data tier besides keeping its objects: the values that the core
// decides on and that the edge internal/apply carries out. An action says in words what it does; it is
// carried out after the status is stored and the objects are written, and it must be safe to carry out
// twice, because a pass may be cut short.
package action

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"
)

// Action is one thing to do. String is the line in the plan, the log and the golden file.
type Action interface{ fmt.Stringer }

// DeletePod has a pod's controller make it anew: a restart with the template of now. The UID keeps it from
// hitting the pod that comes next under the same name.
type DeletePod struct {
	Pod string
	UID types.UID
	// Why says in words what for.
	Why string
}

func (a DeletePod) String() string { return fmt.Sprintf("delete pod %s: %s", a.Pod, a.Why) }

// SecretKey is where a password is; an action never holds one.
type SecretKey struct{ Name, Key string }

// PoolerReconnect has the pods of a pooler leave the connections to the database that they have, each as
// soon as its transaction is over. Told is written on the Deployment when all of them have heard it.
type PoolerReconnect struct {
	// Pooler is the Deployment.
	Pooler string
	UID    types.UID
	// Addresses are the consoles of its pods, as HOST:PORT.
	Addresses   []string
	Credentials SecretKey
	// Told is where the database's roles are, in words.
	Told string
}

func (a PoolerReconnect) String() string {
	return fmt.Sprintf("reconnect pooler %s (%d pods): %s", a.Pooler, len(a.Addresses), a.Told)
}
