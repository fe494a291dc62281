//go:build !linux

package forward

import "net"

// adaptWildcard is for Linux alone: elsewhere answers leave from the address that the
// host's routes choose.
func adaptWildcard(*net.UDPConn) listenConn { return nil }
