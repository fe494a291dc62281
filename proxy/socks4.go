package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"
)

// The replies of SOCKS4.
const (
	socks4Granted   = 0x5a
	socks4Rejected  = 0x5b
	socks4Identity  = 0x5d // the user ID does not convince
	socks4Connect   = 1
	socks4MaxString = 512 // of a user or host name, far beyond any
)

// socks4 serves one SOCKS4 or 4a client. The reply can only grant or reject, with an IPv4 address.
// SOCKS4 has no password, so with Auth every client is rejected.
func (s *server) socks4(ctx context.Context, c *client) {
	request, err := readSOCKS4(c.in)
	if err != nil {
		s.log.Debug("proxy SOCKS4 handshake failed", "client", c.RemoteAddr(), "err", err)
		c.end()
		return
	}
	c.settle()
	c.SetDeadline(time.Time{}) // a dial may take longer, and the client's leaving ends it
	switch {
	case s.cfg.Auth != nil:
		s.log.Debug("proxy client speaks SOCKS4, which has no passwords", "client", c.RemoteAddr())
		s.socks4Refuse(c, socks4Identity)
		return
	case request.command != socks4Connect:
		s.socks4Refuse(c, socks4Rejected)
		return
	}
	address, err := hostPort(request.host, request.port)
	if err != nil {
		s.socks4Refuse(c, socks4Rejected)
		return
	}
	target, err := s.dialFor(ctx, c, address)
	switch {
	case errors.Is(err, errClientGone):
		c.end()
	case err != nil:
		s.socks4Refuse(c, socks4Rejected)
	case c.answer(s.cfg.HandshakeTimeout, socks4Reply(socks4Granted, localAddr(target))) != nil:
		target.Close()
		c.end()
	default:
		go s.tunnel(ctx, c, target, c.takeHead())
	}
}

func (s *server) socks4Refuse(c *client, code byte) {
	c.answer(s.cfg.HandshakeTimeout, socks4Reply(code, netip.AddrPort{}))
	c.dismiss()
}

// socks4Reply returns 0, code, port and address. An address that is not IPv4 is left out.
func socks4Reply(code byte, bound netip.AddrPort) []byte {
	ip := [4]byte{}
	if bound.Addr().Is4() {
		ip = bound.Addr().As4()
	}
	return append([]byte{0, code, byte(bound.Port() >> 8), byte(bound.Port())}, ip[:]...)
}

// socks4Request is the request of a SOCKS4 or 4a client.
type socks4Request struct {
	command byte
	host    string
	port    int
}

// readSOCKS4 reads VN CD PORT(2) IP(4) USER 0 and, after an address 0.0.0.x, HOST 0. It reads
// nothing that belongs to the target.
func readSOCKS4(in *bufio.Reader) (r socks4Request, err error) {
	var fixed [8]byte
	if _, err := io.ReadFull(in, fixed[:]); err != nil {
		return r, err
	}
	r.command, r.port = fixed[1], int(fixed[2])<<8|int(fixed[3])
	if _, err := readString(in); err != nil { // the user: nobody is asked
		return r, err
	}
	if fixed[4] != 0 || fixed[5] != 0 || fixed[6] != 0 || fixed[7] == 0 {
		r.host = net.IP(fixed[4:]).String()
		return r, nil
	}
	r.host, err = readString(in)
	return r, err
}

func readString(in *bufio.Reader) (string, error) {
	var b []byte
	for range socks4MaxString {
		c, err := in.ReadByte()
		if err != nil {
			return "", err
		}
		if c == 0 {
			return string(b), nil
		}
		b = append(b, c)
	}
	return "", errors.New("proxy: a string in a SOCKS4 request is not terminated")
}
