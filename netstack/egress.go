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
// its own machine. It holds one reference on every packet in it.
//
// The queue of packets to own addresses is lossy instead: its reader is the
// stack itself, and would wait for itself.
type egress struct {
	limit int // bytes
	lossy bool

	mu      sync.Mutex
	data    sync.Cond // a packet came, or closed
	space   sync.Cond // a packet went, or closed
	ring    []*stack.PacketBuffer
	head    int
	count   int
	bytes   int
	readers int // waiting on data
	writers int // waiting on space
	closed  bool
}

func newEgress(limit int, lossy bool) *egress {
	q := &egress{limit: limit, lossy: lossy, ring: make([]*stack.PacketBuffer, 64)}
	q.data.L, q.space.L = &q.mu, &q.mu
	return q
}

func (q *egress) full(size int) bool {
	return q.count >= egressPackets || size > smallPacket && q.bytes >= q.limit
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
	if q.count == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.count)&(len(q.ring)-1)] = pkt.IncRef()
	q.count++
	q.bytes += size
	if q.readers > 0 {
		q.data.Signal()
	}
	return true
}

// pop takes the oldest packet with the queue's reference. When there is none it
// waits, or returns nil if wait is false; nil also when closed.
func (q *egress) pop(wait bool) *stack.PacketBuffer {
	q.mu.Lock()
	defer q.mu.Unlock()
	for wait && !q.closed && q.count == 0 {
		q.readers++
		q.data.Wait()
		q.readers--
	}
	if q.count == 0 {
		return nil
	}
	pkt := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.count--
	q.bytes -= pkt.Size()
	if q.writers > 0 {
		q.space.Signal()
	}
	return pkt
}

// close drops what is queued and makes every push and pop return.
func (q *egress) close() {
	q.mu.Lock()
	q.closed = true
	dropped := make([]*stack.PacketBuffer, 0, q.count)
	for ; q.count > 0; q.count-- {
		dropped = append(dropped, q.ring[q.head])
		q.ring[q.head] = nil
		q.head = (q.head + 1) & (len(q.ring) - 1)
	}
	q.bytes = 0
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
	return q.count, q.bytes
}

func (q *egress) grow() {
	ring := make([]*stack.PacketBuffer, 2*len(q.ring))
	n := copy(ring, q.ring[q.head:])
	copy(ring[n:], q.ring[:q.head])
	q.ring, q.head = ring, 0
}
