package udprun

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"nexd/internal/pktinfo"
	"nexd/internal/sockaddr"
)

// system is the part of a Conn for Linux. It makes its calls inside RawConn's callbacks,
// so nobody can close and reuse the descriptor meanwhile. They are raw system calls: they
// never block, and the scheduler, which would take the P away from a call of 20 µs, does
// not need to know.
type system struct {
	raw     syscall.RawConn // nil = the socket has none
	v6      bool
	writers sync.Pool // of *writer
}

// setOptions sets optional socket options.
func (c *Conn) setOptions() {
	raw, err := c.udp.SyscallConn()
	if err != nil {
		return
	}
	c.raw = raw
	c.writers.New = func() any { return newWriter(c) }
	_ = raw.Control(func(fd uintptr) {
		fds := int(fd)
		if domain, err := unix.GetsockoptInt(fds, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil {
			c.v6 = domain == unix.AF_INET6
		}
		// Beyond the system's maximum, if the process may.
		_ = unix.SetsockoptInt(fds, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufferSize)
		_ = unix.SetsockoptInt(fds, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, bufferSize)
		// No DF bit: on a path with a smaller MTU, packets are fragmented and not lost.
		_ = unix.SetsockoptInt(fds, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
		_, err := unix.GetsockoptInt(fds, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		c.gso.Store(err == nil)
		c.gro = unix.SetsockoptInt(fds, unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
		if c.LocalAddr().Addr().IsUnspecified() {
			pktinfo.Enable(fds, c.v6)
		}
	})
}

// control is aligned space for two control messages: a source or destination, and behind it a
// segment size.
type control struct {
	pktinfo.Message
	segment [3]uint64
}

const controlSize = int(unsafe.Sizeof(control{}))

func (m *control) bytes() *[controlSize]byte { return (*[controlSize]byte)(unsafe.Pointer(m)) }

// putSegment appends a segment size to a message of n bytes and returns the length of both.
func (m *control) putSegment(n, segment int) int {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&m.bytes()[n]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Pointer(&m.bytes()[n+unix.CmsgLen(0)])) = uint16(segment)
	return n + unix.CmsgSpace(2)
}

// call is a system call on a message with one buffer.
type call struct {
	hdr   unix.Msghdr
	iov   unix.Iovec
	addr  sockaddr.Raw
	ctl   control
	n     int
	errno syscall.Errno
}

// set points the message at a buffer.
func (k *call) set(buf []byte, namelen uint32, control int) {
	k.iov.Base = unsafe.SliceData(buf)
	k.iov.SetLen(len(buf))
	k.hdr = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&k.addr)), Namelen: namelen, Iov: &k.iov}
	k.hdr.SetIovlen(1)
	if control > 0 {
		k.hdr.Control = (*byte)(unsafe.Pointer(&k.ctl))
		k.hdr.SetControllen(control)
	}
}

// do makes the call; false means to call it again when the socket is ready.
func (k *call) do(trap, fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall(trap, fd, uintptr(unsafe.Pointer(&k.hdr)), unix.MSG_DONTWAIT)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		k.n, k.errno = int(n), errno
		return true
	}
}

func closedOr(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return net.ErrClosed
	}
	return err
}

// writer is the state of one write.
type writer struct {
	call
	c  *Conn
	fn func(fd uintptr) bool // bound once, to save allocations
}

func newWriter(c *Conn) *writer {
	w := &writer{c: c}
	w.fn = func(fd uintptr) bool { return w.do(unix.SYS_SENDMSG, fd) }
	return w
}

// write sends a run in one system call.
func (c *Conn) write(run []byte, segment int, to netip.AddrPort, source netip.Addr) error {
	if c.raw == nil {
		_, err := c.udp.WriteToUDPAddrPort(run, to)
		return err
	}
	w := c.writers.Get().(*writer)
	namelen, ok := put(&w.addr, to, c.v6)
	if !ok {
		c.writers.Put(w)
		return os.NewSyscallError("sendmsg", unix.EAFNOSUPPORT)
	}
	size := 0
	if pktinfo.Fits(source, c.v6) {
		size = w.ctl.Put(source, c.v6)
	}
	if len(run) > segment {
		size = w.ctl.putSegment(size, segment)
	}
	w.set(run, namelen, size)
	err := c.raw.Write(w.fn)
	errno := w.errno
	w.iov.Base = nil // so the pool does not keep the run alive
	c.writers.Put(w)
	switch {
	case err != nil:
		return closedOr(err)
	case errno != 0:
		return os.NewSyscallError("sendmsg", errno)
	}
	return nil
}

// refusal reports whether this system accepts no runs, or whether only this path does
// not.
func refusal(err error) (never, here bool) {
	// EIO: the interface has no checksum offload, which segmentation needs.
	// The others: a segment exceeds the path's MTU.
	return errors.Is(err, unix.EIO), errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EMSGSIZE)
}

// sourceRefused reports whether a datagram was refused because of its source address.
func sourceRefused(err error) bool { return pktinfo.Refused(err) }

// Reader reads for one goroutine.
type Reader struct {
	call
	c  *Conn
	at netip.Addr
	fn func(fd uintptr) bool // bound once
}

// Reader returns a new Reader.
func (c *Conn) Reader() *Reader {
	r := &Reader{c: c}
	r.fn = func(fd uintptr) bool { return r.do(unix.SYS_RECVMSG, fd) }
	return r
}

// Read waits for datagrams of one sender and returns the length of each but the last. The
// buffer has BufferSize.
func (r *Reader) Read(buf []byte) (n, segment int, from netip.AddrPort, err error) {
	if r.c.raw == nil {
		n, from, err = r.c.udp.ReadFromUDPAddrPort(buf)
		return n, n, from, err
	}
	r.set(buf, sockaddr.Size, controlSize)
	err = r.c.raw.Read(r.fn)
	r.iov.Base = nil
	switch {
	case err != nil:
		return 0, 0, from, closedOr(err)
	case r.errno != 0:
		return 0, 0, from, os.NewSyscallError("recvmsg", r.errno)
	}
	r.at, segment = pktinfo.Parse(r.ctl.bytes()[:min(int(r.hdr.Controllen), controlSize)])
	if segment <= 0 || segment > r.n {
		segment = r.n
	}
	return r.n, segment, get(&r.addr, r.c.v6), nil
}

// Asked is the address of this host that the datagrams of the last Read were sent to, if the socket
// listens on several; otherwise it is not valid.
func (r *Reader) Asked() netip.Addr { return r.at }

// put encodes an address for a socket of a family and returns its length; false means
// that the family has no such address.
func put(a *sockaddr.Raw, to netip.AddrPort, v6 bool) (size uint32, ok bool) {
	ip := to.Addr()
	switch {
	case !v6:
		ip = ip.Unmap()
		ok = ip.Is4()
	case ip.Is4():
		ip, ok = netip.AddrFrom16(ip.As16()), true // IPv4-mapped
	default:
		ok = ip.IsValid()
	}
	if !ok {
		return 0, false
	}
	return a.Put(netip.AddrPortFrom(ip, to.Port())), true
}

// get decodes the address that a socket of a family has written.
func get(a *sockaddr.Raw, v6 bool) netip.AddrPort {
	if !v6 {
		return a.Get4()
	}
	at, scope := a.Get6()
	if scope != 0 {
		at = netip.AddrPortFrom(at.Addr().WithZone(strconv.FormatUint(uint64(scope), 10)), at.Port())
	}
	return at
}
