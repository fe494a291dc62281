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

	// The replies to the socket that asks all servers, the fastest first.
	sights []sight
	local  netip.AddrPort
}

type sight struct {
	stun.Sight
	took time.Duration
}

// checkFamily measures what the servers of one address family can show.
func (c *checker) checkFamily(ctx context.Context, network string, servers []netip.AddrPort) Family {
	f := &family{checker: c, network: network, servers: servers[:min(len(servers), maxServers)]}
	out := newFamily()
	version, far := "IPv4", netip.MustParseAddrPort("192.0.2.1:9")
	if network == "udp6" {
		version, far = "IPv6", netip.MustParseAddrPort("[2001:db8::1]:9")
	}
	if len(servers) > 0 {
		far = servers[0]
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
	f.askAll(ctx, main)
	if len(f.sights) == 0 && ctx.Err() != nil {
		out.Why = noTime
		return out
	}
	if len(f.sights) == 0 {
		out.UDP, out.Why = Blocked, "no STUN server of the service answered"
		return out
	}
	best := f.sights[0]
	out.UDP, out.Local, out.Mapped, out.RTT = Passes, f.local, best.Mapped, ms(best.took)
	f.mapping(&out)
	var tasks sync.WaitGroup
	var change stun.Change // the servers know of
	tasks.Go(func() { change = f.filtering(ctx, &out) })
	tasks.Go(func() { f.hairpin(ctx, &out, main) })
	mtu := Family{}
	tasks.Go(func() { f.pathMTU(ctx, &mtu) })
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

// askAll asks every server from one socket. It does not wait for servers that answer long after the
// first.
func (f *family) askAll(ctx context.Context, a *asker) {
	f.local = f.localOf(a.sock)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	found := make(chan sight, len(f.servers))
	var tasks sync.WaitGroup
	for _, s := range f.servers {
		tasks.Go(func() {
			if r, err := a.ask(ctx, s, 0, 0); err == nil && r.from == s && r.Mapped.IsValid() {
				found <- sight{stun.Sight{Server: s, Mapped: r.Mapped}, r.took}
			}
		})
	}
	go func() { tasks.Wait(); close(found) }()
	for s := range found {
		f.sights = append(f.sights, s)
	}
	slices.SortStableFunc(f.sights, func(a, b sight) int { return cmp.Compare(a.took, b.took) })
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

// filtering asks one server, from a socket that has sent to no other, to answer from another port
// and address. It returns the changes that the server understands.
func (f *family) filtering(ctx context.Context, out *Family) stun.Change {
	sock, err := f.cfg.Listen(f.network)
	if err != nil {
		out.FilteringWhy = fmt.Sprintf("no socket: %v", err)
		return 0
	}
	a := newAsker(sock)
	defer a.close()
	server := f.sights[0].Server
	type result struct {
		reply
		err error
	}
	results := map[stun.Change]*result{stun.Asked: {}, stun.ChangePort: {}, stun.ChangeAddr | stun.ChangePort: {}}
	var tasks sync.WaitGroup
	for change, r := range results {
		tasks.Go(func() { r.reply, r.err = a.ask(ctx, server, change|stun.Asked, 0) })
	}
	tasks.Wait()
	known, port, addr := results[stun.Asked], results[stun.ChangePort], results[stun.ChangeAddr|stun.ChangePort]
	if ctx.Err() != nil {
		out.FilteringWhy = noTime
		return 0
	}
	if known.err != nil {
		out.FilteringWhy = "the service does not answer from another port on request"
		return 0
	}
	otherPort := slices.ContainsFunc(f.servers, func(s netip.AddrPort) bool { return s.Addr() == server.Addr() && s.Port() != server.Port() })
	switch {
	case addr.err == nil && addr.from.Addr() != server.Addr():
		out.Filtering = EndpointFiltering
	case port.err == nil && port.from.Port() != server.Port() && known.Other.IsValid():
		out.Filtering = AddressFiltering
	case port.err == nil && port.from.Port() != server.Port():
		out.Filtering, out.FilteringWhy = PortlessFiltering, "other addresses may be admitted too: "+oneAddress
	case otherPort:
		out.Filtering = AddressPortFiltering
	default:
		out.FilteringWhy = "the service answers at only one port of this address"
	}
	return stun.Asked
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
		out.HairpinWhy = "a second socket received no reply"
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
