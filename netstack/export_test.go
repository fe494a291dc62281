package netstack

import "net"

// Buffers are the sizes to which a connection's socket buffers have grown.
func Buffers(c net.Conn) (receive, send int) {
	o := c.(*Conn).ep.SocketOptions()
	return int(o.GetReceiveBufferSize()), int(o.GetSendBufferSize())
}
