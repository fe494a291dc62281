//go:build unix

package router

import (
	"errors"
	"net"
	"syscall"
)

// hostNext reads datagrams of a host socket: the runtime waits for them without
// a buffer. nil when c is no host socket.
func hostNext(c net.Conn, from *buffers) func() (*[maxDatagram]byte, int, error) {
	socket, ok := c.(*net.UDPConn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	var buf *[maxDatagram]byte
	var n int
	var rerr error
	try := func(fd uintptr) bool {
		buf = from.borrow()
		for {
			n, rerr = syscall.Read(int(fd), buf[:])
			if !errors.Is(rerr, syscall.EINTR) {
				break
			}
		}
		if rerr == nil {
			return true
		}
		from.giveBack(buf)
		if errors.Is(rerr, syscall.EAGAIN) {
			return false // wait
		}
		drainErrors(int(fd))
		return true
	}
	return func() (*[maxDatagram]byte, int, error) {
		if err := raw.Read(try); err != nil {
			return nil, 0, err
		}
		if rerr != nil {
			return nil, 0, rerr
		}
		return buf, n, nil
	}
}
