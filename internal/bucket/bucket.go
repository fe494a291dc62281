package bucket

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Rate is how much a bucket lets through: Burst at once, and PerSecond for ever.
// The zero Rate has no limit.
type Rate struct {
	PerSecond, Burst float64
}

// Bucket is one token bucket, full at first. It is not safe for concurrent use; the
// zero value is ready.
type Bucket struct {
	spent float64   // of the burst, at the time of last
	last  time.Time // when spent was right
}

// Take says whether n may pass now, and counts it if so.
func (b *Bucket) Take(r Rate, n float64, now time.Time) bool {
	if r == (Rate{}) {
		return true
	}
	if gone := now.Sub(b.last); gone > 0 {
		b.spent = max(0, b.spent-gone.Seconds()*r.PerSecond)
		b.last = now
	}
	if b.spent+n > r.Burst {
		return false
	}
	b.spent += n
	return true
}

// Table has a bucket for every source, as far as hashing tells them apart. Its
// methods may be called from several goroutines.
type Table struct {
	rate Rate
	seed maphash.Seed

	mu      sync.Mutex
	buckets []Bucket
}

// NewTable makes a table of the given number of buckets, 32 bytes each.
func NewTable(rate Rate, size int) *Table {
	return &Table{rate: rate, seed: maphash.MakeSeed(), buckets: make([]Bucket, max(size, 1))}
}

// Take says whether one more from this address may pass now. An IPv6 /64 counts as
// one source.
func (t *Table) Take(from netip.Addr, now time.Time) bool {
	from = from.Unmap().WithZone("")
	key := from.As16()
	if from.Is6() {
		clear(key[8:])
	}
	i := maphash.Bytes(t.seed, key[:]) % uint64(len(t.buckets))
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buckets[i].Take(t.rate, 1, now)
}
