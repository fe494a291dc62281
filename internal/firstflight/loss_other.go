//go:build !linux

package firstflight

import (
	"net"
	"syscall"
)

// lossOf knows nothing on this system.
func lossOf(net.Conn) (size int, lost bool) { return 0, false }

// Limit does nothing on this system: only the smaller ClientHello helps.
func Limit(syscall.RawConn, int) error { return nil }
