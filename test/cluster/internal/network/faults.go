package network

import (
	"fmt"
	"os/exec"
	"strings"
)

// DelayQueue is the netfilter queue that delayed packets wait in.
const DelayQueue = 77

// Partition unplugs a node: it reaches nothing and nothing reaches it, but it keeps running.
func Partition(number int) error {
	return run(in(ControlPlane, "ip link set "+nodePort(number)+" down"))
}

// Heal plugs a node in again.
func Heal(number int) error {
	return run(in(ControlPlane, "ip link set "+nodePort(number)+" up"))
}

// QueuePackets sends every packet that enters or leaves a node through the queue. While nobody listens to
// the queue, packets pass.
func QueuePackets(number int) error {
	return run(queueRule(number, "-A", "PREROUTING -i"), queueRule(number, "-A", "POSTROUTING -o"))
}

// PassPackets undoes QueuePackets.
func PassPackets(number int) error {
	for _, chain := range []string{"PREROUTING -i", "POSTROUTING -o"} {
		check := strings.Fields(queueRule(number, "-C", chain))
		for range 10 {
			if exec.Command(check[0], check[1:]...).Run() != nil {
				break // no such rule (any more)
			}
			if err := run(queueRule(number, "-D", chain)); err != nil {
				return err
			}
		}
	}
	return nil
}

func queueRule(number int, action, chain string) string {
	return in(Namespace(number), fmt.Sprintf("iptables -w -t mangle %s %s %s -j NFQUEUE --queue-num %d --queue-bypass", action, chain, nodeLink, DelayQueue))
}
