package netstack_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/internal/packet"
	"nexd/netstack"
)

// soloNet is a Net whose peer is the test, which writes packets itself.
func soloNet(t *testing.T, h netstack.Inbound) *netstack.Net {
	t.Helper()
	leak.Check(t)
	n, err := netstack.New(netstack.Config{Addresses: []netip.Addr{addrB4, addrB6}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	n.HandleInbound(h)
	go drain(n.Device())
	return n
}

func inject(t *testing.T, n *netstack.Net, packets ...[]byte) {
	t.Helper()
	for i, b := range packets {
		packets[i] = pad(b)
	}
	if _, err := n.Device().Write(packets, headroom); err != nil {
		t.Fatal(err)
	}
}

func TestPeerGivesUp(t *testing.T) {
	for _, to := range [][2]netip.Addr{{addrA4, container4}, {addrA6, container6}} {
		flows := make(chan *netstack.TCPFlow)
		done := make(chan bool)
		n := soloNet(t, netstack.Inbound{TCP: func(f *netstack.TCPFlow) {
			flows <- f
			<-f.Done()
			f.Drop()
			done <- true
		}})
		segment := func(seq uint32, flags uint8) []byte {
			return ipPacket(to[0], to[1], packet.ProtoTCP, tcpHeader(1000, 80, seq, 0, flags, ""))
		}
		inject(t, n, segment(77, packet.SYN))
		f := <-flows
		inject(t, n, segment(500, packet.RST)) // not from the peer, which knows the sequence number
		select {
		case <-f.Done():
			t.Error("a reset out of nowhere ends the flow")
		case <-time.After(10 * time.Millisecond):
		}
		inject(t, n, segment(78, packet.RST))
		<-done
		inject(t, n, segment(90, packet.SYN)) // and the next may come
		<-flows
		n.Close()
		<-done
	}
}

// A packet with a wrong checksum never reaches the stack.
func TestWrongChecksums(t *testing.T) {
	var flows atomic.Int32
	n := soloNet(t, netstack.Inbound{
		TCP:  func(*netstack.TCPFlow) { flows.Add(1) },
		UDP:  func(*netstack.UDPFlow) { flows.Add(1) },
		Echo: func(*netstack.EchoRequest) { flows.Add(1) },
	})
	all := seeds()
	for _, b := range all {
		b[len(b)-1] ^= 1
	}
	inject(t, n, all...)
	inject(t, n, []byte{}, []byte{0x45}, make([]byte, 100))
	s := n.Stats()
	if flows.Load() != 0 || s.RxMalformed != 3 || s.RxChecksum == 0 || s.TCPResetsSent != 0 {
		t.Errorf("%d flows, %+v", flows.Load(), s)
	}
}

// ICMP errors about connections that do not exist do no harm; seeds has such errors,
// which quote a SYN that was never sent.
func TestStrayErrors(t *testing.T) {
	p := newPair(t, netstack.Config{})
	client, server := p.connect(t, addrB4)
	for _, b := range seeds() {
		p.a.Device().Write([][]byte{pad(b)}, headroom)
	}
	exchange(t, client, server, 1<<20)
}

// A ping larger than the MTU arrives in fragments. The own address answers it, and a
// handler gets it reassembled.
func TestFragmentedEcho(t *testing.T) {
	echoes := make(chan int, 4)
	n := soloNet(t, netstack.Inbound{Echo: func(e *netstack.EchoRequest) { echoes <- len(e.Payload) }})
	for i, to := range [][2]netip.Addr{{addrA4, addrB4}, {addrA6, addrB6}, {addrA4, container4}, {addrA6, container6}} {
		kind, proto := byte(8), uint8(packet.ProtoICMP)
		if to[0].Is6() {
			kind, proto = 128, packet.ProtoICMPv6
		}
		echo := append([]byte{kind, 0, 0, 0, 1, 2, 3, 4}, make([]byte, 2000)...)
		before := n.Stats().TxPackets
		inject(t, n, fragments(ipPacket(to[0], to[1], proto, echo), uint16(i+1))...)
		if i < 2 {
			eventually.True(t, "the reply, which is in fragments as well", func() bool { return n.Stats().TxPackets >= before+2 })
			if got := n.Stats().TxPackets - before; got != 2 {
				t.Errorf("%v answered with %d packets, want 2", to[1], got)
			}
		}
	}
	for range 2 {
		select {
		case size := <-echoes:
			if size != 2000 {
				t.Errorf("the handler saw %d bytes", size)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the handler saw nothing")
		}
	}
}
