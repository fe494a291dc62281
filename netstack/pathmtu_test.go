package netstack_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"nexd/netstack"
)

// A path that drops large packets without an ICMP error must not stop a transfer in
// either direction.
func TestBlackHole(t *testing.T) {
	for _, tt := range []struct {
		name string
		mtu  int64
		addr netip.Addr
		size int
	}{
		{"1300 bytes, IPv4", 1300, addrB4, 2 << 20}, {"1300 bytes, IPv6", 1300, addrB6, 2 << 20},
		{"1220 bytes", 1220, addrB4, 2 << 20}, {"600 bytes", 600, addrB4, 256 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, netstack.Config{})
			client, server := p.connect(t, tt.addr)
			p.wire.mtu.Store(tt.mtu)
			start := time.Now()
			exchange(t, client, server, tt.size)
			took := time.Since(start)
			t.Logf("%d bytes each way took %v", tt.size, took)
			if took > time.Minute { // it takes 1.5 s on a quiet machine, and minutes if there is no way out
				t.Errorf("the transfer took %v", took)
			}
			// The next connection uses what was learned of the path.
			again, peer := p.connect(t, tt.addr)
			before := p.a.Stats().TCPTimeouts + p.b.Stats().TCPTimeouts
			exchange(t, again, peer, tt.size)
			if n := p.a.Stats().TCPTimeouts + p.b.Stats().TCPTimeouts - before; n > 20 { // of a busy machine
				t.Errorf("a second transfer had %d timeouts", n)
			}
		})
	}
}

// A path whose size is known costs no stall: no larger packet is sent, on connections from before as
// well, and a path that widens is used at once.
func TestKnownPathSize(t *testing.T) {
	for _, addr := range []netip.Addr{addrB4, addrB6} {
		var size atomic.Int64
		p := newPair(t, netstack.Config{Fits: func(netip.Addr) int { return int(size.Load()) }})
		for _, carries := range []int64{1300, 1140} {
			var lost atomic.Uint64
			see := func(b []byte) {
				if len(b) > int(carries) {
					lost.Add(1)
				}
			}
			old, oldPeer := p.connect(t, addr)
			size.Store(carries)
			p.wire.see.Store(&see)
			exchange(t, old, oldPeer, 1<<20)
			client, server := p.connect(t, addr)
			exchange(t, client, server, 1<<20)
			if n := lost.Load(); n > 0 {
				t.Errorf("%v: %d packets were larger than %d bytes", addr, n, carries)
			}
		}
		old, oldPeer := p.connect(t, addr)
		size.Store(0)
		p.wire.see.Store(nil)
		before := p.wire.large.Load()
		exchange(t, old, oldPeer, 1<<20)
		if p.wire.large.Load() == before {
			t.Errorf("%v: packets stay small when the path is wide again", addr)
		}
	}
}

// The hole opens in the middle of a transfer, as when the path changes.
func TestBlackHoleLater(t *testing.T) {
	p := newPair(t, netstack.Config{})
	client, server := p.connect(t, addrB4)
	time.AfterFunc(5*time.Millisecond, func() { p.wire.mtu.Store(1300) })
	exchange(t, client, server, big/2)
}

// Random loss is not taken for a black hole: packets stay at full size.
func TestLossIsNoBlackHole(t *testing.T) {
	p := newPair(t, netstack.Config{})
	client, server := p.connect(t, addrB4)
	p.wire.loss.Store(100)
	exchange(t, client, server, 2<<20)
	p.wire.loss.Store(0)
	before := p.wire.large.Load()
	exchange2(t, p)
	if p.wire.large.Load() == before {
		t.Error("after some loss no full-size packet is sent any more")
	}
}

func exchange2(t *testing.T, p *pair) {
	client, server := p.connect(t, addrB4)
	exchange(t, client, server, 1<<20)
}
