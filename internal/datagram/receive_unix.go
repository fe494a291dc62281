//go:build unix

package datagram

import (
	"errors"
	"net"
	"syscall"
)

// hostReceiver reads the datagrams of a host socket. The Go runtime waits for them, and no
// buffer is held meanwhile. It is nil when c is not a host socket.
func hostReceiver(c net.Conn, pool *Pool, onError func(fd int)) func() (*Buffer, int, error) {
	socket, ok := c.(*net.UDPConn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	var buf *Buffer
	var n int
	var readErr error
	tryRead := func(fd uintptr) (done bool) {
		buf = pool.Get()
		for {
			n, readErr = syscall.Read(int(fd), buf[:])
			if !errors.Is(readErr, syscall.EINTR) {
				break
			}
		}
		if readErr == nil {
			return true
		}
		pool.Put(buf)
		if errors.Is(readErr, syscall.EAGAIN) {
			return false
		}
		if onError != nil {
			onError(int(fd))
		}
		return true
	}
	return func() (*Buffer, int, error) {
		if err := raw.Read(tryRead); err != nil {
			return nil, 0, err
		}
		if readErr != nil {
			return nil, 0, readErr
		}
		return buf, n, nil
	}
}
