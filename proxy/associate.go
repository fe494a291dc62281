package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	socks "github.com/armon/go-socks5"

	"nexd/internal/budget"
	"nexd/internal/datagram"
)

// association is one UDP ASSOCIATE: a relay between a client and the mesh. It has one socket on each
// side, so that the client has the same port in the mesh for all targets and receives everything
// that is sent to this port.
//
//	client ──UDP──▶ relay: source checked, header removed ──▶ outside ──▶ mesh
//	       ◀─────── header added ◀─────────────────────────── outside ◀── mesh
//	client ══TCP══  ends the association when it ends; the association ends it after a long idle time
type association struct {
	s       *server
	client  netip.Addr    // whose datagrams are taken
	relay   *net.UDPConn  // towards the client
	outside datagram.Conn // towards the mesh
	names   names

	pinned atomic.Pointer[netip.AddrPort] // the address that the client sends from
	idle   *datagram.IdleTimer            // ends the association; set by run
}

// associate serves UDP ASSOCIATE until the control connection ends.
func (s *server) associate(ctx context.Context, c *client, dest *socks.AddrSpec) {
	if s.cfg.ListenPacket == nil || s.cfg.Resolve == nil || !addrOf(c.Conn.LocalAddr()).IsValid() {
		s.socksRefuse(c, replyBadCommand) // a client of a Unix socket has no address to check datagrams against
		return
	}
	if s.stats.associations.Add(1) > int64(s.cfg.MaxAssociations) {
		s.stats.associations.Add(-1)
		s.stats.refused.Add(1)
		s.associationsFull.Do(func() {
			s.log.Warn("proxy has too many UDP associations; new ones are refused", "limit", s.cfg.MaxAssociations)
		})
		s.socksRefuse(c, replyFailed)
		return
	}
	defer s.stats.associations.Add(-1)
	if !s.cfg.Budget.Take(budget.Association) {
		s.stats.refused.Add(1)
		s.socksRefuse(c, replyFailed)
		return
	}
	defer s.cfg.Budget.Give(budget.Association)
	a, err := s.newAssociation(ctx, c, dest)
	if err != nil {
		s.log.Debug("proxy UDP association failed", "client", c.RemoteAddr(), "err", err)
		s.socksRefuse(c, replyFor(err).code)
		return
	}
	if c.answer(s.cfg.HandshakeTimeout, appendReply(nil, replyOK, udpAddr(a.relay.LocalAddr()))) != nil {
		a.close()
		c.end()
		return
	}
	a.run(ctx, c)
}

// newAssociation opens both sockets. The socket towards the client is on the address at which the
// client reached the proxy.
func (s *server) newAssociation(ctx context.Context, c *client, dest *socks.AddrSpec) (*association, error) {
	local, ok := c.Conn.LocalAddr().(*net.TCPAddr)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	a := &association{s: s, client: addrOf(c.Conn.RemoteAddr())}
	a.pin(dest)
	opening, cancel := context.WithTimeout(ctx, s.cfg.DialTimeout)
	defer cancel()
	outside, err := s.cfg.ListenPacket(opening)
	if err != nil {
		return nil, err
	}
	a.outside = outside
	a.names = names{resolve: s.cfg.Resolve, known: map[string]*name{}, deliver: a.send}
	if a.relay, err = net.ListenUDP("udp", &net.UDPAddr{IP: local.IP, Zone: local.Zone}); err != nil {
		outside.Close()
		return nil, err
	}
	return a, nil
}

// pin takes the source that the client announced, if it did. Many clients announce 0.0.0.0:0, some
// the address of their target.
func (a *association) pin(dest *socks.AddrSpec) {
	addr, ok := netip.AddrFromSlice(dest.IP)
	if !ok || dest.Port == 0 {
		return
	}
	if addr = addr.Unmap(); addr.IsUnspecified() || addr == a.client {
		source := netip.AddrPortFrom(a.client, uint16(dest.Port))
		a.pinned.Store(&source)
	}
}

func (a *association) close() {
	a.relay.Close()
	a.outside.Close()
}

// run forwards datagrams until the control connection ends, the association is idle for too long,
// or ctx ends.
func (a *association) run(ctx context.Context, c *client) {
	ctx, cancel := context.WithCancel(ctx)
	defer c.end()
	began := time.Now()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer a.close()
	defer cancel()
	end := sync.OnceFunc(func() { c.Close() }) // wakes the reader below
	a.idle = datagram.NewIdleTimer(a.s.cfg.UDPIdleTimeout, end)
	defer a.idle.Stop()
	wg.Go(func() { a.outward(ctx, &wg); end() })
	wg.Go(func() { a.homeward(ctx); end() })
	c.in = nil
	io.Copy(io.Discard, struct{ io.Reader }{c.Conn}) // waits for the end; by the RFC the client sends nothing
	a.s.log.Debug("proxy UDP association ended", "client", c.RemoteAddr(), "after", time.Since(began))
}

// outward forwards the datagrams of the client.
func (a *association) outward(ctx context.Context, wg *sync.WaitGroup) {
	wait := datagram.Waiter(a.relay)
	for {
		err := wait()
		if err == nil || !closed(err) {
			err = a.fromClient(ctx, wg)
		}
		switch {
		case err == nil:
		case closed(err):
			return
		default: // an error of one datagram, or a transient one
			pauseAfterError(ctx)
		}
	}
}

// pauseAfterError prevents a busy loop when the reads of a socket fail again and again.
func pauseAfterError(ctx context.Context) {
	timer := time.NewTimer(5 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func closed(err error) bool { return errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) }

// fromClient forwards one datagram, in a borrowed buffer.
func (a *association) fromClient(ctx context.Context, wg *sync.WaitGroup) error {
	buf := a.s.buffers.Get()
	defer a.s.buffers.Put(buf)
	n, from, err := a.relay.ReadFromUDPAddrPort(buf[:])
	if err != nil {
		return err
	}
	from = netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
	if !a.known(from) {
		a.drop("sender", from, nil)
		return nil
	}
	to, data, err := parseUDP(buf[:n])
	if err != nil {
		a.drop("sender", from, err)
		return nil
	}
	a.idle.Touch()
	if to.name != "" {
		a.names.send(ctx, wg, to, data)
		return nil
	}
	a.send(netip.AddrPortFrom(to.addr, to.port), data)
	return nil
}

// known reports whether a datagram is from the client. The first datagram determines the client's
// port.
func (a *association) known(from netip.AddrPort) bool {
	if from.Addr() != a.client {
		return false
	}
	if a.pinned.Load() == nil {
		a.pinned.CompareAndSwap(nil, &from)
	}
	return *a.pinned.Load() == from
}

// send writes a datagram to the mesh. A datagram that cannot be sent is lost, as UDP permits.
func (a *association) send(to netip.AddrPort, data []byte) {
	if _, err := a.outside.WriteToUDPAddrPort(data, to); err != nil {
		a.drop("to", to, err)
		return
	}
	a.s.stats.sent.Add(int64(len(data)))
}

func (a *association) drop(key string, addr netip.AddrPort, err error) {
	a.s.stats.dropped.Add(1)
	a.s.log.Debug("proxy dropped a datagram", "client", a.client, key, addr, "err", err)
}

// homeward forwards the datagrams from the mesh to the client.
func (a *association) homeward(ctx context.Context) {
	wait := datagram.Waiter(a.outside)
	for {
		err := wait()
		if err == nil || !closed(err) {
			err = a.toClient()
		}
		switch {
		case err == nil:
		case closed(err):
			return
		default: // an error of one datagram, or a transient one
			pauseAfterError(ctx)
		}
	}
}

// toClient forwards one datagram in a borrowed buffer, which has room for the header in front.
func (a *association) toClient() error {
	buf := a.s.buffers.Get()
	defer a.s.buffers.Put(buf)
	n, from, err := a.outside.ReadFromUDPAddrPort(buf[maxUDPHeader:])
	if err != nil {
		return err
	}
	from = netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
	var room [maxUDPHeader]byte
	header := appendUDP(room[:0], from)
	start := maxUDPHeader - len(header)
	copy(buf[start:], header)
	to := a.pinned.Load()
	if to == nil { // the client has not sent anything yet, so its port is unknown
		a.drop("from", from, nil)
		return nil
	}
	if _, err := a.relay.WriteToUDPAddrPort(buf[start:maxUDPHeader+n], *to); err != nil {
		a.drop("from", from, err)
		return nil
	}
	a.idle.Touch()
	a.s.stats.received.Add(int64(n))
	return nil
}

// addrOf returns the IP address of a TCP address. For any other address the result is not valid.
func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func udpAddr(a net.Addr) netip.AddrPort {
	u := a.(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(u.Addr().Unmap().WithZone(""), u.Port())
}
