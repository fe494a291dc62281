package netcheck

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"nexd/internal/stun"
)

// filterTest is what one fresh socket found out, which has sent to one server only.
type filterTest struct {
	err        error      // no socket
	known      bool       // the server answers requests for an answer from elsewhere
	other      netip.Addr // another address of the server; not valid = it has none
	port, addr bool       // an answer from another port, or another address, came
}

// tryFilter asks a server to answer from another port and from another address.
func (f *family) tryFilter(ctx context.Context, server netip.AddrPort) (t filterTest) {
	sock, err := f.cfg.Listen(f.network)
	if err != nil {
		return filterTest{err: err}
	}
	a := newAsker(sock)
	defer a.close()
	a.resend = quickly(f.first.took)
	var plain, port, addr reply
	var noPlain, noPort, noAddr error
	var tasks sync.WaitGroup
	tasks.Go(func() { plain, noPlain = a.ask(ctx, server, stun.Asked, 0) })
	tasks.Go(func() { port, noPort = a.ask(ctx, server, stun.Asked|stun.ChangePort, 0) })
	tasks.Go(func() { addr, noAddr = a.ask(ctx, server, stun.Asked|stun.ChangeAddr|stun.ChangePort, 0) })
	tasks.Wait()
	t.known, t.other = noPlain == nil, plain.Other.Addr().Unmap()
	t.port = noPort == nil && port.from.Addr() == server.Addr() && port.from.Port() != server.Port()
	t.addr = noAddr == nil && addr.from.Addr() != server.Addr()
	return t
}

// filtering asks the first server, from a socket that has sent to no other, to answer from another
// port and address. If that server has no other port, another server is asked about ports. It
// returns the changes that the server understands.
func (f *family) filtering(ctx context.Context, out *Family) stun.Change {
	t := f.tryFilter(ctx, f.first.Server)
	asked := f.first.Server
	if t.known && !t.addr && !sibling(f.servers, asked).IsValid() {
		for _, s := range f.servers {
			if sibling(f.servers, s).IsValid() {
				asked = s
				t.port = f.tryFilter(ctx, s).port
				break
			}
		}
	}
	pair := sibling(f.servers, asked).IsValid()
	switch {
	case t.err != nil:
		out.FilteringWhy = fmt.Sprintf("no socket: %v", t.err)
		return 0
	case ctx.Err() != nil:
		out.FilteringWhy = noTime
		return 0
	case !t.known:
		out.FilteringWhy = "the service does not answer from another port on request"
		return 0
	case t.addr && (f.touched[t.other] || f.cfg.Relay != nil):
		out.Filtering, out.FilteringWhy = PortlessFiltering, "other addresses may be admitted too, "+cannotTell
	case t.addr:
		out.Filtering = EndpointFiltering
	case t.port && t.other.IsValid():
		out.Filtering = AddressFiltering
	case t.port:
		out.Filtering, out.FilteringWhy = PortlessFiltering, "other addresses may be admitted too: "+oneAddress
	case pair:
		out.Filtering = AddressPortFiltering
	default:
		out.FilteringWhy = "the service answers at only one port of each address"
	}
	f.consider(out)
	return stun.Asked
}

const cannotTell = "but this host has sent to all addresses of the service before, so it cannot be told"

// consider compares the result with that of an earlier run, since which this host has sent to every
// address of the service. What was refused then may be admitted now for that reason only.
func (f *family) consider(out *Family) {
	now := finding{At: time.Now(), Local: f.local.Addr(), Mapped: f.first.Mapped.Addr(), Server: f.first.Server.Addr(), Filtering: out.Filtering}
	strictness := map[Filtering]int{EndpointFiltering: 1, PortlessFiltering: 2, AddressFiltering: 3, AddressPortFiltering: 4}
	past, ok := f.recall(now)
	was, is := strictness[past.Filtering], strictness[now.Filtering]
	switch {
	case is == 0:
		return
	case !ok, was == is:
	case was > is:
		now.Filtering = past.Filtering
		if out.Filtering = PortlessFiltering; was == 4 {
			out.Filtering = FilteringUnknown
		}
		out.FilteringWhy = fmt.Sprintf("an earlier run found %s, but this host has sent to all addresses of the service since, so it cannot be told; "+
			"run netcheck again after %d minutes without one", past.Filtering, int(rememberFor.Minutes()))
	case was == 1 && is == 2: // beside a node, which has sent to all of them
		now.Filtering, out.Filtering, out.FilteringWhy = EndpointFiltering, EndpointFiltering, "found by an earlier run"
	}
	f.remember(now)
}

// doubt takes back a result that rests on the silence of a server which answers nothing else either.
func (f *family) doubt(ctx context.Context, out *Family) {
	var port, addr bool // a second port of an address, a second address has answered
	for i, s := range f.sights {
		for _, o := range f.sights[:i] {
			same := s.Server.Addr() == o.Server.Addr()
			port, addr = port || same, addr || !same
		}
	}
	switch {
	case out.Filtering == AddressPortFiltering && !port:
		out.Filtering, out.FilteringWhy = FilteringUnknown, choose(ctx.Err() != nil, noTime, "only one port of the service answered")
	case out.Filtering == AddressFiltering && !addr:
		out.Filtering, out.FilteringWhy = PortlessFiltering, "other addresses may be admitted too: the service's other address does not answer"
	}
}
