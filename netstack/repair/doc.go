// Package repair works around what gVisor's TCP lacks or does wrong on the paths of
// a tunnel. gVisor is not forked, so each repair acts from outside: on the packets
// that a connection sends and receives, through socket options, or on the caller of
// Write.
//
//	blackhole.go    path MTU black holes: smaller packets when full-sized ones vanish
//	delayedack.go   delayed acknowledgements
//	rtostall.go     a retransmission timer that every write restarts
//	rtorecovery.go  RACK after a retransmission timeout
//	reopen.go       SYNs that meet a connection in TIME_WAIT
//	silence.go      a question to the peer of a connection that fell silent
//	autotune.go     socket buffers that grow with the bandwidth-delay product
//
// A Repairs is the part that all connections of a stack share, and a Flow the part
// of one connection. gVisor puts the Flow on each packet that the connection sends
// (stack.PacketBuffer.Owner), so that no lookup is needed. A Flow needs the
// *tcp.Endpoint itself, since gVisor has no interface for its lock, its statistics
// and its receive-side round-trip time.
package repair
