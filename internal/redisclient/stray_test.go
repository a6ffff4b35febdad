package redisclient

import (
	"errors"
	"testing"
)

// A master that is back as a replica is still led to for a moment, until every node's proxy has followed. Who was led
// there then would stay, and each write would be refused: it is sent away, and comes to the master.
func TestStrayClients(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "")
	master := g.startAll()
	replica := (master + 1) % 3
	for _, node := range []int{master, replica} {
		g.start("role", node)
	}
	g.labelled("the master has the label", master, "master")
	g.labelled("the replica has its own", replica, "replica")
	right, stray := g.reader(master), g.reader(replica)
	g.eventually("the stray client is sent away", func() error {
		if id, err := stray.ClientID(t.Context()).Result(); err == nil && id == stray.id {
			return errors.New("it is there")
		}
		return nil
	})
	right.stays(t)
}
