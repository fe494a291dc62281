package netstack

import "net"

// Buffers are the sizes to which a connection's socket buffers have grown.
func Buffers(c net.Conn) (receive, send int) {
	o := c.(*Conn).ep.SocketOptions()
	return int(o.GetReceiveBufferSize()), int(o.GetSendBufferSize())
}

// Blocked reports whether a Read, Write, Accept or ReadFrom of c is in progress.
func Blocked(c any) bool {
	switch c := c.(type) {
	case *Conn:
		return c.rd.taken() || c.wr.taken()
	case *listener:
		return c.side.taken()
	case *PacketConn:
		return c.c.rd.taken()
	}
	return false
}

func (s *side) taken() bool {
	if s.turn.TryLock() {
		s.turn.Unlock()
		return false
	}
	return true
}

// Pings is the number of echo requests that wait for a reply.
func Pings(n *Net) int {
	n.pings.mu.Lock()
	defer n.pings.mu.Unlock()
	return len(n.pings.waiting)
}

// SetPorts sets the range from which connections to peers take their ports.
func SetPorts(n *Net, first, last uint16) {
	if err := n.stack.SetPortRange(first, last); err != nil {
		panic(err)
	}
}
