package netstack

import (
	"errors"
	"io"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// source is where a payload's bytes come from. fill must fill all of room, which
// is never more than available said.
type source interface {
	available() int
	fill(room []byte) error
}

// slice is a source that is a caller's buffer.
type slice []byte

func (s *slice) available() int         { return len(*s) }
func (s *slice) fill(room []byte) error { copy(room, *s); return nil }

// errUneven stops the endpoint from taking a part of a chunk that is not a whole
// number of packets.
var errUneven = errors.New("netstack: room for a part of a packet only")

// payload is the tcpip.Payloader that feeds an endpoint. It must hand over
// exactly the bytes it announced or fail: the stack asks a reader that ends early
// for more without end.
type payload struct {
	src   source
	size  int // announced
	mss   int
	room  int // what the endpoint had room for when that was uneven
	taken bool
}

// Len is how many bytes are offered.
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

// send offers src to the endpoint, at most one super-segment and, unless src ends
// there, a whole number of packets: a short packet in the middle of a stream
// would end a batch in every layer below. It returns how much was taken; 0 means
// there is no room, or nothing leaves for now, and the caller waits. The caller has the write side's turn;
// p is its payload.
func (c *Conn) send(p *payload, src source) (int, error) {
	if c.held() {
		return 0, nil
	}
	mss := c.flow.payload()
	size := min(src.available(), c.n.link.wire.super(mss))
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
			c.wrote()
			c.txGrown.moved(int(n), c)
		}
		return int(n), nil
	}
	return 0, nil
}
