package agent

import (
	"context"
	"net"
	"net/netip"

	"nexd/mesh"
	"nexd/netmap"
)

// dialer opens connections by the current map: into the mesh, to a container
// behind this node, or nowhere.
type dialer struct {
	view func() *netmap.View
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
	host, port, err := netmap.SplitAddress(address)
	if err != nil {
		return nil, err
	}
	if network != "tcp" && network != "udp" {
		return nil, mesh.Errorf(mesh.Invalid, "agent: unknown network %q", network)
	}
	addrs, err := d.view().Resolve(host)
	if err != nil {
		return nil, err
	}
	out := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		out[i] = netip.AddrPortFrom(a, port)
	}
	return out, nil
}

// one opens a connection to a single endpoint.
func (d *dialer) one(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	owner, err := d.view().Route(to.Addr())
	if err != nil {
		return nil, err
	}
	if owner.Place == netmap.Local {
		// The caller is a program of this host: the router's limits are for other nodes.
		return d.host(ctx, network, netip.AddrPortFrom(owner.Local, to.Port()).String())
	}
	if err := d.mayRoute(to.Addr()); err != nil {
		return nil, err
	}
	if network == "udp" {
		return d.mesh.DialUDP(ctx, to)
	}
	return d.mesh.DialTCP(ctx, to)
}
