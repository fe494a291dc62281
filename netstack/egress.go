package netstack

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Bounds of the egress queue. Bytes are what keeps latency and memory low; the
// count is there for floods of small packets. Small ones (acknowledgements,
// resets, errors) wait for the count only: some are sent by the goroutine that
// delivers incoming packets, which must not wait for its own device's reader.
const (
	egressPackets = 4096
	smallPacket   = 256
	localBytes    = 16 << 20 // more than the windows of one connection
)

// egress is the queue between the stack and Device.Read. Writers wait when it
// is full: nothing is ever dropped, so that TCP inside a tunnel loses nothing to
// its own machine. Flows take turns (fair.go), so that a small one does not wait
// behind a large one. It holds one reference on every packet in it.
//
// The queue of packets to own addresses is lossy instead: its reader is the
// stack itself, and would wait for itself.
type egress struct {
	limit int // bytes
	lossy bool

	mu      sync.Mutex
	data    sync.Cond // a packet came, or closed
	space   sync.Cond // a packet went, or closed
	queue   fairQueue
	readers int // waiting on data
	writers int // waiting on space
	closed  bool
}

func newEgress(limit int, lossy bool) *egress {
	q := &egress{limit: limit, lossy: lossy}
	q.data.L, q.space.L = &q.mu, &q.mu
	return q
}

func (q *egress) full(size int) bool {
	return q.queue.count >= egressPackets || size > smallPacket && q.queue.bytes >= q.limit
}

// push queues pkt with a reference of the queue's own, waiting for room. It says
// false, and takes nothing, when the queue is closed.
func (q *egress) push(pkt *stack.PacketBuffer) bool {
	size := pkt.Size()
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && q.full(size) {
		if q.lossy {
			return true
		}
		q.writers++
		q.space.Wait()
		q.writers--
	}
	if q.closed {
		return false
	}
	q.queue.add(pkt.IncRef(), size)
	if q.readers > 0 {
		q.data.Signal()
	}
	return true
}

// pop takes the next packet with the queue's reference. When there is none it
// waits, or returns nil if wait is false; nil also when closed.
func (q *egress) pop(wait bool) *stack.PacketBuffer {
	q.mu.Lock()
	defer q.mu.Unlock()
	for wait && !q.closed && q.queue.count == 0 {
		q.readers++
		q.data.Wait()
		q.readers--
	}
	if q.queue.count == 0 {
		return nil
	}
	pkt := q.queue.take()
	if q.writers > 0 {
		q.space.Signal()
	}
	return pkt
}

// close drops what is queued and makes every push and pop return.
func (q *egress) close() {
	q.mu.Lock()
	q.closed = true
	var dropped []*stack.PacketBuffer
	for q.queue.count > 0 {
		dropped = append(dropped, q.queue.take())
	}
	q.data.Broadcast()
	q.space.Broadcast()
	q.mu.Unlock()
	for _, pkt := range dropped {
		pkt.DecRef()
	}
}

// queued is how much waits to be read.
func (q *egress) queued() (packets, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.queue.count, q.queue.bytes
}
