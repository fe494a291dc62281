package router

import (
	"strings"
	"syscall"
)

// maxFiles returns how many sockets to plan for. Windows has no fixed limit.
func maxFiles() int { return 1 << 16 }

// socketOptions prepares a host socket before it connects.
func socketOptions(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "udp") {
		return nil
	}
	var err error
	cerr := c.Control(func(fd uintptr) {
		// Go permits broadcasts on every UDP socket. The mesh must not broadcast.
		err = syscall.SetsockoptInt(syscall.Handle(fd), syscall.SOL_SOCKET, syscall.SO_BROADCAST, 0)
	})
	if cerr != nil {
		return cerr
	}
	return err
}

func drainErrors(int) {}
