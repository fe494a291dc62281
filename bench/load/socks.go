//go:build linux

package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// dialer opens connections to the load server, directly or through a proxy.
type dialer struct {
	target netip.AddrPort
	proxy  string // empty: directly
}

func (d dialer) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, DialLimit)
	defer cancel()
	first := d.proxy
	if first == "" {
		first = d.target.String()
	}
	var nd net.Dialer
	c, err := nd.DialContext(ctx, "tcp", first)
	if err != nil || d.proxy == "" {
		return c, err
	}
	deadline, _ := ctx.Deadline()
	c.SetDeadline(deadline)
	if err := connectThrough(c, d.target); err != nil {
		c.Close()
		return nil, fmt.Errorf("through %s: %w", d.proxy, err)
	}
	c.SetDeadline(time.Time{})
	return c, nil
}

// connectThrough asks a SOCKS5 proxy for an IPv4 target (RFC 1928), without
// authentication.
func connectThrough(c io.ReadWriter, target netip.AddrPort) error {
	var reply [10]byte
	if _, err := c.Write([]byte{5, 1, 0}); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, reply[:2]); err != nil {
		return err
	}
	if reply[0] != 5 || reply[1] != 0 {
		return fmt.Errorf("proxy answered % x to the greeting", reply[:2])
	}
	ip, port := target.Addr().As4(), target.Port()
	if _, err := c.Write(append(append([]byte{5, 1, 0, 1}, ip[:]...), byte(port>>8), byte(port))); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, reply[:]); err != nil {
		return err
	}
	if reply[1] != 0 || reply[3] != 1 {
		return fmt.Errorf("proxy answered % x to the request", reply[:])
	}
	return nil
}
