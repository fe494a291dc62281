//go:build unix

package router

import (
	"strings"
	"syscall"
)

// maxFiles returns how many descriptors this process may hold.
func maxFiles() int {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return 1024
	}
	return int(min(uint64(lim.Cur), 1<<20))
}

// socketOptions prepares a host socket before it connects.
func socketOptions(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "udp") {
		return nil
	}
	var err error
	cerr := c.Control(func(fd uintptr) {
		// Go permits broadcasts on every UDP socket. The mesh must not broadcast.
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_BROADCAST, 0)
		wantErrors(int(fd), strings.HasSuffix(network, "6"))
		mayFragment(int(fd), strings.HasSuffix(network, "6"))
	})
	if cerr != nil {
		return cerr
	}
	return err
}
