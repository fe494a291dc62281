package datagram

import "sync"

// MaxPayload is the most that one UDP datagram carries over IPv4, in bytes.
const MaxPayload = 65507

// Size is that of a Buffer: more than any UDP datagram carries.
const Size = 65535

// Buffer holds any datagram.
type Buffer = [Size]byte

// Pool lends buffers. The zero value is ready.
type Pool struct{ pool sync.Pool }

// Get borrows a buffer; what it holds is left over from somebody else.
func (p *Pool) Get() *Buffer {
	if b, ok := p.pool.Get().(*Buffer); ok {
		return b
	}
	return new(Buffer)
}

// Put gives a buffer back.
func (p *Pool) Put(b *Buffer) { p.pool.Put(b) }

// Waiter returns what blocks until c has something to read, so that no buffer is
// held meanwhile. Where that cannot be done it returns at once, and the read
// that follows blocks.
func Waiter(c any) func() error {
	if w, ok := c.(interface{ WaitReadable() error }); ok {
		return w.WaitReadable
	}
	if wait := hostWaiter(c); wait != nil {
		return wait
	}
	return func() error { return nil }
}
