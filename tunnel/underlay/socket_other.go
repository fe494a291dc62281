//go:build !linux

package underlay

import (
	"log/slog"
	"net"
)

// batchSize is how many datagrams one read brings at most.
const batchSize = 1

func newSocket(network string, port uint16, _ *slog.Logger) (socket, uint16, error) {
	return newPortable(network, port)
}

// markSocket does nothing: marks are Linux's.
func markSocket(*net.UDPConn, uint32) error { return nil }
