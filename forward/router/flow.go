package router

import (
	"context"
	"net"
	"net/netip"
)

// Reach says what an ICMP unreachable tells the client.
type Reach uint8

const (
	HostUnreachable Reach = iota // no neighbour answers for the target
	NetUnreachable               // this host has no route to it
	AdminProhibited              // a rule forbids it
)

var reachNames = [...]string{"host unreachable", "network unreachable", "prohibited"}

// String is the reach in words.
func (r Reach) String() string {
	if int(r) < len(reachNames) {
		return reachNames[r]
	}
	return "unreachable"
}

// TCPFlow is a connection attempt from the mesh that nobody has answered yet.
// The router calls exactly one of Accept, Refuse, Unreachable and Drop.
type TCPFlow interface {
	Source() netip.AddrPort
	Destination() netip.AddrPort
	Accept(ctx context.Context) (net.Conn, error)
	Refuse()
	Unreachable(Reach)
	Drop()
	Done() <-chan struct{} // closed when the client gave up
}

// UDPFlow is the first datagram of a new pair of addresses. The router calls
// exactly one of Accept, Refuse, Unreachable and Drop before UDP returns; the
// first Read of the accepted conn is that datagram.
//
// The accepted conn may have the methods of UnreachableTeller, and
// WaitReadable() error, which blocks until a Read would not: then no buffer is
// held while a flow is quiet.
type UDPFlow interface {
	Source() netip.AddrPort
	Destination() netip.AddrPort
	Accept() (net.Conn, error)
	Refuse()
	Unreachable(Reach)
	Drop()
}

// UnreachableTeller is what an accepted UDP conn can do when the target turns
// out to be gone after its first datagrams: tell the client by ICMP.
type UnreachableTeller interface {
	PortUnreachable()
	HostUnreachable()
}

// Echo is an ICMP echo request. The router calls exactly one of Reply,
// Unreachable and Drop, from any goroutine, possibly after Echo returned.
type Echo interface {
	Source() netip.Addr
	Destination() netip.Addr
	Seq() uint16
	Payload() []byte
	Reply()
	Unreachable(Reach)
	Drop()
}
