package netstack

import (
	"io"
	"sync"

	"gvisor.dev/gvisor/pkg/waiter"
)

// Sizes of copy buffers. A copy that waits holds the small one or none.
const (
	smallCopy = 4 << 10
	largeCopy = 64 << 10
)

// buffers are pools of copy buffers.
type buffers struct{ small, large sync.Pool }

func newBuffers() *buffers {
	return &buffers{
		small: sync.Pool{New: func() any { return new([smallCopy]byte) }},
		large: sync.Pool{New: func() any { return new([largeCopy]byte) }},
	}
}

// WriteTo copies received bytes to w until the peer closes its half. Bytes for a TCP
// or Unix socket of the host go there directly from the stack's buffers.
func (c *Conn) WriteTo(w io.Writer) (total int64, err error) {
	if n, done, err := c.spliceTo(w); done {
		return n, err
	}
	for err == nil {
		c.waitReadable()
		var n int64
		n, err = c.writeReceived(w)
		total += n
	}
	return total, eofIsNil(err)
}

// writeReceived copies until there is nothing left to read.
func (c *Conn) writeReceived(w io.Writer) (total int64, err error) {
	buf := c.n.buffers.large.Get().(*[largeCopy]byte)
	defer c.n.buffers.large.Put(buf)
	for err == nil {
		var n int
		n, err = c.Read(buf[:])
		if n > 0 {
			m, werr := w.Write(buf[:n])
			total += int64(m)
			if werr != nil {
				return total, werr
			}
		}
		if c.ep.Readiness(waiter.ReadableEvents) == 0 {
			break
		}
	}
	return total, err
}

// waitReadable blocks until Read would not block.
func (c *Conn) waitReadable() {
	c.rd.turn.Lock()
	defer c.rd.turn.Unlock()
	for c.readable() == nil && c.ep.Readiness(waiter.ReadableEvents) == 0 {
		c.rxBuffer.Blocked()
		<-c.rd.ready
	}
}

// ReadFrom sends what it reads from r until r ends. Bytes of a TCP or Unix socket of
// the host go directly into the stack's buffers.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	if n, done, err := c.spliceFrom(r); done {
		return n, err
	}
	small := c.n.buffers.small.Get().(*[smallCopy]byte)
	defer c.n.buffers.small.Put(small)
	var total int64
	for {
		n, err := r.Read(small[:])
		if n > 0 {
			m, werr := c.Write(small[:n])
			total += int64(m)
			if werr != nil {
				return total, werr
			}
		}
		if err == nil && n == len(small) && c.n.roomFor(largeCopy) {
			var m int64
			m, err = c.sendBulk(r)
			total += m
		}
		switch err {
		case nil:
		case io.EOF:
			return total, nil
		default:
			return total, err
		}
	}
}

// roomFor reports whether each connection may hold so many bytes now.
func (n *Net) roomFor(bytes int) bool { return n.cfg.MaxBuffer == nil || n.cfg.MaxBuffer() >= bytes }

// sendBulk copies with a large buffer until a read returns little.
func (c *Conn) sendBulk(r io.Reader) (total int64, err error) {
	buf := c.n.buffers.large.Get().(*[largeCopy]byte)
	defer c.n.buffers.large.Put(buf)
	for {
		mss := c.flow.Payload()
		chunk := buf[:min(c.n.link.MaxWrite(mss), largeCopy/mss*mss)]
		n, err := r.Read(chunk)
		if n > 0 {
			m, werr := c.Write(chunk[:n])
			total += int64(m)
			if werr != nil {
				return total, werr
			}
		}
		if err != nil || n < smallCopy {
			return total, err
		}
	}
}

func eofIsNil(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
