package udprun

import (
	"net"
	"net/netip"
	"sync/atomic"
)

// Limits of one system call.
const (
	MostSegments = 64                 // the limit of older kernels
	MostBytes    = 1<<16 - 1 - 20 - 8 // IPv4's length includes its header
	BufferSize   = 1 << 16
)

// bufferSize is the requested size of socket buffers; the system may grant less.
const bufferSize = 7 << 20

// Conn is a UDP socket. Several goroutines may call Write; each reading goroutine needs
// its own Reader.
type Conn struct {
	udp *net.UDPConn
	gso atomic.Bool // the system segments runs; false once it has refused
	gro bool        // the system coalesces them
	system
}

// New makes a Conn from a socket and sets its options and buffers.
func New(udp *net.UDPConn) *Conn {
	c := &Conn{udp: udp}
	for _, set := range []func(int) error{udp.SetReadBuffer, udp.SetWriteBuffer} { // some systems clamp the size, others refuse it
		for size := bufferSize; size >= 1<<17 && set(size) != nil; size /= 2 {
		}
	}
	c.setOptions()
	return c
}

// LocalAddr is the address that the socket is bound to.
func (c *Conn) LocalAddr() netip.AddrPort { return c.udp.LocalAddr().(*net.UDPAddr).AddrPort() }

// Close ends every Read.
func (c *Conn) Close() error { return c.udp.Close() }

// Write sends a run of datagrams of segment bytes each. With plain it sends them one by
// one; refused reports that the path accepted them only that way. After an error it still
// sends the rest.
func (c *Conn) Write(run []byte, segment int, to netip.AddrPort, plain bool) (refused bool, err error) {
	return c.WriteFrom(run, segment, to, netip.Addr{}, plain)
}

// WriteFrom is Write from an address of this host, as Asked returns it. If the address is not
// valid, or this host has it no more, the host's routes select the source.
func (c *Conn) WriteFrom(run []byte, segment int, to netip.AddrPort, source netip.Addr, plain bool) (refused bool, err error) {
	plain = plain || !c.gso.Load()
	asked := plain
	most := segment * max(min(MostSegments, MostBytes/segment), 1)
	for len(run) > 0 {
		n := min(len(run), segment)
		if !plain {
			n = min(len(run), most)
		}
		e := c.write(run[:n], segment, to, source)
		if e != nil && n > segment {
			switch never, here := refusal(e); {
			case never:
				c.gso.Store(false)
				plain = true
				continue
			case here:
				refused, plain = true, true
				continue
			}
		}
		if e != nil && source.IsValid() && sourceRefused(e) { // and that may be why the run was refused
			source, refused, plain = netip.Addr{}, false, asked
			continue
		}
		if e != nil && err == nil {
			err = e
		}
		run = run[n:]
	}
	return refused, err
}
