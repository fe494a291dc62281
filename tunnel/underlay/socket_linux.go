package underlay

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// batchSize is how many datagrams one read or send moves at most.
const batchSize = conn.IdealBatchSize

// udpSocket moves datagrams in batches with recvmmsg and sendmmsg. The calls are
// made inside RawConn's callbacks, so that the descriptor cannot be closed and
// used anew meanwhile, and as raw system calls: they never block, and telling
// the scheduler about each costs more than most of them.
type udpSocket struct {
	c      *net.UDPConn
	raw    syscall.RawConn
	v6     bool
	gro    bool        // the kernel joins datagrams of one source on receipt
	gso    atomic.Bool // and cuts them on sending; false once it refused
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
	s := &udpSocket{c: c, raw: raw, v6: network == "udp6", logger: log}
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
		log.Info("no batched UDP here; sending and receiving one packet at a time", "network", network)
		return portable{c}, port, nil
	}
	return s, port, nil
}

// canBatch tries the batch calls without moving a packet: sandboxes may not have them.
func canBatch(fd uintptr) bool {
	var h unix.Mmsghdr
	_, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&h)), 1, unix.MSG_DONTWAIT|unix.MSG_PEEK, 0, 0)
	if e != 0 && e != unix.EAGAIN {
		return false
	}
	_, _, e = unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&h)), 0, 0, 0, 0)
	return e == 0
}

// setOptions sets what may fail without harm.
func (s *udpSocket) setOptions(fd int) {
	// Beyond the system's maximum, where we may.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufferSize)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, bufferSize)
	if !s.v6 {
		// No DF bit, as WireGuard in the kernel does it: a path of a smaller
		// MTU gets fragments instead of nothing.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	}
	_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	s.gso.Store(err == nil)
	s.gro = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
}

func (s *udpSocket) sendHops(packet []byte, dst netip.AddrPort, hops int) error {
	return sendHops(s.c, packet, dst, hops)
}

func (s *udpSocket) setMark(mark uint32) error { return markSocket(s.c, mark) }

func (s *udpSocket) close() error { return s.c.Close() }

func markSocket(c *net.UDPConn, mark uint32) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err = raw.Control(func(fd uintptr) { serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)) }); err != nil {
		return err
	}
	return serr
}

// control is room for one control message that carries a segment size.
type control [3]uint64
