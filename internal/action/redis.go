package action

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// HandOverRedis has the master of a Redis hand over to a replica that has all it has.
type HandOverRedis struct {
	// Name is the StatefulSet's, and the master's name among the Sentinels.
	Name string
	// Pod is the master's. Another pod is left alone.
	Pod string
	// Members and Sentinels are the addresses (HOST:PORT) by the pod's name.
	Members, Sentinels map[string]string
	// Hosts are the addresses that the members know each other by, by the pod's name.
	Hosts map[string]string
	// Secret holds the password of the Sentinels' user.
	Secret string
	// Why says in words what for.
	Why string
}

func (a HandOverRedis) String() string {
	return fmt.Sprintf("hand over from %s, master of %s: %s", a.Pod, a.Name, a.Why)
}

// LoadRedisUsers has members of a Redis take up their files of users, which have changed.
type LoadRedisUsers struct {
	// Members are their addresses (HOST:PORT) by the pod's name.
	Members map[string]string
	// Monitor is the password of the monitor, who may do that.
	Monitor SecretKey
}

func (a LoadRedisUsers) String() string {
	return "load the users of " + strings.Join(slices.Sorted(maps.Keys(a.Members)), ", ")
}
