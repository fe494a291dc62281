package datagram

import "sync"

// MaxPayload is the largest payload of a UDP datagram over IPv4, in bytes.
const MaxPayload = 65507

// Size is the length of a Buffer. No UDP datagram is longer.
const Size = 65535

// Buffer has room for any datagram.
type Buffer = [Size]byte

// Pool lends buffers. The zero value is ready.
type Pool struct{ pool sync.Pool }

// Get borrows a buffer. The buffer still contains what its previous user left in it.
func (p *Pool) Get() *Buffer {
	if b, ok := p.pool.Get().(*Buffer); ok {
		return b
	}
	return new(Buffer)
}

// Put gives a buffer back.
func (p *Pool) Put(b *Buffer) { p.pool.Put(b) }

// waitReadable is a conn that can block until a Read would not.
type waitReadable interface{ WaitReadable() error }

// Waiter returns a function that blocks until c is readable, so that the caller holds no
// buffer meanwhile. For a conn that cannot be waited for, the function returns at once and the
// caller's Read blocks.
func Waiter(c any) func() error {
	if w, ok := c.(waitReadable); ok {
		return w.WaitReadable
	}
	if wait := hostWaiter(c); wait != nil {
		return wait
	}
	return func() error { return nil }
}
