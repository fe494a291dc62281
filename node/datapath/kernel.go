package datapath

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"nexd/mesh"
	"nexd/netmap"
	"nexd/tunnel/filter"
	"nexd/tunnel/fit"
	"nexd/tunnel/gateway"
	"nexd/tunnel/tundev"
)

// forwarding makes the host a router of this node's prefixes.
type forwarding interface {
	Set(mine []mesh.Advertisement, pools []netip.Prefix) error
	Status() []gateway.Status
	Run(ctx context.Context) error
	Close() error
}

// kernel is the upper end in TUN mode: an interface of the kernel, its routes, and
// the kernel's own sockets.
type kernel struct {
	dev     *tundev.Device
	gateway forwarding // nil only while newKernel fails
	log     *slog.Logger
	echo    *pinger
	asks    asker
	own     atomic.Pointer[[]netip.Addr] // this node's addresses
}

func newKernel(cfg Config) (*kernel, error) {
	removeLeftovers(cfg)
	dev, err := tundev.New(tundev.Config{Name: cfg.Interface, MTU: cfg.MTU, Logger: cfg.Logger.With("room", "tundev")})
	if err != nil {
		return nil, err
	}
	k := &kernel{dev: dev, echo: newPinger(cfg.Logger), log: cfg.Logger}
	k.own.Store(new([]netip.Addr))
	g, err := gateway.New(gateway.Config{Interface: dev.Name(), SNAT: cfg.SNAT, StateDir: cfg.StateDir, Logger: cfg.Logger.With("room", "gateway")})
	if err != nil {
		k.close()
		return nil, err
	}
	k.gateway = g
	return k, nil
}

func (k *kernel) filtered(log *slog.Logger) *filter.Filter { return filter.New(k.dev.Device(), log) }

func (k *kernel) host() HostStatus {
	return HostStatus{Interface: k.dev.Name(), Forwarding: k.gateway.Status(), Skipped: k.dev.Skipped()}
}

// admit lets the host forward to this node's prefixes and nowhere else. A node without prefixes
// also works on a kernel without nftables, because the filter lets nothing in to forward.
func (k *kernel) admit(v *netmap.View) error {
	err := k.gateway.Set(v.Granted, v.Pools)
	if err != nil && len(v.Granted) == 0 {
		k.log.Warn("the firewall rules for the interface could not be set", "interface", k.dev.Name(), "err", err)
		return nil
	}
	return err
}

// connect routes to the nodes and to what they advertise.
func (k *kernel) connect(v *netmap.View) error {
	var routes []netip.Prefix
	for _, p := range v.Peers {
		routes = append(routes, netmap.HostPrefixes(p.Addresses)...)
		routes = append(routes, p.Prefixes...)
	}
	own := slices.Clone(v.Self.Addresses)
	k.own.Store(&own)
	_, err := k.dev.Set(own, routes)
	return err
}

// resize has the kernel keep its packets within what the paths carry.
func (k *kernel) resize(sizes []fit.Size) error {
	mtu := map[netip.Prefix]int{}
	for _, s := range sizes {
		if s.Largest > 0 {
			mtu[s.Prefix] = s.Largest
		}
	}
	return k.dev.SetMTU(mtu)
}

// run maintains routes and rules until ctx ends.
func (k *kernel) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return k.dev.Run(ctx) })
	g.Go(func() error { return k.echo.run(ctx) })
	g.Go(func() error { return k.gateway.Run(ctx) })
	return g.Wait()
}

func (k *kernel) close() {
	k.asks.close()
	k.echo.close()
	k.dev.Close() // nothing enters anymore
	if k.gateway != nil {
		k.gateway.Close()
	}
}

// unrouted returns why this host does not route a mesh address into the mesh.
func (k *kernel) unrouted(a netip.Addr) error {
	for _, s := range k.dev.Skipped() {
		if s.Prefix.Contains(a) {
			return mesh.Errorf(mesh.Unavailable, "node: this host does not route %v into the mesh: %s: %w", a, s.Why, syscall.ENETUNREACH)
		}
	}
	return nil
}

// DialTCP connects by the kernel's routes.
func (k *kernel) DialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	c, err := k.dialer(to).DialContext(ctx, "tcp", to.String())
	if err == nil {
		k.asks.watch(c)
	}
	return c, err
}

// DialUDP makes a UDP socket of the kernel that speaks with to only.
func (k *kernel) DialUDP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return k.dialer(to).DialContext(ctx, "udp", to.String())
}

// dialer binds connections to other nodes to the interface, so that they never leave by the
// default route while a route is missing.
func (k *kernel) dialer(to netip.AddrPort) *net.Dialer {
	d := &net.Dialer{KeepAlive: keepAlive}
	if !slices.Contains(*k.own.Load(), to.Addr()) {
		d.Control = tundev.Only(k.dev.Name())
	}
	return d
}

// keepAlive is how often a quiet connection into the mesh is probed. asker does it earlier once or
// twice.
const keepAlive = time.Minute

// ListenTCP listens on this node's own address of the family.
func (k *kernel) ListenTCP(at netip.AddrPort) (net.Listener, error) {
	if k.disabled(at.Addr()) {
		return newNullSocket(net.TCPAddrFromAddrPort(at)), nil
	}
	at, err := k.listenAt(at)
	if err != nil {
		return nil, err
	}
	ln, err := net.ListenTCP(familyOf("tcp", at), net.TCPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	return asking{ln, &k.asks}, nil
}

// ListenUDP opens a UDP socket on this node's own address of the family.
func (k *kernel) ListenUDP(at netip.AddrPort) (net.PacketConn, error) {
	if k.disabled(at.Addr()) {
		return newNullSocket(net.UDPAddrFromAddrPort(at)), nil
	}
	at, err := k.listenAt(at)
	if err != nil {
		return nil, err
	}
	return net.ListenUDP(familyOf("udp", at), net.UDPAddrFromAddrPort(at))
}

func familyOf(network string, at netip.AddrPort) string {
	if at.Addr().Is4() {
		return network + "4"
	}
	return network + "6"
}

// listenAt replaces an unspecified address by this node's address of the family.
func (k *kernel) listenAt(at netip.AddrPort) (netip.AddrPort, error) {
	want := at.Addr().Unmap()
	for _, a := range *k.own.Load() {
		if a == want || want.IsUnspecified() && a.Is4() == want.Is4() {
			return netip.AddrPortFrom(a, at.Port()), nil
		}
	}
	return at, &net.OpError{Op: "listen", Net: "ip", Source: &net.IPAddr{IP: want.AsSlice()}, Err: syscall.EADDRNOTAVAIL}
}

// disabled reports whether the address family of a is switched off on this host.
func (k *kernel) disabled(a netip.Addr) bool { return a.Is6() && !k.dev.HasIPv6() }

// Ping sends one echo request by the kernel's routes.
func (k *kernel) Ping(ctx context.Context, to netip.Addr, size int) (time.Duration, error) {
	return k.echo.ping(ctx, to, size)
}
