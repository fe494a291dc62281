package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/netip"
	"time"

	socks "github.com/armon/go-socks5"
)

// The first byte of a client.
const (
	socks4Version = 4
	socks5Version = 5
)

// socks5 serves one SOCKS5 client.
func (s *server) socks5(ctx context.Context, c *client) {
	request, err := negotiate(c, s.cfg.Auth)
	if err != nil {
		s.log.Debug("proxy SOCKS handshake failed", "client", c.RemoteAddr(), "err", err)
		c.dismiss()
		return
	}
	c.settle()
	c.SetDeadline(time.Time{})
	switch request.Command {
	case socks.ConnectCommand:
		s.socksConnect(ctx, c, request.DestAddr)
	case socks.AssociateCommand:
		s.associate(ctx, c, request.DestAddr)
	default: // BIND: nobody in the mesh could be told the address
		s.socksRefuse(c, replyBadCommand)
	}
}

// socksConnect dials the target, answers the client and starts the tunnel.
func (s *server) socksConnect(ctx context.Context, c *client, dest *socks.AddrSpec) {
	address, err := destination(dest)
	if err != nil {
		s.socksRefuse(c, replyFor(err).code)
		return
	}
	target, err := s.dialFor(ctx, c, address)
	switch {
	case errors.Is(err, errClientGone):
		c.end()
	case err != nil:
		s.socksRefuse(c, replyFor(err).code)
	case c.answer(s.cfg.HandshakeTimeout, appendReply(nil, replyOK, localAddr(target))) != nil:
		target.Close()
		c.end()
	default:
		go s.tunnel(ctx, c, target, c.takeHead())
	}
}

// destination returns the target in the form that Dial takes. A name stays a name.
func destination(dest *socks.AddrSpec) (string, error) {
	if ip, ok := netip.AddrFromSlice(dest.IP); ok {
		return hostPort(ip.Unmap().String(), dest.Port)
	}
	return hostPort(dest.FQDN, dest.Port)
}

// socksRefuse answers with an error code and ends the client.
func (s *server) socksRefuse(c *client, code byte) {
	c.answer(s.cfg.HandshakeTimeout, appendReply(nil, code, netip.AddrPortFrom(netip.IPv4Unspecified(), 0)))
	c.dismiss()
}

// appendReply appends a reply of RFC 1928 section 6.
func appendReply(b []byte, code byte, bound netip.AddrPort) []byte {
	kind := byte(typeIPv6)
	if bound.Addr().Is4() {
		kind = typeIPv4
	}
	b = append(b, socks5Version, code, 0, kind)
	b = append(b, bound.Addr().AsSlice()...)
	return append(b, byte(bound.Port()>>8), byte(bound.Port()))
}

// negotiate lets the library do the handshake up to the request. If the handshake fails, the client
// has got the error when negotiate returns. With auth, a client that offers no password is refused.
func negotiate(c *client, auth func(user, password string) bool) (*socks.Request, error) {
	n := &negotiation{Conn: c.Conn, in: c.in}
	cfg := &socks.Config{Rules: n, Resolver: n, Logger: log.New(io.Discard, "", 0), Dial: neverDial}
	if auth != nil {
		cfg.Credentials = credentials(auth)
	}
	lib, err := socks.New(cfg)
	if err != nil {
		return nil, err
	}
	if err := lib.ServeConn(n); n.request == nil {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return n.request, nil
}

// negotiation is the client as the library sees it, until the library asks for permission. Then the
// request is taken over, and the library gets io.EOF.
type negotiation struct {
	net.Conn
	in      *bufio.Reader
	request *socks.Request
}

// Read returns one byte, so that the library's buffer never holds what comes after the request.
func (n *negotiation) Read(p []byte) (int, error) {
	if n.request != nil || len(p) == 0 {
		return 0, io.EOF
	}
	b, err := n.in.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// Write sends the handshake, and discards the library's answer to the request.
func (n *negotiation) Write(p []byte) (int, error) {
	if n.request != nil {
		return len(p), nil
	}
	return n.Conn.Write(p)
}

// Close does nothing: the connection is not the library's.
func (n *negotiation) Close() error { return nil }

// Allow implements the library's RuleSet. It takes the request over.
func (n *negotiation) Allow(ctx context.Context, request *socks.Request) (context.Context, bool) {
	n.request = request
	return ctx, false
}

// Resolve implements the library's NameResolver. Names are for Dial to resolve.
func (n *negotiation) Resolve(ctx context.Context, _ string) (context.Context, net.IP, error) {
	return ctx, nil, nil
}

func neverDial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}
