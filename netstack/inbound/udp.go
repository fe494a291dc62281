package inbound

import (
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"nexd/netstack/gvisor"
	"nexd/netstack/icmp"
)

// maxQueued is how many datagrams after the first one wait for a UDP flow's verdict.
const maxQueued = 15

// UDPFlow begins with a peer's first datagram to an address that is not the node's
// own. The first call of Accept, Refuse, Unreachable or Drop is the verdict; later
// calls do nothing. A few further datagrams of the flow are queued until the verdict;
// the accepted connection returns them after the first one.
type UDPFlow struct {
	j        *Judge
	id       stack.TransportEndpointID
	src, dst netip.AddrPort
	born     time.Time
	first    []byte // the head of the first datagram from its IP header on, which ICMP errors quote

	queued  []*stack.PacketBuffer // under Judge.mu, until the verdict
	decided bool                  // under Judge.mu
}

func newUDPFlow(j *Judge, id stack.TransportEndpointID, pkt *stack.PacketBuffer) *UDPFlow {
	f := &UDPFlow{j: j, id: id, born: time.Now(), first: quote(pkt)}
	f.src, f.dst = gvisor.Ends(id)
	f.enqueue(pkt)
	return f
}

// enqueue queues a datagram; the caller holds Judge.mu.
func (f *UDPFlow) enqueue(pkt *stack.PacketBuffer) {
	if len(f.queued) <= maxQueued && !f.decided {
		f.queued = append(f.queued, pkt.Clone())
	}
}

func (f *UDPFlow) stale() bool { return time.Since(f.born) > pendingUDP }

// Source is the peer's end of the flow.
func (f *UDPFlow) Source() netip.AddrPort { return f.src }

// Destination is the address that the peer wants to reach.
func (f *UDPFlow) Destination() netip.AddrPort { return f.dst }

// decide removes the queued datagrams; ok is true for the first verdict.
func (f *UDPFlow) decide() (queued []*stack.PacketBuffer, ok bool) {
	f.j.mu.Lock()
	defer f.j.mu.Unlock()
	queued, ok = f.queued, !f.decided
	f.queued, f.decided = nil, true
	return queued, ok
}

// Accept makes a connection of the flow. Its first Read returns the datagram that
// began the flow.
func (f *UDPFlow) Accept() (net.Conn, error) {
	queued, ok := f.decide()
	if !ok {
		return nil, f.opError(net.ErrClosed)
	}
	defer f.j.forgetUDP(f)
	defer release(queued)
	if f.j.cfg.Closed() {
		return nil, f.opError(net.ErrClosed)
	}
	queue := new(waiter.Queue)
	// The request itself puts the first datagram into the new socket.
	ep, err := udp.NewForwarderRequest(f.j.cfg.Stack, f.id, queued[0]).CreateEndpoint(queue)
	if err != nil {
		return nil, f.opError(gvisor.Errno(err))
	}
	if te, ok := ep.(stack.TransportEndpoint); ok {
		for _, pkt := range queued[1:] {
			te.HandlePacket(f.id, pkt)
		}
	}
	c, cerr := f.j.cfg.UDPConn(ep, queue, f.dst, f.src, func(e icmp.Error) { f.j.unreachable(f.first, e) })
	if cerr != nil {
		return nil, f.opError(cerr)
	}
	return c, nil
}

func release(pkts []*stack.PacketBuffer) {
	for _, pkt := range pkts {
		pkt.DecRef()
	}
}

// end is every verdict except Accept.
func (f *UDPFlow) end(answer func()) {
	queued, ok := f.decide()
	if !ok {
		return
	}
	release(queued)
	answer()
	f.j.forgetUDP(f)
}

// Refuse answers that the port is closed.
func (f *UDPFlow) Refuse() {
	f.end(func() { f.j.unreachable(f.first, icmp.PortUnreachable(f.dst.Addr().Is4())) })
}

// Unreachable answers with an ICMP error.
func (f *UDPFlow) Unreachable(r icmp.Reach) {
	f.end(func() { f.j.unreachable(f.first, r.Error(f.dst.Addr().Is4())) })
}

// Drop leaves the peer without an answer.
func (f *UDPFlow) Drop() { f.end(func() {}) }

func (f *UDPFlow) opError(err error) error {
	return &net.OpError{Op: "accept", Net: "udp", Source: net.UDPAddrFromAddrPort(f.src), Addr: net.UDPAddrFromAddrPort(f.dst), Err: err}
}
