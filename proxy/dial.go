package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"nexd/internal/hostport"
	"nexd/internal/splice"
	"nexd/mesh"
)

// dial connects to a target within the dial timeout. Its errors are for replyFor.
func (s *server) dial(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DialTimeout)
	defer cancel()
	begin := time.Now()
	conn, err := s.cfg.Dial(ctx, "tcp", address)
	if err == nil {
		return conn, nil
	}
	if errors.Is(err, context.Canceled) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = context.DeadlineExceeded // some dialers return the wrong error
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		s.stats.failed.Add(1)
	}
	s.log.Debug("proxy dial failed", "addr", address, "after", time.Since(begin), "err", err)
	return nil, err
}

// errClientGone is the error of a dial whose client has hung up.
var errClientGone = errors.New("proxy: the client hung up")

// dialFor dials and watches the client meanwhile. If the client goes away, the dial ends.
func (s *server) dialFor(ctx context.Context, c *client, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := c.watch(func() { cancel(errClientGone) })
	target, err := s.dial(ctx, address)
	stop()
	if context.Cause(ctx) == nil {
		return target, err
	}
	if err == nil {
		target.Close()
	}
	return nil, errClientGone // or Serve ends, which is the same for the client
}

// tunnel copies both ways between a client and its target until both are done, and ends the client.
// It runs on a goroutine of its own: the connection may be idle for hours and must not keep the
// stack that the handshake made large.
func (s *server) tunnel(ctx context.Context, c *client, target net.Conn, head []byte) {
	defer c.end()
	c.unhook() // from here on splice closes the connection when ctx ends
	up, down, err := splice.Options{
		Head: head, Idle: s.cfg.IdleTimeout, HalfIdle: min(s.cfg.IdleTimeout, halfIdleTimeout),
		AToB: &s.stats.sent, BToA: &s.stats.received,
	}.Pipe(ctx, c.Conn, target)
	s.log.Debug("proxy connection ended", "client", c.RemoteAddr(), "addr", target.RemoteAddr(), "sent", up, "received", down, "err", err)
}

// hostPort checks a target of the client and returns it in the form that Dial takes. An address
// may have any form that hostport.Literal reads.
func hostPort(host string, port int) (string, error) {
	if a, ok := hostport.Literal(host); ok {
		host = a.String()
	}
	if host == "" || len(host) > 255 || !plausible(host) {
		return "", mesh.Errorf(mesh.NotFound, "proxy: %q is not a valid host name", host)
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// plausible reports whether host could be a name or an address. It keeps other strings out of Dial
// and the log.
func plausible(host string) bool {
	for i := range len(host) {
		switch b := host[i]; {
		case b <= ' ', b == 0x7f, b == '/', b == '[', b == ']', b == '@':
			return false
		}
	}
	return true
}

// splitTarget reads the HOST:PORT of a CONNECT request.
func splitTarget(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", mesh.Errorf(mesh.Invalid, "proxy: %q must be HOST:PORT", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", mesh.Errorf(mesh.Invalid, "proxy: %q has no valid port", s)
	}
	return hostPort(host, int(n))
}

// localAddr returns the local address of a connection, or 0.0.0.0:0 if it is unknown.
func localAddr(c net.Conn) netip.AddrPort {
	none := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	switch a := c.LocalAddr().(type) {
	case nil:
		return none
	case *net.TCPAddr:
		if ap := a.AddrPort(); ap.IsValid() {
			return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
		}
		return none
	case fmt.Stringer:
		if ap, err := netip.ParseAddrPort(a.String()); err == nil {
			return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
		}
	}
	return none
}
