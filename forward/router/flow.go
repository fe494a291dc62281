package router

import (
	"context"
	"net"
	"net/netip"
)

// Reach is the reason that an ICMP unreachable gives to the client.
type Reach uint8

const (
	HostUnreachable Reach = iota // no neighbour answers for the target
	NetUnreachable               // this host has no route to it
	AdminProhibited              // a rule forbids it
)

var reachNames = [...]string{"host unreachable", "network unreachable", "prohibited"}

// String describes the reason in words.
func (r Reach) String() string {
	if int(r) < len(reachNames) {
		return reachNames[r]
	}
	return "unreachable"
}

// TCPFlow is a connection attempt from the mesh that has no answer yet. The router calls exactly
// one of Accept, Refuse, Unreachable and Drop.
type TCPFlow interface {
	Source() netip.AddrPort
	Destination() netip.AddrPort
	Accept(ctx context.Context) (net.Conn, error)
	Refuse()
	Unreachable(Reach)
	Drop()
	Done() <-chan struct{} // closed when the client gives up
}

// UDPFlow is the first datagram of a new pair of addresses. The router calls exactly one of Accept,
// Refuse, Unreachable and Drop before UDP returns. The first Read of the accepted conn returns that
// datagram.
//
// The accepted conn may have the methods of UnreachableTeller. It may also have WaitReadable()
// error, which blocks until a Read would not; the router then holds no buffer while the flow is
// idle.
type UDPFlow interface {
	Source() netip.AddrPort
	Destination() netip.AddrPort
	Accept() (net.Conn, error)
	Refuse()
	Unreachable(Reach)
	Drop()
}

// UnreachableTeller is an accepted UDP conn that can send ICMP errors to its client. The router uses
// it when the target turns out to be gone after the flow was accepted.
type UnreachableTeller interface {
	PortUnreachable()
	HostUnreachable()
}

// Echo is an ICMP echo request. The router calls exactly one of Reply, Unreachable and Drop, from
// any goroutine, possibly after Router.Echo has returned.
type Echo interface {
	Source() netip.Addr
	Destination() netip.Addr
	Seq() uint16
	Payload() []byte
	Reply()
	Unreachable(Reach)
	Drop()
}
