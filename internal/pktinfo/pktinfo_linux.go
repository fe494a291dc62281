package pktinfo

import (
	"errors"
	"net/netip"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Room is the space that the control message with a source address takes at most, and that the one
// with a destination takes at most.
const Room = 40

// Message is a control message that sets the source address of a datagram.
type Message [Room / 8]uint64 // aligned as the kernel wants it

// Put makes the message for a source address and returns its length. six tells that the socket is
// one of IPv6. The address may have gone from the host: see Refused.
func (m *Message) Put(source netip.Addr, six bool) int {
	h := (*unix.Cmsghdr)(unsafe.Pointer(m))
	data := unsafe.Add(unsafe.Pointer(m), unix.CmsgLen(0))
	if six {
		h.Level, h.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
		h.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
		*(*unix.Inet6Pktinfo)(data) = unix.Inet6Pktinfo{Addr: source.As16()} // the interface is the route's
		return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
	}
	h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	*(*unix.Inet4Pktinfo)(data) = unix.Inet4Pktinfo{Spec_dst: source.Unmap().As4()}
	return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
}

// Fits reports whether a socket of a family can send from an address.
func Fits(source netip.Addr, six bool) bool {
	return source.IsValid() && (six || source.Is4() || source.Is4In6())
}

// Enable has the kernel report the destination of each datagram. It does no harm where the kernel
// refuses.
func Enable(fd int, six bool) {
	if six {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	} else {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
}

// Parse returns what the control messages of a read say: the address that the datagrams were sent
// to, without a zone, and the segment size if the read is a run of them (UDP_GRO), else 0. The
// address is not valid if it cannot be a source.
func Parse(control []byte) (at netip.Addr, segment int) {
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		n := int(h.Len)
		if n < unix.SizeofCmsghdr || n > len(control) {
			break
		}
		switch data := control[unix.CmsgLen(0):n]; {
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			segment = int(*(*int32)(unsafe.Pointer(&data[0])))
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			at = netip.AddrFrom4([4]byte(data[4:8])) // ipi_spec_dst, after the interface; for broadcasts the interface's
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			at = netip.AddrFrom16([16]byte(data[:16])).Unmap()
		}
		control = control[min(unix.CmsgSpace(n-unix.CmsgLen(0)), len(control)):]
	}
	if at.IsMulticast() || at.IsUnspecified() {
		return netip.Addr{}, segment
	}
	return at, segment
}

// Refused reports whether a datagram with a source address may have failed because of it: the host
// no longer has the address, or no route from there. The caller sends it again without.
func Refused(err error) bool {
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.ENODEV):
		return true
	}
	return errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH)
}

// system is the part of a Conn for Linux.
type system struct {
	oob [2]Message // of the reading goroutine
}

var messages = sync.Pool{New: func() any { return new(Message) }}

func (c *Conn) enable() {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { Enable(int(fd), c.six) })
	}
}

// Receive reads a datagram. at is the address of this host that it was sent to, if the socket
// listens on several, and otherwise not valid.
func (c *Conn) Receive(b []byte) (n int, from netip.AddrPort, at netip.Addr, err error) {
	oob := (*[2 * Room]byte)(unsafe.Pointer(&c.oob))
	n, oobn, _, from, err := c.ReadMsgUDPAddrPort(b, oob[:])
	if err == nil {
		at, _ = Parse(oob[:oobn])
	}
	return n, from, at, err
}

// SendFrom sends a datagram from an address of this host. If that is not valid, or this host has it
// no more, the host's routes select the source.
func (c *Conn) SendFrom(b []byte, to netip.AddrPort, source netip.Addr) error {
	to = c.to(to)
	if Fits(source, c.six) {
		m := messages.Get().(*Message)
		size := m.Put(source, c.six)
		_, _, err := c.WriteMsgUDPAddrPort(b, (*[Room]byte)(unsafe.Pointer(m))[:size], to)
		messages.Put(m)
		if err == nil || !Refused(err) {
			return err
		}
	}
	_, err := c.WriteToUDPAddrPort(b, to)
	return err
}
