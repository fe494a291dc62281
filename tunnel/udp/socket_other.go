//go:build !linux

package udp

import (
	"log/slog"
	"net"
	"syscall"
)

// BatchSize is the largest number of datagrams that one read or send moves.
const BatchSize = 1

func newSocket(network string, port uint16, _ *slog.Logger) (socket, uint16, error) {
	return newPortable(network, port)
}

// markSocket does nothing: only Linux has marks.
func markSocket(*net.UDPConn, uint32) error { return nil }

func markRaw(syscall.RawConn, uint32) error { return nil }
