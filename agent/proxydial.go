package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"

	"nexd/internal/datagram"
	"nexd/internal/eyeballs"
	"nexd/mesh"
	"nexd/netmap"
)

// proxyDialer dials for the clients of the proxy, and may let them leave the mesh by the
// host's own network.
//
//	name of a node ──────────┐
//	mesh address, prefix ────┴──▶ mesh
//	anything else ─── refuse ──▶ Denied, with the way out in the text
//	              └── direct ──▶ host, but never its loopback or link-local addresses
type proxyDialer struct {
	node   meshNode
	direct *atomic.Bool                                                          // may change
	host   func(ctx context.Context, network, address string) (net.Conn, error)  // the host's own network
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error) // of the host

	buffers datagram.Pool // of all UDP associations
}

// meshNode is what the proxy needs of a node; node.Node is one.
type meshNode interface {
	View() *netmap.View
	Unrouted(netip.Addr) error // why this host does not route a mesh address
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	ListenPacket(network, address string) (net.PacketConn, error)
}

// dial is proxy.Config.Dial.
func (d *proxyDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := netmap.SplitAddress(address)
	if err != nil {
		return nil, err
	}
	addrs, err := d.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	targets := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		targets[i] = netip.AddrPortFrom(a, port)
	}
	return eyeballs.Dial(ctx, targets, func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		if d.leaves(to.Addr()) {
			return d.dialOutside(ctx, network, to)
		}
		return d.node.DialContext(ctx, network, to.String())
	})
}

// addresses resolves a literal, the name of a node or, if the proxy lets clients leave the mesh, a
// name in DNS. The names of nodes come first.
func (d *proxyDialer) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs, err := d.node.View().Resolve(host)
	if err == nil || mesh.KindOf(err) != mesh.NotFound {
		return addrs, err
	}
	if !d.direct.Load() {
		return nil, mesh.Errorf(mesh.NotFound, "%w; the proxy refuses names outside the mesh (--proxy-outside=direct allows them)", err)
	}
	addrs, err = d.lookup(ctx, "ip", host)
	if err != nil {
		if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
			return nil, mesh.Errorf(mesh.NotFound, "agent: %q is neither the name of a node nor a name in DNS: %w", host, err)
		}
		return nil, mesh.Errorf(mesh.Unavailable, "agent: cannot resolve %q: %w", host, err)
	}
	return eyeballs.Interleave(addrs), nil
}

// leaves reports whether a client reaches an address through the host's own network.
func (d *proxyDialer) leaves(a netip.Addr) bool {
	v := d.node.View()
	return !v.Empty() && d.direct.Load() && v.Find(a).Place == netmap.Outside
}

// dialOutside dials an address outside the mesh. It refuses the host's loopback and link-local addresses,
// because the client of the proxy may be another user.
func (d *proxyDialer) dialOutside(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	if err := checkOutside(to.Addr()); err != nil {
		return nil, err
	}
	return d.host(ctx, network, to.String())
}

func checkOutside(a netip.Addr) error {
	if a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return mesh.Errorf(mesh.Denied, "agent: the proxy does not connect to this host's own address %v", a)
	}
	return nil
}
