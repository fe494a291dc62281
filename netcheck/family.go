package netcheck

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"nexd/internal/stun"
)

// family measures one address family.
type family struct {
	*checker
	network string // udp4, udp6
	servers []netip.AddrPort
	touched map[netip.Addr]bool // addresses that this host has certainly sent to

	first  sight   // of the server that is asked alone before any other
	sights []sight // of all servers that answered the same socket; the first one is first
	local  netip.AddrPort
}

type sight struct {
	stun.Sight
	took time.Duration
}

// checkFamily measures what the servers of one address family can show. It calls quiet when the
// filter has been tested: from then on packets to other addresses spoil no result.
func (c *checker) checkFamily(ctx context.Context, network string, servers []netip.AddrPort, quiet func()) Family {
	defer quiet()
	f := &family{checker: c, network: network, servers: c.homeFirst(servers)[:min(len(servers), maxServers)], touched: map[netip.Addr]bool{}}
	out := newFamily()
	version, far := "IPv4", netip.MustParseAddrPort("192.0.2.1:9")
	if network == "udp6" {
		version, far = "IPv6", netip.MustParseAddrPort("[2001:db8::1]:9")
	}
	if len(servers) > 0 {
		far = f.servers[0]
	}
	switch own := c.cfg.Leaving(far); {
	case !own.IsValid() || own.IsLoopback() && !far.Addr().IsLoopback():
		out.UDP, out.Why = Absent, "this host has no "+version+" connectivity"
		return out
	case len(servers) == 0:
		out.Why = "the service has no " + version + " address; this host has " + own.String()
		return out
	}
	sock, err := c.cfg.Listen(network)
	if err != nil {
		out.UDP, out.Why = Absent, fmt.Sprintf("no socket: %v", err)
		return out
	}
	main := newAsker(sock)
	defer main.close()
	f.touch(c.home...)
	if f.askFirst(ctx, main); len(f.sights) == 0 && ctx.Err() != nil {
		out.Why = noTime
		return out
	}
	if len(f.sights) == 0 {
		out.UDP, out.Why = Blocked, "no STUN server of the service answered"
		return out
	}
	out.UDP, out.Local, out.Mapped, out.RTT = Passes, f.local, f.first.Mapped, ms(f.first.took)
	var tasks sync.WaitGroup
	mtu := Family{}
	tasks.Go(func() { f.pathMTU(ctx, &mtu) }) // asks the first server only
	change := f.filtering(ctx, &out)
	quiet()
	f.askOthers(ctx, main)
	f.doubt(ctx, &out)
	f.mapping(&out)
	if ctx.Err() != nil && out.Mapping == unknownMapping {
		out.MappingWhy = noTime
	}
	f.hairpin(ctx, &out, main)
	tasks.Wait()
	out.PathMTU, out.TunnelMTU, out.PathMTUWhy = mtu.PathMTU, mtu.TunnelMTU, mtu.PathMTUWhy
	switch {
	case ctx.Err() != nil:
		out.PathMTU, out.TunnelMTU, out.PathMTUWhy = 0, 0, noTime
	case change == 0:
		out.PathMTU, out.TunnelMTU, out.PathMTUWhy = 0, 0, "the service is too old to answer large requests"
	}
	return out
}

// homeFirst orders servers: the service's own address, to which HTTPS and the relay send, comes
// first, so that the filter test can be asked to answer from an address that nothing was sent to.
// Of several ports, one with a neighbor is better than one without.
func (c *checker) homeFirst(servers []netip.AddrPort) []netip.AddrPort {
	out := slices.Clone(servers)
	rank := func(s netip.AddrPort) (r int) {
		if !slices.Contains(c.home, s.Addr()) {
			r += 2
		}
		if !sibling(servers, s).IsValid() {
			r++
		}
		return r
	}
	slices.SortStableFunc(out, func(a, b netip.AddrPort) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

// sibling returns another port of a server's address.
func sibling(servers []netip.AddrPort, s netip.AddrPort) netip.AddrPort {
	for _, o := range servers {
		if o.Addr() == s.Addr() && o.Port() != s.Port() {
			return o
		}
	}
	return netip.AddrPort{}
}

func (f *family) touch(addrs ...netip.Addr) {
	for _, a := range addrs {
		f.touched[a] = true
	}
}

// askFirst asks one server, and the others only if that one does not answer: a NAT may admit
// packets from every address that this host has sent to, from whatever socket.
func (f *family) askFirst(ctx context.Context, a *asker) {
	f.local = f.localOf(a.sock)
	f.touch(f.servers[0].Addr())
	f.sights = f.askAll(ctx, a, f.servers[:1])
	if len(f.sights) == 0 {
		f.sights = f.askAll(ctx, a, f.servers[1:])
		for _, s := range f.servers {
			f.touch(s.Addr())
		}
	}
	if len(f.sights) > 0 {
		f.first = f.sights[0]
	}
}

// askOthers asks the servers that askFirst has not asked.
func (f *family) askOthers(ctx context.Context, a *asker) {
	if f.first.Server == f.servers[0] {
		f.sights = append(f.sights, f.askAll(ctx, a, f.servers[1:])...)
	}
}

// askAll asks servers from one socket, and returns what they saw, the fastest first.
func (f *family) askAll(ctx context.Context, a *asker, servers []netip.AddrPort) (sights []sight) {
	found := make(chan sight, len(servers))
	var tasks sync.WaitGroup
	for _, s := range servers {
		tasks.Go(func() {
			if r, err := a.ask(ctx, s, 0, 0); err == nil && r.from == s && r.Mapped.IsValid() {
				found <- sight{stun.Sight{Server: s, Mapped: r.Mapped}, r.took}
			}
		})
	}
	tasks.Wait()
	close(found)
	for s := range found {
		sights = append(sights, s)
	}
	slices.SortStableFunc(sights, func(a, b sight) int { return cmp.Compare(a.took, b.took) })
	return sights
}

// localOf returns the address of a socket as the servers would see it without a NAT.
func (f *family) localOf(s Socket) netip.AddrPort {
	u, ok := s.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	at := u.AddrPort()
	if at.Addr().IsUnspecified() {
		return netip.AddrPortFrom(f.cfg.Leaving(f.servers[0]), at.Port())
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

const oneAddress = "the service answers STUN at only one address of this family"

// mapping classifies the NAT's mapping.
func (f *family) mapping(out *Family) {
	seen := make([]stun.Sight, len(f.sights))
	for i, s := range f.sights {
		seen[i] = s.Sight
	}
	m := stun.MappingOf(seen, f.local)
	switch m {
	case stun.MappingUnknown:
		out.MappingWhy = "only one port of the service answered; two are needed (nexservice serve --stun-listen, twice)"
		return
	case stun.PortlessMapping:
		out.MappingWhy = "it may depend on the address: " + oneAddress
	case stun.DependentMapping:
		out.MappingWhy = "it may also depend on the port: the service answers at only one port of each address"
	}
	out.Mapping = m
}

// hairpin sends between the public addresses of two sockets of this host. Both send, so that the
// NAT admits the packets of the other.
func (f *family) hairpin(ctx context.Context, out *Family, one *asker) {
	if out.Mapping == stun.NoMapping || f.sights[0].Mapped == f.local {
		out.Hairpin = Absent
		return
	}
	if out.Mapping.Depends() {
		out.HairpinWhy = "the public address of another socket of this host is not known"
		return
	}
	sock, err := f.cfg.Listen(f.network)
	if err != nil {
		out.HairpinWhy = fmt.Sprintf("no socket: %v", err)
		return
	}
	two := newAsker(sock)
	defer two.close()
	r, err := two.ask(ctx, f.sights[0].Server, 0, 0)
	if err != nil {
		out.HairpinWhy = choose(ctx.Err() != nil, noTime, "a second socket received no reply")
		return
	}
	sending, stop := context.WithCancel(ctx)
	defer stop()
	came := make(chan error, 2)
	go func() { _, err := one.send(sending, r.Mapped, 0, 0, two); came <- err }()
	go func() { _, err := two.send(sending, f.sights[0].Mapped, 0, 0, one); came <- err }()
	passed := false
	for range 2 {
		if <-came == nil {
			passed = true
			stop()
		}
	}
	switch {
	case passed:
		out.Hairpin = Yes
	case ctx.Err() != nil:
		out.HairpinWhy = noTime
	default:
		out.Hairpin = No
	}
}
