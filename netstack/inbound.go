package netstack

import (
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"nexd/netstack/icmp"
	"nexd/netstack/inbound"
)

// Flows of peers to addresses that are not this node's own, and the answers to them;
// see package inbound.
type (
	Inbound     = inbound.Handler
	TCPFlow     = inbound.TCPFlow
	UDPFlow     = inbound.UDPFlow
	EchoRequest = inbound.EchoRequest
	Reach       = icmp.Reach
)

// Reasons why a destination cannot be reached.
const (
	HostUnreachable = icmp.HostUnreachable // the host does not answer
	NetUnreachable  = icmp.NetUnreachable  // there is no route to its network
	AdminProhibited = icmp.AdminProhibited // a rule forbids it
)

// HandleInbound sets the handler of later flows. Without one, or with the zero
// Inbound, all are refused.
func (n *Net) HandleInbound(h Inbound) { n.inbound.Handle(h) }

func (n *Net) newInbound() *inbound.Judge {
	return inbound.New(inbound.Config{
		Stack: n.stack, ReceiveWindow: n.cfg.BufferSize,
		Own:       func(a netip.Addr) bool { return n.link.Own().Has(a) },
		Closed:    n.isClosed,
		Send:      n.link.SendRaw,
		EchoReply: n.pings.reply,
		TCPConn: func(ep tcpip.Endpoint, queue *waiter.Queue, begin uint32) net.Conn {
			c := n.accepted(ep, queue)
			c.flow.Begins(begin)
			return c
		},
		UDPConn: n.newFlowConn,
	})
}

// flowConn is the socket of an accepted UDP flow. It can tell the peer that the
// destination has turned out to be unreachable.
type flowConn struct {
	*udpConn
	unreachable func(icmp.Error)
}

func (n *Net) newFlowConn(ep tcpip.Endpoint, queue *waiter.Queue, local, remote netip.AddrPort, unreachable func(icmp.Error)) (net.Conn, error) {
	c, err := n.newUDPConn(ep, queue, remote)
	if err != nil {
		return nil, err
	}
	c.local = net.UDPAddrFromAddrPort(local)
	return &flowConn{c, unreachable}, nil
}

// PortUnreachable tells the peer that the port is closed. It does nothing after
// Close.
func (c *flowConn) PortUnreachable() { c.tell(icmp.PortUnreachable(c.is4())) }

// HostUnreachable tells the peer that the host does not answer. It does nothing
// after Close.
func (c *flowConn) HostUnreachable() { c.tell(icmp.HostUnreachable.Error(c.is4())) }

func (c *flowConn) is4() bool { return c.local.IP.To4() != nil }

func (c *flowConn) tell(e icmp.Error) {
	if !c.closed.Load() && !c.n.isClosed() {
		c.unreachable(e)
	}
}
