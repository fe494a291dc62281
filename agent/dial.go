package agent

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"nexd/mesh"
)

// dialer opens connections by the current map: into the mesh, to a container
// behind this node, or nowhere.
type dialer struct {
	view func() *view // nil before the first map
	mesh interface {
		DialTCP(context.Context, netip.AddrPort) (net.Conn, error)
		DialUDP(context.Context, netip.AddrPort) (net.Conn, error)
	}
	host func(ctx context.Context, network, address string) (net.Conn, error)

	unrouted func(netip.Addr) error // why a mesh address is not routed on this host; nil: all are
}

// mayRoute says why an address of the mesh cannot be reached from this host, if so.
func (d *dialer) mayRoute(a netip.Addr) error {
	if d.unrouted == nil {
		return nil
	}
	return d.unrouted(a)
}

// dial opens network ("tcp" or "udp") to host:port, where host is a mesh name, a
// mesh address or an address in an advertised prefix. What lies outside the mesh
// is Denied, a name it does not know NotFound.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	targets, err := d.resolve(network, address)
	if err != nil {
		return nil, err
	}
	return race(ctx, targets, func(ctx context.Context, t netip.AddrPort) (net.Conn, error) { return d.one(ctx, network, t) })
}

// resolve turns address into the endpoints to try, in order.
func (d *dialer) resolve(network, address string) ([]netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "agent: address %q is not HOST:PORT", address)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return nil, mesh.Errorf(mesh.Invalid, "agent: port %q of %q is not 1 to 65535", portText, address)
	}
	if network != "tcp" && network != "udp" {
		return nil, mesh.Errorf(mesh.Invalid, "agent: network %q", network)
	}
	addrs, err := d.addresses(host)
	if err != nil {
		return nil, err
	}
	out := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		out[i] = netip.AddrPortFrom(a, uint16(port))
	}
	return out, nil
}

// addresses resolves a literal or a node's name.
func (d *dialer) addresses(host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap().WithZone("")}, nil
	}
	v := d.view()
	if v == nil {
		return nil, mesh.Errorf(mesh.Unavailable, "agent: %q cannot be resolved: not joined yet", host)
	}
	n, ok := v.named(host)
	if !ok || len(n.Addresses) == 0 {
		return nil, mesh.Errorf(mesh.NotFound, "agent: no node %q in organization %s", host, v.Organization)
	}
	return n.Addresses, nil
}

// one opens a connection to a single endpoint.
func (d *dialer) one(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	v := d.view()
	if v == nil {
		return nil, mesh.Errorf(mesh.Unavailable, "agent: %v cannot be reached: not joined yet", to)
	}
	switch who, _, local := v.find(to.Addr()); who {
	case self, peer:
		if err := d.mayRoute(to.Addr()); err != nil {
			return nil, err
		}
		if network == "udp" {
			return d.mesh.DialUDP(ctx, to)
		}
		return d.mesh.DialTCP(ctx, to)
	case behindMe:
		// Who asks is a user of this very host: the router's limits are for others.
		return d.host(ctx, network, netip.AddrPortFrom(local, to.Port()).String())
	case nobody:
		return nil, mesh.Errorf(mesh.NotFound, "agent: no node has the address %v: %w", to.Addr(), syscall.EHOSTUNREACH)
	default:
		return nil, mesh.Errorf(mesh.Denied, "agent: %v is outside the mesh: no node has it and no advertised prefix holds it", to.Addr())
	}
}
