package netstack

import (
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// maxKept is how many datagrams an undecided UDP flow keeps besides the first.
const maxKept = 15

// UDPFlow is a first datagram of a peer to an address that is not this node's
// own. Exactly one of Accept, Refuse, Unreachable and Drop decides it; later
// ones do nothing. Datagrams of the same flow that come meanwhile are kept, a
// few, and are read from the accepted connection after the first.
type UDPFlow struct {
	n        *Net
	id       stack.TransportEndpointID
	src, dst netip.AddrPort
	born     time.Time
	first    []byte // the datagram's head, from its IP header on

	kept    []*stack.PacketBuffer // under inbounds.mu, until decided
	decided bool                  // under inbounds.mu
}

func newUDPFlow(n *Net, id stack.TransportEndpointID, pkt *stack.PacketBuffer) *UDPFlow {
	f := &UDPFlow{n: n, id: id, born: time.Now(), first: quote(pkt)}
	f.src, f.dst = endpointAddrs(id)
	f.keep(pkt)
	return f
}

// keep is called with inbounds.mu held.
func (f *UDPFlow) keep(pkt *stack.PacketBuffer) {
	if len(f.kept) <= maxKept && !f.decided {
		f.kept = append(f.kept, pkt.Clone())
	}
}

func (f *UDPFlow) stale() bool { return time.Since(f.born) > pendingUDP }

// Source is who sent the datagram.
func (f *UDPFlow) Source() netip.AddrPort { return f.src }

// Destination is where it should go.
func (f *UDPFlow) Destination() netip.AddrPort { return f.dst }

// decide takes what was kept; ok is true for the first verdict only.
func (f *UDPFlow) decide() (kept []*stack.PacketBuffer, ok bool) {
	f.n.inbound.mu.Lock()
	defer f.n.inbound.mu.Unlock()
	kept, ok = f.kept, !f.decided
	f.kept, f.decided = nil, true
	return kept, ok
}

// Accept makes a socket for the flow; the datagram that made it is the first
// that Read returns.
func (f *UDPFlow) Accept() (net.Conn, error) {
	kept, ok := f.decide()
	if !ok {
		return nil, f.opError(net.ErrClosed)
	}
	defer f.n.inbound.forgetUDP(f)
	defer release(kept)
	if f.n.isClosed() {
		return nil, f.opError(net.ErrClosed)
	}
	queue := new(waiter.Queue)
	// The request takes the first datagram into the new socket by itself.
	ep, err := udp.NewForwarderRequest(f.n.stack, f.id, kept[0]).CreateEndpoint(queue)
	if err != nil {
		return nil, f.opError(errno(err))
	}
	if te, ok := ep.(stack.TransportEndpoint); ok {
		for _, pkt := range kept[1:] {
			te.HandlePacket(f.id, pkt)
		}
	}
	c, cerr := f.n.newUDPConn(ep, queue, f.src)
	if cerr != nil {
		return nil, f.opError(cerr)
	}
	c.local = net.UDPAddrFromAddrPort(f.dst)
	return &flowConn{udpConn: c, first: f.first}, nil
}

// flowConn is the socket of an accepted flow. It can tell the peer that what it
// wanted to reach has turned out not to be there.
type flowConn struct {
	*udpConn
	first []byte // what ICMP errors quote: it names the peer's socket
}

// PortUnreachable answers the peer that the port is closed. After Close it does
// nothing.
func (c *flowConn) PortUnreachable() { c.unreachable(portUnreachable(c.local.IP.To4() != nil)) }

// HostUnreachable answers the peer that the host is not there. After Close it does
// nothing.
func (c *flowConn) HostUnreachable() { c.unreachable(HostUnreachable.icmp(c.local.IP.To4() != nil)) }

func (c *flowConn) unreachable(e icmpError) {
	if !c.closed.Load() && !c.n.isClosed() {
		c.n.sendUnreachable(c.first, e)
	}
}

func release(pkts []*stack.PacketBuffer) {
	for _, pkt := range pkts {
		pkt.DecRef()
	}
}

// end is every verdict but Accept.
func (f *UDPFlow) end(answer func()) {
	kept, ok := f.decide()
	if !ok {
		return
	}
	release(kept)
	answer()
	f.n.inbound.forgetUDP(f)
}

// Refuse answers that the port is closed.
func (f *UDPFlow) Refuse() {
	f.end(func() { f.n.sendUnreachable(f.first, portUnreachable(f.dst.Addr().Is4())) })
}

// Unreachable answers with an ICMP error.
func (f *UDPFlow) Unreachable(r Reach) {
	f.end(func() { f.n.sendUnreachable(f.first, r.icmp(f.dst.Addr().Is4())) })
}

// Drop leaves the peer without an answer.
func (f *UDPFlow) Drop() { f.end(func() {}) }

func (f *UDPFlow) opError(err error) error {
	return &net.OpError{Op: "accept", Net: "udp", Source: net.UDPAddrFromAddrPort(f.src), Addr: net.UDPAddrFromAddrPort(f.dst), Err: err}
}
