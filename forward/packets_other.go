//go:build !linux

package forward

import "net"

// adaptWildcard works only on Linux. On other systems, answers leave from the address that the
// host's routes select.
func adaptWildcard(*net.UDPConn) listenConn { return nil }
