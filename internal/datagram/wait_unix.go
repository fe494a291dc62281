//go:build unix

package datagram

import (
	"errors"
	"net"
	"syscall"
)

// hostWaiter waits for a host socket to become readable; nil when c is none. The
// runtime does the waiting.
func hostWaiter(c any) func() error {
	socket, ok := c.(*net.UDPConn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	var perr error
	peek := func(fd uintptr) bool {
		var one [1]byte
		for {
			_, _, perr = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
			if !errors.Is(perr, syscall.EINTR) {
				return !errors.Is(perr, syscall.EAGAIN)
			}
		}
	}
	return func() error {
		if err := raw.Read(peek); err != nil {
			return err
		}
		return perr
	}
}
