package sockaddr

import (
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Raw is an address of either family in the kernel's format.
type Raw unix.RawSockaddrInet6

// Size is the size of the larger family.
const Size = unix.SizeofSockaddrInet6

func (a *Raw) inet4() *unix.RawSockaddrInet4 { return (*unix.RawSockaddrInet4)(unsafe.Pointer(a)) }

// Put sets r to an address of its own family and returns its length. An IPv4-mapped
// address is IPv6.
func (a *Raw) Put(to netip.AddrPort) uint32 {
	ip := to.Addr()
	if ip.Is4() {
		a4 := a.inet4()
		a4.Family, a4.Addr = unix.AF_INET, ip.As4()
		putPort(&a4.Port, to.Port())
		return unix.SizeofSockaddrInet4
	}
	a.Family, a.Addr, a.Flowinfo, a.Scope_id = unix.AF_INET6, ip.As16(), 0, 0
	putPort(&a.Port, to.Port())
	if zone := ip.Zone(); zone != "" {
		a.Scope_id = scopeOf(zone)
	}
	return unix.SizeofSockaddrInet6
}

// Get4 returns the address that an IPv4 socket has set.
func (a *Raw) Get4() netip.AddrPort {
	a4 := a.inet4()
	return netip.AddrPortFrom(netip.AddrFrom4(a4.Addr), getPort(&a4.Port))
}

// Get6 returns the address that an IPv6 socket has set, without its zone, and the index
// of the zone's interface, or 0.
func (a *Raw) Get6() (at netip.AddrPort, scope uint32) {
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), getPort(&a.Port)), a.Scope_id
}

// scopeOf returns the index of an IPv6 zone, which is a number from the kernel or an
// interface's name from people.
func scopeOf(zone string) uint32 {
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0
	}
	return uint32(ifi.Index)
}

// putPort and getPort convert to and from network byte order.
func putPort(p *uint16, v uint16) {
	b := (*[2]byte)(unsafe.Pointer(p))
	b[0], b[1] = byte(v>>8), byte(v)
}

func getPort(p *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(p))
	return uint16(b[0])<<8 | uint16(b[1])
}
