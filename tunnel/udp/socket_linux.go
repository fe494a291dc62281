package udp

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"nexd/internal/pktinfo"
)

// BatchSize is the largest number of datagrams that one read or send moves.
// WireGuard works in batches of the same size.
const BatchSize = 128

// batchSocket moves datagrams in batches with recvmmsg and sendmmsg. The calls run
// inside RawConn's callbacks, so that nobody can close and reuse the descriptor
// meanwhile. They are raw system calls: they never block, and telling the scheduler
// about a call costs more than most calls.
type batchSocket struct {
	c      *net.UDPConn
	raw    syscall.RawConn
	v6     bool
	gro    bool        // the kernel joins datagrams of one source when it receives them
	gso    atomic.Bool // the kernel splits runs of datagrams when it sends them; false after it refused
	writes sync.Pool   // of *writer
	logger *slog.Logger
}

func newSocket(network string, port uint16, log *slog.Logger) (socket, uint16, error) {
	c, port, err := listen(network, port)
	if err != nil {
		return nil, 0, err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		c.Close()
		return nil, 0, err
	}
	s := &batchSocket{c: c, raw: raw, v6: network == "udp6", logger: log}
	s.writes.New = func() any { return newWriter(s) }
	batches := true
	err = raw.Control(func(fd uintptr) {
		batches = canBatch(fd)
		s.setOptions(int(fd))
	})
	if err != nil {
		c.Close()
		return nil, 0, err
	}
	if !batches {
		log.Info("batched UDP is not available; sending and receiving one packet at a time", "network", network)
		return portable{pktinfo.Wrap(c)}, port, nil
	}
	return s, port, nil
}

// canBatch tries the batch calls without moving a packet. A sandbox may forbid them.
func canBatch(fd uintptr) bool {
	var h unix.Mmsghdr
	_, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&h)), 1, unix.MSG_DONTWAIT|unix.MSG_PEEK, 0, 0)
	if e != 0 && e != unix.EAGAIN {
		return false
	}
	_, _, e = unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&h)), 0, 0, 0, 0)
	return e == 0
}

// setOptions sets the options whose failure does no harm.
func (s *batchSocket) setOptions(fd int) {
	// These exceed the system's maximum, with the privilege to do so.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufferSize)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, bufferSize)
	if !s.v6 {
		// No DF bit, like WireGuard in the kernel: the network fragments packets on a
		// path with a smaller MTU instead of dropping them.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	}
	_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	s.gso.Store(err == nil)
	s.gro = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
	pktinfo.Enable(fd, s.v6)
}

func (s *batchSocket) sendHops(packet []byte, dst netip.AddrPort, hops int) error {
	return sendHops(s.c, packet, dst, hops)
}

func (s *batchSocket) setMark(mark uint32) error { return markSocket(s.c, mark) }

func (s *batchSocket) close() error { return s.c.Close() }

func markSocket(c *net.UDPConn, mark uint32) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return markRaw(raw, mark)
}

func markRaw(raw syscall.RawConn, mark uint32) (err error) {
	var serr error
	if err = raw.Control(func(fd uintptr) { serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)) }); err != nil {
		return err
	}
	return serr
}

// control is aligned space for two control messages: a segment size, and behind it a source
// address. The kernel puts a segment size and a destination there, in any order.
type control [controlSize / 8]uint64

const controlSize = 24 + pktinfo.Room
