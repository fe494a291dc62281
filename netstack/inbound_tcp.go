package netstack

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Reach says why a destination cannot be reached.
type Reach uint8

const (
	HostUnreachable Reach = iota // the host does not answer
	NetUnreachable               // there is no way to its network
	AdminProhibited              // there is, but not for you
)

// TCPFlow is a connection that a peer wants with an address that is not this
// node's own. Exactly one of Accept, Refuse, Unreachable and Drop decides it;
// later ones do nothing. While it is undecided, further SYNs of the peer are
// ignored; after Drop they make a new flow.
type TCPFlow struct {
	n       *Net
	id      stack.TransportEndpointID
	src     netip.AddrPort
	dst     netip.AddrPort
	first   []byte // the SYN, from its IP header on, to quote in ICMP errors
	next    uint32 // sequence number after the SYN
	request *tcp.ForwarderRequest

	decided atomic.Bool
	once    sync.Once
	done    chan struct{}
}

func newTCPFlow(n *Net, id stack.TransportEndpointID, pkt *stack.PacketBuffer) *TCPFlow {
	f := &TCPFlow{n: n, id: id, first: quote(pkt), done: make(chan struct{})}
	f.src, f.dst = endpointAddrs(id)
	f.next = header.TCP(pkt.TransportHeader().Slice()).SequenceNumber() + 1
	return f
}

// Source is who wants to connect.
func (f *TCPFlow) Source() netip.AddrPort { return f.src }

// Destination is what it wants to reach.
func (f *TCPFlow) Destination() netip.AddrPort { return f.dst }

// Done is closed when the peer gave up while the flow was undecided, or the Net
// was closed.
func (f *TCPFlow) Done() <-chan struct{} { return f.done }

func (f *TCPFlow) giveUp() { f.once.Do(func() { close(f.done) }) }

// gaveUp says whether a reset with this sequence number is the peer's for this
// SYN.
func (f *TCPFlow) gaveUp(seq uint32) bool { return seq == f.next || seq == f.next-1 }

// decide is true for the first verdict only.
func (f *TCPFlow) decide() bool { return !f.decided.Swap(true) }

// complete ends the flow's time as an undecided one. The request goes first: a
// SYN between the two would otherwise make a flow that the forwarder ignores.
func (f *TCPFlow) complete(reset bool) {
	f.request.Complete(reset)
	f.n.inbound.forgetTCP(f.id)
}

// Accept completes the handshake, waiting for the peer's part until ctx ends.
func (f *TCPFlow) Accept(ctx context.Context) (net.Conn, error) {
	if !f.decide() {
		return nil, f.opError(net.ErrClosed)
	}
	defer f.complete(false)
	if ctx.Err() != nil {
		return nil, f.opError(ctxError(ctx))
	}
	if f.n.isClosed() {
		return nil, f.opError(net.ErrClosed)
	}
	stop := context.AfterFunc(ctx, f.abort)
	queue := new(waiter.Queue)
	ep, err := f.request.CreateEndpoint(queue)
	if !stop() && err == nil {
		ep.Close() // abort may have hit it or not
		return nil, f.opError(ctxError(ctx))
	}
	switch {
	case err == nil:
		f.n.stats.accepted.Add(1)
		c := f.n.accepted(ep, queue)
		c.flow.begins(f.next)
		return c, nil
	case ctx.Err() != nil:
		return nil, f.opError(ctxError(ctx))
	case f.n.isClosed():
		return nil, f.opError(net.ErrClosed)
	}
	return nil, f.opError(errno(err))
}

// abort ends a handshake that waits for the peer.
func (f *TCPFlow) abort() {
	ep := f.n.stack.FindTransportEndpoint(f.network(), tcp.ProtocolNumber, f.id, nicID)
	if e, ok := ep.(*tcp.Endpoint); ok && e != nil {
		e.Abort()
	}
}

func (f *TCPFlow) network() tcpip.NetworkProtocolNumber { return protocolOf(f.dst.Addr()) }

// Refuse answers with a reset, as a closed port does.
func (f *TCPFlow) Refuse() {
	if f.decide() {
		f.complete(true)
	}
}

// Unreachable answers with an ICMP error.
func (f *TCPFlow) Unreachable(r Reach) {
	if f.decide() {
		f.n.sendUnreachable(f.first, r.icmp(f.dst.Addr().Is4()))
		f.complete(false)
	}
}

// Drop leaves the peer without an answer.
func (f *TCPFlow) Drop() {
	if f.decide() {
		f.complete(false)
	}
}

func (f *TCPFlow) opError(err error) error {
	return &net.OpError{Op: "accept", Net: "tcp", Source: net.TCPAddrFromAddrPort(f.src), Addr: net.TCPAddrFromAddrPort(f.dst), Err: err}
}
