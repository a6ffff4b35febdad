package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
)

// registerOp is what a client did to the register: it wrote a value, or read one.
type registerOp struct {
	write bool
	value int
}

// register is what one cell of memory does: a read returns what was written last.
var register = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		if op := input.(registerOp); op.write {
			return true, op.value
		}
		return output.(int) == state.(int), state
	},
	Equal: func(a, b any) bool { return a.(int) == b.(int) },
}

// historian writes down what clients did, with the times between which it must have come about.
type historian struct {
	mu  sync.Mutex
	ops []porcupine.Operation
}

func (h *historian) add(op porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// endOfTime is when a write ends whose fate is unknown: it may have come about at any time after it began, or never.
const endOfTime = int64(24 * time.Hour)

// forget leaves out the writes of unknown fate that nobody read: put last they break nothing, and the search through
// all their places could take for ever.
func (h *historian) forget() {
	read := map[int]bool{}
	for _, op := range h.ops {
		if !op.Input.(registerOp).write {
			read[op.Output.(int)] = true
		}
	}
	h.ops = slices.DeleteFunc(h.ops, func(op porcupine.Operation) bool {
		return op.Return == endOfTime && !read[op.Input.(registerOp).value]
	})
}

// A row of the database behaves as one cell of memory through failovers of every kind: a read, from the primary,
// never returns a value older than a write that was acknowledged before it began.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.database("shop", 2, v1alpha1.DurabilityRequired)
	dsn := w.databaseURI("shop")
	config, err := pgx.ParseConfig(dsn)
	w.must(err)
	conn := w.connectSoon(config)
	_, err = conn.Exec(w.ctx, "CREATE TABLE register (value int); INSERT INTO register VALUES (0)")
	w.must(err)
	w.must(conn.Close(w.ctx))

	began, h := time.Now(), &historian{}
	ctx, stop := context.WithCancel(w.ctx)
	var clients sync.WaitGroup
	for id := range 6 {
		clients.Go(func() { useRegister(ctx, dsn, id, began, h) })
	}
	t.Cleanup(func() { stop(); clients.Wait() })
	load := w.startWriters(dsn, 1) // tells when writes are possible again
	count := 0
	// Without its node, which other tests are on.
	frozen := fault{name: "frozen 30 s", until: 30 * time.Second, hurt: func(f *failovers, primary *corev1.Pod) func() {
		f.signal(primary, components.DatabaseContainer, "", syscall.SIGSTOP)
		return func() { f.signal(primary, components.DatabaseContainer, "", syscall.SIGCONT) }
	}}
	for _, fault := range append(slices.Clone(faults), frozen) {
		if slices.Contains([]string{"pod force-deleted", "container killed", "postmaster killed", frozen.name}, fault.name) {
			f.outage(fault, load)
			count++
		}
	}
	stop()
	clients.Wait()
	h.forget()
	verdict := porcupine.CheckOperationsTimeout(register, h.ops, 5*time.Minute)
	t.Logf("linearizable | %d operations of 6 clients through %d failovers: %s", len(h.ops), count, verdict)
	switch verdict {
	case porcupine.Illegal:
		t.Error("the history is not linearizable")
	case porcupine.Unknown:
		t.Error("it was not found out in five minutes whether the history is linearizable")
	}
	if len(h.ops) < 500 {
		t.Errorf("only %d operations: this run shows little", len(h.ops))
	}
}

// useRegister reads and writes until the context ends. Its values are its own, so that no two writes are alike.
func useRegister(ctx context.Context, dsn string, id int, began time.Time, h *historian) {
	client, value := id, 0
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.Background())
		}
	}()
	for turn := 0; ctx.Err() == nil; turn++ {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := error(nil)
		if conn == nil || conn.IsClosed() {
			conn, err = pgx.Connect(try, dsn)
		}
		op, got := registerOp{write: turn%2 == 0}, 0
		called := time.Since(began)
		if err == nil && op.write {
			value++
			op.value = id*1_000_000 + value
			_, err = conn.Exec(try, "UPDATE register SET value = $1", op.value)
			if err != nil {
				// Nobody knows: it stays open to the end of time, and the client is another one from here.
				h.add(porcupine.Operation{ClientId: client, Input: op, Call: int64(called), Output: 0, Return: endOfTime})
				client += 1000
			}
		} else if err == nil {
			err = conn.QueryRow(try, "SELECT value FROM register").Scan(&got)
		}
		if err == nil {
			h.add(porcupine.Operation{ClientId: client, Input: op, Call: int64(called), Output: got, Return: int64(time.Since(began))})
		} else if conn != nil {
			_ = conn.Close(context.Background())
			conn = nil
		}
		cancel()
		time.Sleep(20 * time.Millisecond)
	}
}

func (o registerOp) String() string {
	if o.write {
		return fmt.Sprintf("write %d", o.value)
	}
	return "read"
}
