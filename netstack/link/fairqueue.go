package link

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	fairFlows = 256      // buckets; flows share one if their hashes collide
	quantum   = 64 << 10 // bytes per turn: one super-segment
)

// fairQueue schedules flows by deficit round robin (Shreedhar and Varghese, 1995).
// A flow that had nothing queued goes first (RFC 8290 section 4.1): an echo, a request
// or an acknowledgement overtakes the super-segments of a transfer, and transfers
// share the link evenly. The queue drops nothing and has no lock.
type fairQueue struct {
	count, bytes int
	flows        [fairFlows]*fairFlow // allocated on first use
	fresh, old   fairList
}

// fairFlow holds the packets of one flow, oldest first.
type fairFlow struct {
	packets []*stack.PacketBuffer
	head    int
	left    int // deficit counter: bytes left of its turn
	next    *fairFlow
	listed  bool
}

// fairList is a queue of flows.
type fairList struct{ first, last *fairFlow }

func (l *fairList) push(f *fairFlow) {
	f.next, f.listed = nil, true
	if l.last == nil {
		l.first = f
	} else {
		l.last.next = f
	}
	l.last = f
}

func (l *fairList) pop() *fairFlow {
	f := l.first
	if l.first = f.next; l.first == nil {
		l.last = nil
	}
	f.next, f.listed = nil, false
	return f
}

// add queues a packet of size bytes and takes over its reference.
func (q *fairQueue) add(pkt *stack.PacketBuffer, size int) {
	place := flowPlace(pkt)
	f := q.flows[place]
	if f == nil {
		f = new(fairFlow)
		q.flows[place] = f
	}
	f.packets = append(f.packets, pkt)
	q.count++
	q.bytes += size
	if !f.listed {
		f.left = quantum
		q.fresh.push(f)
	}
}

// take removes the next packet. The queue must not be empty.
func (q *fairQueue) take() *stack.PacketBuffer {
	for {
		list := &q.fresh
		if list.first == nil {
			list = &q.old
		}
		f := list.first
		if f.left <= 0 {
			f.left += quantum
			q.old.push(list.pop())
			continue
		}
		if f.head == len(f.packets) { // emptied has kept it in the list
			list.pop()
			continue
		}
		pkt := f.shift()
		size := pkt.Size()
		f.left -= size
		q.count--
		q.bytes -= size
		if f.head == len(f.packets) {
			q.emptied(f, list)
		}
		return pkt
	}
}

// emptied removes a flow without packets from its list. A fresh flow first moves to
// the end of the old ones, so that it cannot return as fresh at once and starve them.
func (q *fairQueue) emptied(f *fairFlow, list *fairList) {
	f.packets, f.head = f.packets[:0], 0
	if cap(f.packets) > 64 {
		f.packets = nil
	}
	list.pop()
	if list == &q.fresh && q.old.first != nil {
		q.old.push(f)
	}
}

func (f *fairFlow) shift() *stack.PacketBuffer {
	pkt := f.packets[f.head]
	f.packets[f.head] = nil
	f.head++
	if f.head > 32 && 2*f.head > len(f.packets) { // more than half is unused
		n := copy(f.packets, f.packets[f.head:])
		clear(f.packets[n:])
		f.packets, f.head = f.packets[:n], 0
	}
	return pkt
}

// flowPlace returns the bucket of a packet's flow, from the hash that TCP sets on its
// packets, else from addresses and ports.
func flowPlace(pkt *stack.PacketBuffer) int {
	h := uint64(pkt.Hash)
	if h == 0 {
		h = hashBytes(pkt.NetworkHeader().Slice(), hashBytes(pkt.TransportHeader().Slice(), 1))
	}
	return int(h * 0x9e3779b97f4a7c15 >> (64 - 8))
}

// hashBytes mixes the addresses of an IP header, or the ports of a transport header,
// into h. It leaves out lengths and checksums, which differ from packet to packet.
func hashBytes(b []byte, h uint64) uint64 {
	switch {
	case len(b) >= 40 && b[0]>>4 == 6:
		b = b[8:40]
	case len(b) >= 20 && b[0]>>4 == 4:
		b = b[12:20]
	case len(b) >= 4:
		b = b[:4]
	}
	for ; len(b) >= 4; b = b[4:] {
		h = (h ^ uint64(binary.LittleEndian.Uint32(b))) * 0x100000001b3
	}
	return h
}
