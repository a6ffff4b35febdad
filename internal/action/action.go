// Package action holds what is done to the data tier besides keeping its objects: the values that the core
// decides on and that the edge internal/apply carries out. An action says in words what it does; it is
// carried out after the status is stored and the objects are written, and it must be safe to carry out
// twice, because a pass may be cut short.
package action

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
)

// Action is one thing to do. String is the line in the plan, the log and the golden file.
type Action interface{ fmt.Stringer }

// DeletePod has a pod's controller make it anew: a restart with the template of now. The UID keeps it from
// hitting the pod that comes next under the same name.
type DeletePod struct {
	Pod string
	UID types.UID
	// UnlessLeads, when set, is Patroni's leader record: a pod that it names by now is left alone.
	UnlessLeads string
	// AtOnce says that the pod shall end, whatever comes after it. Else it is left alone in a pass in which its
	// StatefulSet could not be written.
	AtOnce bool
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

// TellCredentials has a pod take up passwords that have changed in a Secret that it mounts: an annotation is
// changed, and with that the kubelet looks at once, which it else would do within a minute or two.
type TellCredentials struct {
	Pod string
	UID types.UID
	// Generation is that of the passwords.
	Generation int64
}

func (a TellCredentials) String() string {
	return fmt.Sprintf("tell %s of the passwords of generation %d", a.Pod, a.Generation)
}

// Unlabel takes the label of the primary off a pod that is not the leader. It is done only if Patroni's leader
// record still names another one.
type Unlabel struct {
	Pod string
	UID types.UID
	// Leader is whom the record named.
	Leader string
}

func (a Unlabel) String() string {
	return fmt.Sprintf("take the label of the primary off %s: %s is the leader", a.Pod, a.Leader)
}

// ReleaseLeader takes Patroni's leader record from a member that has ended, so that the others need not wait
// until it runs out.
type ReleaseLeader struct {
	Leader string
	// Record is the ConfigMap with the leader record.
	Record string
	// Renewed is the holder's last renewal that was seen; if there is a newer one the holder lives.
	Renewed string
	// UID is the pod's, or "" if there is none.
	UID types.UID
	// Silent says that nobody saw it end: it is asked first, and left alone if it answers.
	Silent bool
	// Stuck says that its volume does not answer and that its pod was asked to end, which may take until it does.
	Stuck bool
	Why   string
}

func (a ReleaseLeader) String() string {
	return fmt.Sprintf("take the leadership from %s: %s", a.Leader, a.Why)
}

// ForgetFirstStart takes from Patroni's record that a member makes the database: it was killed in the middle of it.
type ForgetFirstStart struct {
	// Record is the ConfigMap, and ResourceVersion is that in which nobody made it.
	Record, ResourceVersion string
}

func (a ForgetFirstStart) String() string {
	return "begin the first start of the database again: who made it was killed"
}

// GrowVolume has a volume claim ask for more.
type GrowVolume struct {
	Claim string
	Size  resource.Quantity
}

func (a GrowVolume) String() string { return fmt.Sprintf("grow %s to %s", a.Claim, a.Size.String()) }

// OrphanSet deletes the StatefulSet of the database and leaves its pods, for it to be made anew.
type OrphanSet struct {
	Name            string
	UID             types.UID
	ResourceVersion string
}

func (a OrphanSet) String() string {
	return fmt.Sprintf("delete StatefulSet %s and leave its pods", a.Name)
}

// Switchover has Patroni hand the leadership over. A pooler in front is paused meanwhile, so that clients wait
// and none fails.
type Switchover struct{ Leader, Candidate, Why string }

func (a Switchover) String() string {
	return fmt.Sprintf("switch over from %s to %s: %s", a.Leader, a.Candidate, a.Why)
}

// ForceFailover has Patroni make a member the primary while nobody leads, with the loss of what it does not hold.
type ForceFailover struct {
	Pod string
	UID types.UID
	// Renewed is the last leader's last renewal that was seen: if there is a newer one somebody leads.
	Renewed string
}

func (a ForceFailover) String() string { return fmt.Sprintf("force %s to take over", a.Pod) }

// ResizePod changes the resources of a running pod to those of its StatefulSet's template.
type ResizePod struct {
	Pod string
	UID types.UID
	// Container is the container, and Resources are what it shall have.
	Container string
	Resources corev1.ResourceRequirements
}

func (a ResizePod) String() string { return "resize pod " + a.Pod }

// RestartPostgres has Patroni restart PostgreSQL in a running pod.
type RestartPostgres struct {
	Pod string
	UID types.UID
	Why string
}

func (a RestartPostgres) String() string {
	return fmt.Sprintf("restart PostgreSQL in %s: %s", a.Pod, a.Why)
}
