package inbound

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"nexd/netstack/gvisor"
	"nexd/netstack/icmp"
)

// TCPFlow is a connection that a peer wants to open to an address that is not the
// node's own. The first call of Accept, Refuse, Unreachable or Drop is the verdict;
// later calls do nothing. Until the verdict, retransmitted SYNs are ignored; after
// Drop the next one makes a new flow.
type TCPFlow struct {
	j       *Judge
	id      stack.TransportEndpointID
	src     netip.AddrPort
	dst     netip.AddrPort
	first   []byte // the SYN from its IP header on, which ICMP errors quote
	next    uint32 // sequence number after the SYN
	request *tcp.ForwarderRequest

	decided atomic.Bool
	once    sync.Once
	done    chan struct{}
}

func newTCPFlow(j *Judge, id stack.TransportEndpointID, pkt *stack.PacketBuffer) *TCPFlow {
	f := &TCPFlow{j: j, id: id, first: quote(pkt), done: make(chan struct{})}
	f.src, f.dst = gvisor.Ends(id)
	f.next = header.TCP(pkt.TransportHeader().Slice()).SequenceNumber() + 1
	return f
}

// Source is the peer's end of the flow.
func (f *TCPFlow) Source() netip.AddrPort { return f.src }

// Destination is the address that the peer wants to reach.
func (f *TCPFlow) Destination() netip.AddrPort { return f.dst }

// Done is closed when the peer resets the connection before the verdict, or when the
// stack is closed.
func (f *TCPFlow) Done() <-chan struct{} { return f.done }

func (f *TCPFlow) giveUp() { f.once.Do(func() { close(f.done) }) }

// gaveUp reports whether a reset with this sequence number is the peer's answer to
// its own SYN.
func (f *TCPFlow) gaveUp(seq uint32) bool { return seq == f.next || seq == f.next-1 }

// decide returns true for the first verdict.
func (f *TCPFlow) decide() bool { return !f.decided.Swap(true) }

// complete removes the flow. It completes the request first: a SYN between the two
// steps would otherwise make a flow that the forwarder ignores.
func (f *TCPFlow) complete(reset bool) {
	f.request.Complete(reset)
	f.j.forgetTCP(f.id)
}

// Accept completes the handshake. It waits for the peer until ctx ends.
func (f *TCPFlow) Accept(ctx context.Context) (net.Conn, error) {
	if !f.decide() {
		return nil, f.opError(net.ErrClosed)
	}
	defer f.complete(false)
	if ctx.Err() != nil {
		return nil, f.opError(gvisor.ContextError(ctx))
	}
	if f.j.cfg.Closed() {
		return nil, f.opError(net.ErrClosed)
	}
	stop := context.AfterFunc(ctx, f.abort)
	queue := new(waiter.Queue)
	ep, err := f.request.CreateEndpoint(queue)
	if !stop() && err == nil {
		ep.Close() // abort may or may not have found it
		return nil, f.opError(gvisor.ContextError(ctx))
	}
	switch {
	case err == nil:
		f.j.accepted.Add(1)
		return f.j.cfg.TCPConn(ep, queue, f.next), nil
	case ctx.Err() != nil:
		return nil, f.opError(gvisor.ContextError(ctx))
	case f.j.cfg.Closed():
		return nil, f.opError(net.ErrClosed)
	}
	return nil, f.opError(gvisor.Errno(err))
}

// abort ends a handshake that waits for the peer.
func (f *TCPFlow) abort() {
	ep := f.j.cfg.Stack.FindTransportEndpoint(gvisor.Protocol(f.dst.Addr()), tcp.ProtocolNumber, f.id, gvisor.NIC)
	if e, ok := ep.(*tcp.Endpoint); ok && e != nil {
		e.Abort()
	}
}

// Refuse answers with a reset, as a closed port does.
func (f *TCPFlow) Refuse() {
	if f.decide() {
		f.complete(true)
	}
}

// Unreachable answers with an ICMP error.
func (f *TCPFlow) Unreachable(r icmp.Reach) {
	if f.decide() {
		f.j.unreachable(f.first, r.Error(f.dst.Addr().Is4()))
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
