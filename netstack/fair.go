package netstack

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	fairFlows = 256      // flows that are told apart; more share places by chance
	fairTurn  = 64 << 10 // bytes of a flow's turn: one super-segment
)

// fairQueue lets flows take turns, as deficit round robin does (Shreedhar and
// Varghese, 1995), with the turn of a flow that had nothing queued coming first
// (RFC 8290 section 4.1): an echo, a request or an acknowledgement goes past the
// super-segments of a transfer, and transfers share evenly among themselves. It
// drops nothing and has no lock of its own.
type fairQueue struct {
	count, bytes int
	flows        [fairFlows]*fairFlow // made when first used
	fresh, old   fairList
}

// fairFlow is the packets of one flow, oldest first.
type fairFlow struct {
	packets []*stack.PacketBuffer
	head    int
	left    int // bytes of its turn
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

// add queues a packet of so many bytes, whose reference it takes over.
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
		f.left = fairTurn
		q.fresh.push(f)
	}
}

// take removes the packet whose turn it is; there must be one.
func (q *fairQueue) take() *stack.PacketBuffer {
	for {
		list := &q.fresh
		if list.first == nil {
			list = &q.old
		}
		f := list.first
		if f.left <= 0 {
			f.left += fairTurn
			q.old.push(list.pop())
			continue
		}
		if f.head == len(f.packets) { // it was kept in line although it had nothing
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

// emptied takes a flow out of line. One that was fresh goes behind the old ones
// first, so that it cannot come back as fresh at once and starve them.
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
	if f.head > 32 && 2*f.head > len(f.packets) { // the front half is gone
		n := copy(f.packets, f.packets[f.head:])
		clear(f.packets[n:])
		f.packets, f.head = f.packets[:n], 0
	}
	return pkt
}

// flowPlace tells flows apart: by the hash TCP gives its packets, else by
// addresses and ports.
func flowPlace(pkt *stack.PacketBuffer) int {
	h := uint64(pkt.Hash)
	if h == 0 {
		h = hashBytes(pkt.NetworkHeader().Slice(), hashBytes(pkt.TransportHeader().Slice(), 1))
	}
	return int(h * 0x9e3779b97f4a7c15 >> (64 - 8))
}

// hashBytes mixes the addresses of an IP header, or the ports of a transport
// header, into h. Lengths and checksums, which differ from packet to packet, are
// left out.
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
