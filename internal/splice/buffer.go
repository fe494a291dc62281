package splice

import "sync"

const (
	smallSize = 4 << 10
	largeSize = 256 << 10
)

// pool lends buffers of one size. All splices of the process share the two pools, which
// are only caches that the garbage collector empties.
type pool struct {
	size int
	sync.Pool
}

var (
	small = &pool{size: smallSize}
	large = &pool{size: largeSize}
)

// buffer is a borrowed buffer.
type buffer struct {
	b    []byte
	home *pool
}

func (p *pool) get() *buffer {
	if b, ok := p.Get().(*buffer); ok {
		return b
	}
	return &buffer{b: make([]byte, p.size), home: p}
}

func (b *buffer) free() { b.home.Put(b) }

// fit replaces the buffer with one that suits the next read, after a read of n bytes.
func (b *buffer) fit(n int) *buffer {
	next := b.home.after(n)
	if next == b.home {
		return b
	}
	b.free()
	return next.get()
}

// after returns the pool for the read after a read of n bytes. A stream that fills a small
// buffer gets a large one until its reads are small again.
func (p *pool) after(n int) *pool {
	switch {
	case p == small && n == smallSize:
		return large
	case p == large && n < smallSize:
		return small
	}
	return p
}
