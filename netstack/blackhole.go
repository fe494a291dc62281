package netstack

import (
	"net/netip"
	"sync"
	"time"
)

// Sizes of whole inner packets to fall back to when full-size ones vanish. With
// WireGuard's 32 bytes, UDP and IPv6 around it, a packet of 1,200 fits an outer
// path of 1,280, the least that IPv6 must carry; 576 is IPv4's.
var fallbackSizes = [...]int{1200, 576}

const (
	vanished     = 2                // sends of the same bytes after the first, nothing else between, that mean: it does not arrive
	limitLife    = 10 * time.Minute // then a full-size packet is tried again (RFC 4821 section 7.3)
	outageLife   = 5 * time.Second  // the same when small packets did not arrive either: it was no black hole
	maxPathHosts = 4096
)

// blackHole finds out that full-size packets of a connection vanish on their way
// without any ICMP telling. The sign is a sender that sends the same bytes again
// and again and nothing in between: when only some packets are lost, SACK keeps
// it sending others.
//
// It changes nothing in TCP: the segmenter cuts smaller packets, which can be
// taken back when the guess was wrong. It has no clock and no lock.
type blackHole struct {
	level   int // into fallbackSizes, from 1; 0 = full size
	last    uint32
	repeats int
	outage  bool      // even the smallest size is being repeated
	proved  bool      // something got through at this level
	until   time.Time // when to forget the limit; zero while not proved
}

// resume takes over what another connection learned of the same path.
func (b *blackHole) resume(limit int, until time.Time) {
	for i, size := range fallbackSizes {
		if size == limit {
			b.level, b.proved, b.until = i+1, true, until
		}
	}
}

// sent is told of a data segment: sequence number and size of its first packet
// at full MSS. It returns the limit for packets from now on (0 = none) and
// whether that, or proved, changed.
func (b *blackHole) sent(seq uint32, size int, now func() time.Time) (limit int, changed bool) {
	if b.level > 0 && b.proved && now().After(b.until) {
		*b = blackHole{last: seq}
		return 0, true
	}
	if b.level < len(fallbackSizes) && size <= fallbackSizes[b.level] {
		return b.limit(), false // small enough at the next level: tells nothing
	}
	if seq != b.last {
		return b.limit(), b.progress(seq, now)
	}
	if b.repeats++; b.repeats < vanished {
		return b.limit(), false
	}
	b.repeats, b.proved = 0, false
	if b.level == len(fallbackSizes) {
		b.outage = true
		return b.limit(), false
	}
	b.level++
	return b.limit(), true
}

// progress: other bytes than before are sent.
func (b *blackHole) progress(seq uint32, now func() time.Time) (changed bool) {
	b.last, b.repeats = seq, 0
	if b.level == 0 || b.proved {
		return false
	}
	b.proved = true
	b.until = now().Add(limitLife)
	if b.outage {
		b.outage = false
		b.until = now().Add(outageLife)
	}
	return true
}

func (b *blackHole) limit() int {
	if b.level == 0 {
		return 0
	}
	return fallbackSizes[b.level-1]
}

// pathTable is what connections learned of the paths to hosts, so that the next
// connection need not stall to learn it again.
type pathTable struct {
	mu    sync.Mutex
	hosts map[netip.Addr]pathLimit
}

type pathLimit struct {
	size  int
	until time.Time
}

func (t *pathTable) lookup(host netip.Addr, now time.Time) (size int, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.hosts[host]
	if !ok || now.After(p.until) {
		delete(t.hosts, host)
		return 0, time.Time{}
	}
	return p.size, p.until
}

func (t *pathTable) learn(host netip.Addr, size int, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hosts == nil {
		t.hosts = make(map[netip.Addr]pathLimit)
	}
	if _, known := t.hosts[host]; !known && len(t.hosts) >= maxPathHosts {
		clear(t.hosts) // a cache: forgetting costs a stall of a second each
	}
	t.hosts[host] = pathLimit{size: size, until: until}
}
