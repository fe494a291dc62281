package udprun

import (
	"net"
	"net/netip"
	"sync/atomic"
)

// Limits of what one system call moves, and of what Read needs.
const (
	MostSegments = 64                 // the kernel's limit, of old
	MostBytes    = 1<<16 - 1 - 20 - 8 // IPv4 counts its header in the length
	BufferSize   = 1 << 16
)

// bufferSize is what is asked for as socket buffers; the system gives what it allows.
const bufferSize = 7 << 20

// Conn is a UDP socket. Write may be called from several goroutines; each goroutine
// that reads has its own Reader.
type Conn struct {
	udp *net.UDPConn
	gso atomic.Bool // the system cuts runs; false once it refused
	gro bool        // and joins them
	system
}

// New makes a Conn of a socket, whose options and buffers it sets.
func New(udp *net.UDPConn) *Conn {
	c := &Conn{udp: udp}
	for _, set := range []func(int) error{udp.SetReadBuffer, udp.SetWriteBuffer} { // some clamp the wish, others refuse it
		for size := bufferSize; size >= 1<<17 && set(size) != nil; size /= 2 {
		}
	}
	c.setOptions()
	return c
}

// LocalAddr is where the socket is bound.
func (c *Conn) LocalAddr() netip.AddrPort { return c.udp.LocalAddr().(*net.UDPAddr).AddrPort() }

// Close ends every Read.
func (c *Conn) Close() error { return c.udp.Close() }

// Write sends a run of datagrams of segment bytes each. With plain they go one by
// one; refused says that the path took them only so. After an error the rest is
// still tried.
func (c *Conn) Write(run []byte, segment int, to netip.AddrPort, plain bool) (refused bool, err error) {
	plain = plain || !c.gso.Load()
	most := segment * max(min(MostSegments, MostBytes/segment), 1)
	for len(run) > 0 {
		n := min(len(run), segment)
		if !plain {
			n = min(len(run), most)
		}
		e := c.write(run[:n], segment, to)
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
		if e != nil && err == nil {
			err = e
		}
		run = run[n:]
	}
	return refused, err
}
