package tundev

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// Outside is a net.Dialer's Control for sockets that must never enter the mesh.
func Outside(_, _ string, c syscall.RawConn) error {
	return control(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, Mark) })
}

// Only returns a net.Dialer's Control for sockets that use only one interface.
func Only(name string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd int) error { return unix.BindToDevice(fd, name) })
	}
}

func control(c syscall.RawConn, do func(fd int) error) error {
	var done error
	err := c.Control(func(fd uintptr) { done = do(int(fd)) })
	return errors.Join(err, done)
}
