package budget

import (
	"math"
	"sync/atomic"
	"time"
)

// Estimated costs in bytes of what a budget admits. docs/performance.md has the measurements.
const (
	TCP         = 24 << 10 // a connection through a proxy, a forward or the router, idle
	UDP         = 24 << 10 // a UDP flow or client
	Association = 48 << 10 // the sockets of a UDP ASSOCIATE
	Ping        = 8 << 10
)

// floor is the share of the budget that is available even while memory is tight, since something
// else may hold the memory.
const floor = 8 // one part in so many

const unlimited = math.MaxInt64 / 2

// Budget is an amount of memory. Its methods may be called from any goroutine. A nil Budget admits
// everything.
type Budget struct {
	size    int64
	held    atomic.Int64
	tight   atomic.Bool
	refused atomic.Uint64
	last    atomic.Int64 // time of the last refusal, in Unix nanoseconds
}

// New makes a budget of size bytes. With 0 it admits everything, and only counts.
func New(size int64) *Budget {
	if size == 0 {
		size = unlimited
	}
	return &Budget{size: size}
}

// Take takes cost bytes, or returns false if so much is not left. The caller gives back what it took.
func (b *Budget) Take(cost int64) bool {
	if b == nil {
		return true
	}
	if b.allows(b.held.Add(cost)) {
		return true
	}
	b.held.Add(-cost)
	b.refuse()
	return false
}

// Give gives back what Take took.
func (b *Budget) Give(cost int64) {
	if b != nil {
		b.held.Add(-cost)
	}
}

// Full reports whether Take would refuse a TCP connection now, and counts a refusal if so. It lets a
// caller refuse before it makes anything.
func (b *Budget) Full() bool {
	if b == nil {
		return false
	}
	if b.allows(b.held.Load() + TCP) {
		return false
	}
	b.refuse()
	return true
}

// allows reports whether so many bytes may be held now.
func (b *Budget) allows(held int64) bool {
	return held <= b.size && (!b.tight.Load() || held <= b.size/floor)
}

func (b *Budget) refuse() {
	b.refused.Add(1)
	b.last.Store(time.Now().UnixNano())
}

// SetTight says whether the process has less memory left than it should. Nothing is admitted
// meanwhile, except for a small part of the budget.
func (b *Budget) SetTight(tight bool) { b.tight.Store(tight) }

// Buffers returns a func that tells how many bytes of data each connection may hold: all of them hold
// at most half as much as the budget. It is nil if there is no limit.
func (b *Budget) Buffers() func() int {
	if b == nil || b.size == unlimited {
		return nil
	}
	return func() int { return int(b.size / 2 / (b.held.Load()/TCP + 1)) }
}

// Most is how many of what costs so much the whole budget admits.
func (b *Budget) Most(cost int64) int {
	if b == nil {
		return math.MaxInt32
	}
	return int(min(b.size/cost, math.MaxInt32))
}

// Held is how many bytes are taken now.
func (b *Budget) Held() int64 {
	if b == nil {
		return 0
	}
	return b.held.Load()
}

// Refused is how often Take and Full have refused, and the time of the last refusal.
func (b *Budget) Refused() (times uint64, last time.Time) {
	if times = b.refused.Load(); times > 0 {
		last = time.Unix(0, b.last.Load())
	}
	return times, last
}
