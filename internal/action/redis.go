package action

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"
)

// HandOverRedis has the master of a Redis hand over to a replica that has all it has.
type HandOverRedis struct {
	// Name is the StatefulSet's, and the master's name among the Sentinels.
	Name string
	// Pod is the master's. Another pod is left alone.
	Pod string
	// Members and Sentinels are the addresses (HOST:PORT) by the pod's name.
	Members, Sentinels map[string]string
	// Secret holds the password of the Sentinels' user.
	Secret string
	// Why says in words what for.
	Why string
}

func (a HandOverRedis) String() string {
	return fmt.Sprintf("hand over from %s, master of %s: %s", a.Pod, a.Name, a.Why)
}

// OrphanStatefulSet deletes a StatefulSet and leaves its pods and volumes, so that it can be made anew with what
// cannot be changed on a live one. The UID and the version keep it from hitting one that was not seen.
type OrphanStatefulSet struct {
	Name            string
	UID             types.UID
	ResourceVersion string
	// Why says in words what for.
	Why string
}

func (a OrphanStatefulSet) String() string {
	return fmt.Sprintf("delete statefulset %s without its pods: %s", a.Name, a.Why)
}
