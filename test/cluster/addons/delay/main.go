// Command delay holds every packet of a netfilter queue back for a fixed time, then lets it go on. It
// does what `tc netem delay` does, on kernels that are built without netem too.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

// held is more packets than a second of a busy node's traffic.
const held = 1 << 16

type packet struct {
	id  uint32
	due time.Time
}

func main() {
	number := flag.Uint("queue", 0, "number of the netfilter queue")
	delay := flag.Duration("delay", 0, "how long each packet is held")
	flag.Parse()
	if err := run(uint16(*number), *delay); err != nil {
		fmt.Fprintln(os.Stderr, "delay:", err)
		os.Exit(1)
	}
}

func run(number uint16, delay time.Duration) error {
	queue, err := openQueue(number, held)
	if err != nil {
		return err
	}
	packets, failed := make(chan packet, held), make(chan error, 1)
	go func() { failed <- release(queue, packets) }()
	for {
		ids, err := queue.receive()
		if err != nil {
			return err
		}
		due := time.Now().Add(delay)
		for _, id := range ids {
			select {
			case packets <- packet{id, due}:
			case err := <-failed:
				return err
			}
		}
	}
}

// release lets packets go on when they are due. The delay is the same for all, so they stay in order,
// and one verdict serves for all that are due together.
func release(queue *queue, packets <-chan packet) error {
	for p := range packets {
		time.Sleep(time.Until(p.due))
		for more := true; more && len(packets) > 0; {
			next := <-packets
			if more = time.Until(next.due) <= 0; !more {
				if err := queue.accept(p.id); err != nil {
					return err
				}
				time.Sleep(time.Until(next.due))
			}
			p = next
		}
		if err := queue.accept(p.id); err != nil {
			return err
		}
	}
	return nil
}
