package bucket

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"nexd/internal/addrlimit"
)

// Rate is how much a bucket lets through: Burst at once, and PerSecond in the long run. The zero Rate
// has no limit.
type Rate struct {
	PerSecond, Burst float64
}

// Bucket is one token bucket, which is full at first. It is not safe for concurrent use. The zero
// value is ready.
type Bucket struct {
	spent float64   // tokens spent of the burst, at the time of last
	last  time.Time // when spent was computed
}

// Take reports whether n tokens are left now, and spends them if so.
func (b *Bucket) Take(r Rate, n float64, now time.Time) bool {
	if r == (Rate{}) {
		return true
	}
	if elapsed := now.Sub(b.last); elapsed > 0 {
		b.spent = max(0, b.spent-elapsed.Seconds()*r.PerSecond)
		b.last = now
	}
	if b.spent+n > r.Burst {
		return false
	}
	b.spent += n
	return true
}

// Table has a fixed number of buckets and hashes each source into one of them. Its methods may be
// called from several goroutines.
type Table struct {
	rate Rate
	seed maphash.Seed

	mu      sync.Mutex
	buckets []Bucket
}

// NewTable makes a table with the given number of buckets. A bucket takes 32 bytes.
func NewTable(rate Rate, size int) *Table {
	return &Table{rate: rate, seed: maphash.MakeSeed(), buckets: make([]Bucket, max(size, 1))}
}

// Take reports whether a token is left for a source now, and spends it if so. A source is what
// addrlimit.Source returns for the address.
func (t *Table) Take(from netip.Addr, now time.Time) bool {
	key := addrlimit.Source(from).Addr().As16()
	i := maphash.Bytes(t.seed, key[:]) % uint64(len(t.buckets))
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buckets[i].Take(t.rate, 1, now)
}
