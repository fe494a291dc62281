package link

import (
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// flowPacket is a packet of the flow with that hash.
func flowPacket(flow uint32, size int) *stack.PacketBuffer {
	pkt := sized(size)
	pkt.Hash = flow
	return pkt
}

// drain takes n packets and returns their flows.
func drain(t *testing.T, q *fairQueue, n int) (flows []uint32) {
	t.Helper()
	for range n {
		pkt := q.take()
		flows = append(flows, pkt.Hash)
		pkt.DecRef()
	}
	return flows
}

func add(q *fairQueue, flow uint32, size int) {
	pkt := flowPacket(flow, size)
	q.add(pkt, pkt.Size())
}

func TestASmallFlowGoesPastATransfer(t *testing.T) {
	var q fairQueue
	for range 8 {
		add(&q, 1, 60000)
	}
	drain(t, &q, 2) // the transfer is under way, and no longer fresh
	add(&q, 2, 100)
	if got := drain(t, &q, 2); got[0] != 2 && got[1] != 2 {
		t.Errorf("served %v; the small flow waits behind more than one super-segment", got)
	}
	drain(t, &q, q.count)
	if q.bytes != 0 {
		t.Errorf("%d bytes are left of nothing", q.bytes)
	}
}

func TestTransfersShareEvenly(t *testing.T) {
	var q fairQueue
	const each = 40
	for range each { // one has large packets, one small ones, one twice as many of them
		add(&q, 1, 60000)
		for range 20 {
			add(&q, 2, 3000)
		}
	}
	served := map[uint32]int{}
	for q.bytes > 1<<20 {
		pkt := q.take()
		served[pkt.Hash] += pkt.Size()
		pkt.DecRef()
	}
	if a, b := served[1], served[2]; a < b*8/10 || b < a*8/10 {
		t.Errorf("served %d and %d bytes", a, b)
	}
	drain(t, &q, q.count)
}

func TestAFlowThatComesBackAllTheTimeDoesNotStarveOthers(t *testing.T) {
	var q fairQueue
	for range 50 {
		add(&q, 1, 1000)
	}
	add(&q, 2, 1000)
	others := 0
	for range 100 {
		pkt := q.take()
		if pkt.Hash == 2 {
			add(&q, 2, 1000) // as soon as it is served it has one more
		} else {
			others++
		}
		pkt.DecRef()
	}
	if others < 25 {
		t.Errorf("the transfer had %d turns of 100", others)
	}
	drain(t, &q, q.count)
}

func TestOneFlowKeepsItsOrder(t *testing.T) {
	var q fairQueue
	next, want := 0, 0
	for round := range 200 {
		for range round%7 + 1 {
			add(&q, 9, 100+next)
			next++
		}
		for range min(round%5+1, q.count) {
			pkt := q.take()
			if pkt.Size() != 100+want {
				t.Fatalf("packet %d came as %d", pkt.Size()-100, want)
			}
			want++
			pkt.DecRef()
		}
	}
	for ; q.count > 0; want++ {
		pkt := q.take()
		if pkt.Size() != 100+want {
			t.Fatalf("packet %d came as %d", pkt.Size()-100, want)
		}
		pkt.DecRef()
	}
}

func TestFlowsAreToldApart(t *testing.T) {
	p := func(b ...byte) []byte { return b }
	ip4 := append(make([]byte, 12), 10, 0, 0, 1, 10, 0, 0, 2)
	ip4[0] = 0x45
	other := append([]byte(nil), ip4...)
	other[19] = 3
	ports := p(0, 80, 200, 1, 9, 9, 9, 9)
	a := hashBytes(ip4, hashBytes(ports, 1))
	ip4[2], ip4[10] = 77, 78 // length and checksum
	if hashBytes(ip4, hashBytes(p(0, 80, 200, 1, 1, 2, 3, 4), 1)) != a {
		t.Error("two packets of one flow differ")
	}
	if hashBytes(other, hashBytes(ports, 1)) == a || hashBytes(ip4, hashBytes(p(0, 80, 200, 2), 1)) == a {
		t.Error("two flows are one")
	}
}
