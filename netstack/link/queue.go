package link

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Bounds of the egress queue. The bound in bytes keeps latency and memory low, the
// bound in packets stops floods of small packets. Small packets (acknowledgements,
// resets, errors) are subject to the second only: the goroutine that delivers
// incoming packets sends some of them, and it must not wait for the device's reader.
const (
	maxQueued   = 4096
	smallPacket = 256
	localBytes  = 16 << 20 // more than the windows of one connection
)

// queue is the queue between the stack and Device.Read. Writers block while it is
// full and no packet is dropped, so that TCP inside a tunnel has no losses in its own
// machine. Flows take turns (fairqueue.go), so that a small flow does not wait behind
// a large one. The queue holds one reference to each packet in it.
//
// The queue of packets to own addresses is lossy instead: its reader is the stack
// itself, which would wait for itself.
type queue struct {
	limit int // bytes
	lossy bool

	mu      sync.Mutex
	data    sync.Cond // signals a new packet or close
	space   sync.Cond // signals a removed packet or close
	flows   fairQueue
	readers int // waiting on data
	writers int // waiting on space
	closed  bool
}

func newQueue(limit int, lossy bool) *queue {
	q := &queue{limit: limit, lossy: lossy}
	q.data.L, q.space.L = &q.mu, &q.mu
	return q
}

func (q *queue) full(size int) bool {
	return q.flows.count >= maxQueued || size > smallPacket && q.flows.bytes >= q.limit
}

// push adds pkt with a reference of the queue's own and blocks while there is no
// room. It returns false, and takes no reference, if the queue is closed.
func (q *queue) push(pkt *stack.PacketBuffer) bool {
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
	q.flows.add(pkt.IncRef(), size)
	if q.readers > 0 {
		q.data.Signal()
	}
	return true
}

// pop removes the next packet and passes on the queue's reference. If the queue is
// empty, pop blocks, or returns nil if wait is false. It returns nil if the queue is
// closed.
func (q *queue) pop(wait bool) *stack.PacketBuffer {
	q.mu.Lock()
	defer q.mu.Unlock()
	for wait && !q.closed && q.flows.count == 0 {
		q.readers++
		q.data.Wait()
		q.readers--
	}
	if q.flows.count == 0 {
		return nil
	}
	pkt := q.flows.take()
	if q.writers > 0 {
		q.space.Signal()
	}
	return pkt
}

// close drops all packets and makes every push and pop return.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	var dropped []*stack.PacketBuffer
	for q.flows.count > 0 {
		dropped = append(dropped, q.flows.take())
	}
	q.data.Broadcast()
	q.space.Broadcast()
	q.mu.Unlock()
	for _, pkt := range dropped {
		pkt.DecRef()
	}
}

// queued returns how many packets and bytes are in the queue.
func (q *queue) queued() (packets, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.flows.count, q.flows.bytes
}
