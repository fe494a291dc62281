package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"nexd/internal/splice"
	"nexd/mesh"
)

// dial connects to a target within the dial timeout. The error is one that judge
// understands.
func (s *server) dial(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DialTimeout)
	defer cancel()
	begin := time.Now()
	conn, err := s.cfg.Dial(ctx, "tcp", address)
	if err == nil {
		return conn, nil
	}
	if errors.Is(err, context.Canceled) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = context.DeadlineExceeded // some dialers name the wrong reason
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		s.stats.failed.Add(1)
	}
	s.log.Debug("proxy dial failed", "addr", address, "after", time.Since(begin), "err", err)
	return nil, err
}

// errClientGone ends a dial that nobody waits for any more.
var errClientGone = errors.New("proxy: the client hung up")

// dialFor dials while it watches the client, whose going away ends the dial.
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
	return nil, errClientGone // or the proxy is closing, which is the same to the client
}

// tunnel joins a client and its target until both are done, and ends the client.
// It is started on a goroutine of its own, so that a connection that may idle for
// hours does not keep the stack that the handshake made large.
func (s *server) tunnel(ctx context.Context, c *client, target net.Conn, head []byte) {
	defer c.end()
	c.unhook() // from here on splice sees to the end of ctx
	up, down, err := splice.Options{
		Head: head, Idle: s.cfg.IdleTimeout, HalfIdle: min(s.cfg.IdleTimeout, halfIdleTimeout),
		AToB: &s.stats.sent, BToA: &s.stats.received,
	}.Pipe(ctx, c.Conn, target)
	s.log.Debug("proxy connection ended", "client", c.RemoteAddr(), "addr", target.RemoteAddr(), "sent", up, "received", down, "err", err)
}

// hostPort checks a target of the client and returns it in the form Dial wants.
func hostPort(host string, port int) (string, error) {
	if host == "" || len(host) > 255 || !plausible(host) {
		return "", mesh.Errorf(mesh.NotFound, "proxy: %q is not a valid host name", host)
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// plausible keeps out of Dial, and of the log, what no name or address has.
func plausible(host string) bool {
	for i := range len(host) {
		switch b := host[i]; {
		case b <= ' ', b == 0x7f, b == '/', b == '[', b == ']', b == '@':
			return false
		}
	}
	return true
}

// splitTarget reads "host:port" as it stands in a CONNECT request.
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

// localAddr is the local address of a connection, or 0.0.0.0:0 if it has none
// that can be told.
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
