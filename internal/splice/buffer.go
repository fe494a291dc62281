package splice

import "sync"

const (
	smallSize = 4 << 10
	largeSize = 256 << 10
)

// pool lends buffers of one size. The two pools are shared by all splices of
// the process; they are caches that the garbage collector empties and hold no
// other state.
type pool struct {
	size int
	sync.Pool
}

var (
	small = &pool{size: smallSize}
	large = &pool{size: largeSize}
)

// buffer is a borrowed piece of memory.
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

// fit changes the buffer for the one that suits the next read when the last
// one brought n bytes.
func (b *buffer) fit(n int) *buffer {
	next := b.home.after(n)
	if next == b.home {
		return b
	}
	b.free()
	return next.get()
}

// after is the pool for the read after one that brought n bytes: a stream that
// fills a small buffer gets a large one, until it has little to say again.
func (p *pool) after(n int) *pool {
	switch {
	case p == small && n == smallSize:
		return large
	case p == large && n < smallSize:
		return small
	}
	return p
}
