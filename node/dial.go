package node

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"

	"nexd/internal/eyeballs"
	"nexd/mesh"
	"nexd/netmap"
)

// Dial is DialContext without a context: the dial ends by the stack's own time-outs.
func (n *Node) Dial(network, address string) (net.Conn, error) {
	return n.DialContext(context.Background(), network, address)
}

// DialContext connects to address, HOST:PORT, where HOST is the name of a node, an address
// of one, or an address in a prefix that a node advertises. Network is tcp or udp, or one of
// these with a 4 or 6 behind it for one family. A udp conn is connected: one Read is one
// datagram. If a name has several addresses, the first that answers is taken (RFC 8305). An
// address in a prefix of this very node is dialed on this host. Ctx bounds the dial, not the
// connection.
//
// Of the kinds of mesh.KindOf, an error is Unavailable before the node is Ready, Invalid for
// an address that cannot be read, NotFound for an unknown name and for an address that no node
// has, and Denied for an address outside the mesh. errors.Is finds syscall.ECONNREFUSED,
// EHOSTUNREACH and ETIMEDOUT.
//
// It has the type of http.Transport.DialContext and pgconn.Config.DialFunc.
func (n *Node) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return n.dialer.dial(ctx, network, address)
}

// Unrouted says why this host does not route an address of the mesh into the mesh. It is nil
// if the host does, and in userspace mode always.
func (n *Node) Unrouted(addr netip.Addr) error { return n.path.Unrouted(addr) }

// dialer opens connections by the current map.
type dialer struct {
	view func() *netmap.View
	mesh interface {
		DialTCP(context.Context, netip.AddrPort) (net.Conn, error)
		DialUDP(context.Context, netip.AddrPort) (net.Conn, error)
	}
	host     func(ctx context.Context, network, address string) (net.Conn, error)
	unrouted func(netip.Addr) error // why a mesh address is not routed on this host
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	protocol, targets, err := d.resolve(network, address)
	if err != nil {
		return nil, err
	}
	return eyeballs.Dial(ctx, targets, func(ctx context.Context, to netip.AddrPort) (net.Conn, error) { return d.connect(ctx, protocol, to) })
}

// resolve turns address into the protocol, tcp or udp, and the endpoints to try, in order.
func (d *dialer) resolve(network, address string) (protocol string, to []netip.AddrPort, err error) {
	host, port, err := netmap.SplitAddress(address)
	if err != nil {
		return "", nil, err
	}
	protocol, family, err := splitNetwork(network)
	if err != nil {
		return "", nil, err
	}
	addrs, err := d.view().Resolve(host)
	if err != nil {
		return "", nil, err
	}
	for _, a := range addrs {
		if family.has(a) {
			to = append(to, netip.AddrPortFrom(a, port))
		}
	}
	if len(to) == 0 {
		return "", nil, mesh.Errorf(mesh.NotFound, "node: %s has no address for %s", host, network)
	}
	return protocol, to, nil
}

// connect opens a connection to a single endpoint.
func (d *dialer) connect(ctx context.Context, protocol string, to netip.AddrPort) (net.Conn, error) {
	owner, err := d.view().Route(to.Addr())
	if err != nil {
		return nil, err
	}
	if owner.Place == netmap.Local {
		// The caller is a program of this host: the router's limits are for other nodes.
		return d.host(ctx, protocol, netip.AddrPortFrom(owner.Local, to.Port()).String())
	}
	if err := d.unrouted(to.Addr()); err != nil {
		return nil, err
	}
	if protocol == "udp" {
		return d.mesh.DialUDP(ctx, to)
	}
	return d.mesh.DialTCP(ctx, to)
}

// family is the 4 or 6 at the end of a network, or neither.
type family byte

func (f family) has(a netip.Addr) bool { return f == 0 || (f == '4') == a.Is4() }

// splitNetwork reads a network as package net names it.
func splitNetwork(network string) (protocol string, f family, err error) {
	protocol = strings.TrimRight(network, "46")
	if suffix := network[len(protocol):]; len(suffix) == 1 {
		f = family(suffix[0])
	} else if suffix != "" {
		protocol = ""
	}
	if !slices.Contains([]string{"tcp", "udp"}, protocol) {
		return "", 0, mesh.Errorf(mesh.Invalid, "node: unknown network %q; it must be tcp, tcp4, tcp6, udp, udp4 or udp6", network)
	}
	return protocol, f, nil
}
