package netstack_test

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"nexd/netstack"
)

// A connection to a router's prefix that carries a byte each way takes eight packets:
// three for the handshake, a byte each way, a FIN each way, and the last
// acknowledgement. A busy machine sometimes answers after the delay of an
// acknowledgement, so the best of many connections counts.
func TestAShortConnectionTakesEightPackets(t *testing.T) {
	p := newPair(t, netstack.Config{})
	p.b.HandleInbound(netstack.Inbound{TCP: func(f *netstack.TCPFlow) {
		c, err := f.Accept(t.Context())
		if err != nil {
			return
		}
		io.Copy(c, c)
		c.Close()
	}})
	at := netip.AddrPortFrom(container4, 80)
	best := uint64(1 << 30)
	for range 100 {
		before := p.wire.packets.Load()
		c, err := p.a.DialTCP(within(t, 10*time.Second), at)
		if err != nil {
			t.Fatal(err)
		}
		var b [1]byte
		if _, err := c.Write(b[:]); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, b[:]); err != nil {
			t.Fatal(err)
		}
		c.(interface{ CloseWrite() error }).CloseWrite()
		if _, err := c.Read(b[:]); err != io.EOF {
			t.Fatalf("after the end: %v", err)
		}
		c.Close()
		time.Sleep(20 * time.Millisecond) // a surplus packet would come after the delay of an acknowledgement
		if best = min(best, p.wire.packets.Load()-before); best <= 8 {
			return
		}
	}
	t.Errorf("the best of many connections took %d packets, want 8", best)
}
