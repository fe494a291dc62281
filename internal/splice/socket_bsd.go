//go:build unix && !linux

package splice

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Go's sockets are non-blocking, so neither call waits.

func recv(fd uintptr, p []byte, flags int) (int, error) {
	for {
		n, err := recvOnce(int(fd), p, flags)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

func recvOnce(fd int, p []byte, flags int) (n int, err error) {
	if flags == 0 {
		return unix.Read(fd, p)
	}
	n, _, err = unix.Recvfrom(fd, p, flags)
	return n, err
}

func send(fd uintptr, p []byte) (int, error) {
	for {
		n, err := unix.Write(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
