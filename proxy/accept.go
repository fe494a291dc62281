package proxy

import (
	"context"
	"fmt"
	"net"
	"time"

	"nexd/internal/accept"
)

// accept admits clients until ctx ends or the listener breaks. When the process or the system is
// out of descriptors or memory, it pauses, since existing clients will give some back.
func (s *server) accept(ctx context.Context, ln net.Listener) error {
	var backoff accept.Backoff
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			if backoff.Failures() > 0 {
				s.log.Info("proxy accepts again", "addr", ln.Addr())
				backoff.Reset()
			}
			s.admit(ctx, conn)
		case ctx.Err() != nil:
			return nil
		case accept.OfClient(err):
			s.log.Debug("proxy lost a client before it was accepted", "addr", ln.Addr(), "err", err)
		case !accept.Shortage(err):
			return fmt.Errorf("proxy: accept on %v: %w", ln.Addr(), err)
		default:
			if backoff.Failures() == 0 {
				s.log.Warn("proxy pauses accepting", "addr", ln.Addr(), "err", err)
			}
			backoff.Wait(ctx)
		}
	}
}

// serveClient finds out which protocol the client speaks, and serves it.
func (s *server) serveClient(ctx context.Context, c *client) {
	c.SetDeadline(time.Now().Add(s.cfg.HandshakeTimeout))
	first, err := c.in.Peek(1)
	switch {
	case err != nil: // it hung up, or sent nothing in time
		c.end()
	case first[0] == socks5Version:
		s.socks5(ctx, c)
	case first[0] == socks4Version:
		s.socks4(ctx, c)
	case letter(first[0]):
		s.web.take(c)
	default:
		s.log.Debug("proxy client speaks neither SOCKS nor HTTP", "client", c.RemoteAddr(), "byte", first[0])
		c.end()
	}
}
