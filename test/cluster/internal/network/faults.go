package network

import "fmt"

// Partition unplugs a node: it reaches nothing and nothing reaches it, but it keeps running.
func Partition(number int) error {
	return run(in(ControlPlane, "ip link set "+nodePort(number)+" down"))
}

// Heal plugs a node in again and ends any delay.
func Heal(number int) error {
	if err := run(in(ControlPlane, "ip link set "+nodePort(number)+" up")); err != nil {
		return err
	}
	return Delay(number, 0)
}

// Delay adds milliseconds to every round trip from and to a node, half in each direction; 0 ends it.
func Delay(number, milliseconds int) error {
	for _, link := range []struct{ ns, name string }{{ControlPlane, nodePort(number)}, {Namespace(number), nodeLink}} {
		command := fmt.Sprintf("tc qdisc replace dev %s root netem delay %dus", link.name, milliseconds*500)
		if milliseconds == 0 {
			command = "tc qdisc replace dev " + link.name + " root noqueue"
		}
		if err := run(in(link.ns, command)); err != nil {
			return err
		}
	}
	return nil
}
