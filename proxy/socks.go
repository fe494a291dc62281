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

const (
	socks4Version = 4
	socks5Version = 5

	socks4Rejected  = 0x5b
	socks4MaxString = 512 // of a user or host name, far beyond any
)

// socks5 serves one SOCKS5 client.
func (s *server) socks5(ctx context.Context, c *client) {
	request, err := negotiate(c)
	if err != nil {
		s.log.Debug("proxy SOCKS handshake failed", "client", c.RemoteAddr(), "err", err)
		c.dismiss()
		return
	}
	c.SetDeadline(time.Time{})
	switch request.Command {
	case socks.ConnectCommand:
		s.socksConnect(ctx, c, request.DestAddr)
	default: // BIND and UDP ASSOCIATE
		s.socksRefuse(c, replyBadCommand)
	}
}

// socksConnect dials the target, answers and starts the tunnel.
func (s *server) socksConnect(ctx context.Context, c *client, dest *socks.AddrSpec) {
	address, err := destination(dest)
	if err != nil {
		s.socksRefuse(c, judge(err).reply)
		return
	}
	target, err := s.dialFor(ctx, c, address)
	switch {
	case errors.Is(err, errClientGone):
		c.end()
	case err != nil:
		s.socksRefuse(c, judge(err).reply)
	case c.answer(s.cfg.HandshakeTimeout, appendReply(nil, replyOK, localAddr(target))) != nil:
		target.Close()
		c.end()
	default:
		go s.tunnel(ctx, c, target, c.takeHead())
	}
}

// destination is the target as Dial wants it: a name stays a name.
func destination(dest *socks.AddrSpec) (string, error) {
	if ip, ok := netip.AddrFromSlice(dest.IP); ok {
		return hostPort(ip.Unmap().String(), dest.Port)
	}
	return hostPort(dest.FQDN, dest.Port)
}

// socksRefuse answers with a code other than success and ends the client.
func (s *server) socksRefuse(c *client, code byte) {
	c.answer(s.cfg.HandshakeTimeout, appendReply(nil, code, netip.AddrPortFrom(netip.IPv4Unspecified(), 0)))
	c.dismiss()
}

// appendReply writes a reply of RFC 1928 section 6.
func appendReply(b []byte, code byte, bound netip.AddrPort) []byte {
	const ipv4, ipv6 = 1, 4
	kind := byte(ipv6)
	if bound.Addr().Is4() {
		kind = ipv4
	}
	b = append(b, socks5Version, code, 0, kind)
	b = append(b, bound.Addr().AsSlice()...)
	return append(b, byte(bound.Port()>>8), byte(bound.Port()))
}

// negotiate lets the library do the handshake up to the request. The errors that
// the client is told about in the handshake have been sent when it returns.
func negotiate(c *client) (*socks.Request, error) {
	n := &negotiation{Conn: c.Conn, in: c.in}
	lib, err := socks.New(&socks.Config{Rules: n, Resolver: n, Logger: log.New(io.Discard, "", 0), Dial: neverDial})
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

// negotiation is the client as the library sees it, until the library asks for
// permission. From then on the library is talking to itself.
type negotiation struct {
	net.Conn
	in      *bufio.Reader
	request *socks.Request
}

// Read gives out one byte, so that the library's own buffer never holds what
// comes after the request.
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

// Write passes the handshake on and swallows the library's answer to the request.
func (n *negotiation) Write(p []byte) (int, error) {
	if n.request != nil {
		return len(p), nil
	}
	return n.Conn.Write(p)
}

// Close leaves the connection open: it is not the library's.
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

// socks4 reads a SOCKS4 or 4a request whole, so that the answer is not lost to a
// reset, and refuses it.
func (s *server) socks4(c *client) {
	if skipSOCKS4(c.in) != nil {
		c.end()
		return
	}
	s.log.Debug("proxy client speaks SOCKS4", "client", c.RemoteAddr())
	c.Write([]byte{0, socks4Rejected, 0, 0, 0, 0, 0, 0})
	c.dismiss()
}

// skipSOCKS4 reads VN CD PORT(2) IP(4) USER 0, and HOST 0 after an address
// 0.0.0.x.
func skipSOCKS4(in *bufio.Reader) error {
	var fixed [8]byte
	if _, err := io.ReadFull(in, fixed[:]); err != nil {
		return err
	}
	strings := 1
	if fixed[4] == 0 && fixed[5] == 0 && fixed[6] == 0 && fixed[7] != 0 {
		strings = 2
	}
	for ; strings > 0; strings-- {
		if err := skipString(in); err != nil {
			return err
		}
	}
	return nil
}

func skipString(in *bufio.Reader) error {
	for range socks4MaxString {
		b, err := in.ReadByte()
		if err != nil || b == 0 {
			return err
		}
	}
	return errors.New("proxy: a string in a SOCKS4 request has no end")
}
