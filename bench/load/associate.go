//go:build linux

package load

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// maxSOCKSHeader is the maximum length of the header before a datagram.
const maxSOCKSHeader = 4 + 16 + 2

// associate opens a UDP association for the target (RFC 1928, section 7).
func (d dialer) associate() (net.Conn, error) {
	control, err := net.DialTimeout("tcp", d.proxy, DialLimit)
	if err != nil {
		return nil, err
	}
	control.SetDeadline(time.Now().Add(DialLimit))
	relay, err := askAssociate(control)
	if err == nil {
		control.SetDeadline(time.Time{})
		var udp net.Conn
		if udp, err = net.Dial("udp", relay.String()); err == nil {
			a := &association{Conn: udp, control: control}
			a.out = append([]byte{0, 0, 0}, socksAddress(d.target)...)
			a.header = len(a.out)
			return a, nil
		}
	}
	control.Close()
	return nil, fmt.Errorf("associate through %s: %w", d.proxy, err)
}

func askAssociate(c io.ReadWriter) (relay netip.AddrPort, err error) {
	any4 := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	if _, err := c.Write(append([]byte{5, 1, 0, 5, 3, 0}, socksAddress(any4)...)); err != nil {
		return relay, err
	}
	var reply [2 + 10]byte
	if _, err := io.ReadFull(c, reply[:]); err != nil {
		return relay, err
	}
	if reply[1] != 0 || reply[3] != 0 || reply[5] != 1 {
		return relay, fmt.Errorf("proxy answered % x", reply)
	}
	ip := netip.AddrFrom4([4]byte(reply[6:10]))
	return netip.AddrPortFrom(ip, uint16(reply[10])<<8|uint16(reply[11])), nil
}

// socksAddress encodes an IPv4 address for SOCKS5.
func socksAddress(a netip.AddrPort) []byte {
	ip := a.Addr().As4()
	return []byte{1, ip[0], ip[1], ip[2], ip[3], byte(a.Port() >> 8), byte(a.Port())}
}

// association exchanges datagrams with one target through the proxy's UDP relay.
type association struct {
	net.Conn
	control net.Conn
	header  int    // bytes before every datagram
	out     []byte // the header and the last datagram
}

// Write sends one datagram.
func (a *association) Write(p []byte) (int, error) {
	a.out = append(a.out[:a.header], p...)
	if _, err := a.Conn.Write(a.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Read receives a datagram; p needs space for the header too.
func (a *association) Read(p []byte) (int, error) {
	n, err := a.Conn.Read(p)
	if err != nil {
		return 0, err
	}
	return copy(p, p[min(a.header, n):n]), nil
}

// Close ends the association.
func (a *association) Close() error {
	a.control.Close()
	return a.Conn.Close()
}
