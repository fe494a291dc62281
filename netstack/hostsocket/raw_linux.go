package hostsocket

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// These three calls do not notify Go's scheduler. On a non-blocking descriptor they
// return at once, and the notification costs more than the call.

// Write writes to a non-blocking descriptor.
func Write(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}

// Read reads from a non-blocking descriptor.
func Read(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}

// Readable returns how many bytes can be read.
func Readable(fd int) (int, syscall.Errno) {
	var n int32
	_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&n)))
	return int(n), errno
}
