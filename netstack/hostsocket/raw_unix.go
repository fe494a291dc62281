//go:build unix && !linux

package hostsocket

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Write writes to a non-blocking descriptor.
func Write(fd int, b []byte) (int, syscall.Errno) { return result(syscall.Write(fd, b)) }

// Read reads from a non-blocking descriptor.
func Read(fd int, b []byte) (int, syscall.Errno) { return result(syscall.Read(fd, b)) }

// Readable returns how many bytes can be read.
func Readable(fd int) (int, syscall.Errno) { return result(unix.IoctlGetInt(fd, fionread)) }

// fionread has this value on every BSD; package unix has no name for it.
const fionread = 0x4004667f

func result(n int, err error) (int, syscall.Errno) {
	if err == nil {
		return n, 0
	}
	if errno, ok := err.(syscall.Errno); ok {
		return n, errno
	}
	return n, syscall.EIO
}
