package netstack

import (
	"errors"
	"io"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// source supplies the bytes of a payload. fill must fill all of room, which is never
// longer than available returned.
type source interface {
	available() int
	fill(room []byte) error
}

// slice is a source of the bytes in a caller's buffer.
type slice []byte

func (s *slice) available() int         { return len(*s) }
func (s *slice) fill(room []byte) error { copy(room, *s); return nil }

// errUneven keeps the endpoint from taking a number of bytes that is not a whole
// number of packets.
var errUneven = errors.New("netstack: the send buffer has room for part of a packet only")

// payload is the tcpip.Payloader of an endpoint's Write. It must supply exactly the
// bytes that it announced, or fail: gVisor loops forever on a reader that ends early.
type payload struct {
	src   source
	size  int // announced
	mss   int
	room  int // room that the endpoint offered, if it was uneven
	taken bool
}

// Len is the number of bytes announced.
func (p *payload) Len() int { return p.size }

// Read implements tcpip.Payloader.
func (p *payload) Read(room []byte) (int, error) {
	switch {
	case p.taken:
		return 0, io.EOF
	case len(room) == 0:
		return 0, nil
	case len(room) < p.size && len(room)%p.mss != 0:
		p.room = len(room)
		return 0, errUneven
	}
	room = room[:min(len(room), p.size)]
	if err := p.src.fill(room); err != nil {
		return 0, err
	}
	p.taken = true
	return len(room), nil
}

// send writes at most one super-segment of src to the endpoint. Unless src ends
// there, it writes a whole number of packets, because a short packet in the middle of
// a stream would end a batch in every layer below. It returns the number of bytes
// taken. 0 means that the caller has to wait, for room or because the connection is
// stalled. The caller holds wr.turn; p is its payload.
func (c *Conn) send(p *payload, src source) (int, error) {
	if c.flow.Stalled() {
		return 0, nil
	}
	c.txBuffer.Fit(c.flow)
	mss := c.flow.Payload()
	size := min(src.available(), c.n.link.MaxWrite(mss))
	for size > 0 {
		*p = payload{src: src, size: size, mss: mss}
		n, err := c.ep.Write(p, tcpip.WriteOptions{Atomic: true})
		room := p.room
		*p = payload{}
		if room > 0 {
			size = room - room%mss
			continue
		}
		if _, full := err.(*tcpip.ErrWouldBlock); err != nil && !full {
			return 0, c.sendErrno(err)
		}
		if n > 0 {
			c.flow.Wrote()
			c.txBuffer.Moved(int(n), c.flow)
		}
		return int(n), nil
	}
	return 0, nil
}
