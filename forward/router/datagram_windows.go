package router

import "net"

// hostNext is for systems whose sockets can be waited for without a buffer.
func hostNext(net.Conn, *buffers) func() (*[maxDatagram]byte, int, error) { return nil }
