package firstflight

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// lossOf reports whether the kernel sees that segments of a connection do not arrive: ours, sent
// three times without an acknowledgement, or the peer's, whose later segments came without the
// first. size is that of the packets that the kernel believes to pass.
func lossOf(conn net.Conn) (size int, lost bool) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return 0, false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	var info *unix.TCPInfo
	raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err != nil || info == nil {
		return 0, false
	}
	return int(info.Pmtu), info.Unacked > 0 && info.Total_retrans >= 3 || info.Rcv_ooopack > 0
}

// Limit makes both ends of a connection that is about to be made send segments of at most mss
// bytes; 0 sets no limit. Bytes that nobody acknowledges end the connection after ten seconds.
func Limit(c syscall.RawConn, mss int) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		if mss > 0 {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, mss)
		}
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 10_000) // old kernels do without
	}); cerr != nil {
		return cerr
	}
	return err
}
