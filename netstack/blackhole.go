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
	// So many sends of the same bytes after the first, with nothing else between,
	// mean that they do not arrive; once one size has vanished, half as many do.
	vanished      = 2
	vanishedAgain = 1

	// A limit is forgotten after a while and full-size packets are tried again,
	// since what was taken for a black hole may have been an outage; if they
	// vanish again it is kept for twice as long (RFC 4821 section 7.3 ends there).
	firstLife    = 30 * time.Second
	lastLife     = 10 * time.Minute
	outageLife   = 5 * time.Second // small packets did not arrive either
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
	until   time.Time // when to forget the limit, once it is proved
}

// resume takes over what another connection learned of the same path.
func (b *blackHole) resume(limit int, until time.Time) {
	for i, size := range fallbackSizes {
		if size == limit {
			b.level, b.proved, b.until = i+1, true, until
		}
	}
}

// What sent found out.
type finding int

const (
	nothing finding = iota
	changed         // the limit
	proved          // that packets of the limit's size get through; keep must follow
)

// sent is told of a data segment: sequence number and size of its first packet
// at full MSS.
func (b *blackHole) sent(seq uint32, size int, now func() time.Time) finding {
	if b.level > 0 && b.proved && now().After(b.until) {
		*b = blackHole{last: seq}
		return changed
	}
	if b.level < len(fallbackSizes) && size <= fallbackSizes[b.level] {
		return nothing // small enough at the next level
	}
	if seq != b.last {
		b.last, b.repeats = seq, 0
		if b.level > 0 && !b.proved {
			return proved
		}
		return nothing
	}
	b.repeats++
	if b.repeats < vanished && (b.level == 0 || b.repeats < vanishedAgain) {
		return nothing
	}
	b.repeats, b.proved = 0, false
	if b.level == len(fallbackSizes) {
		b.outage = true
		return nothing
	}
	b.level++
	return changed
}

// keep says until when what was proved is to be believed.
func (b *blackHole) keep(until time.Time) { b.proved, b.outage, b.until = true, false, until }

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
	life  time.Duration
	until time.Time
}

func (t *pathTable) lookup(host netip.Addr, now time.Time) (size int, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.hosts[host]
	if !ok || now.After(p.until) {
		return 0, time.Time{}
	}
	return p.size, p.until
}

// learn notes the limit of a path and says until when it is to be believed.
func (t *pathTable) learn(host netip.Addr, size int, outage bool, now time.Time) (until time.Time) {
	if outage {
		return now.Add(outageLife)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old, known := t.hosts[host]
	if known && now.Before(old.until) && old.size == size {
		return old.until // another connection was faster
	}
	if t.hosts == nil || !known && len(t.hosts) >= maxPathHosts {
		t.hosts = make(map[netip.Addr]pathLimit) // a cache: forgetting costs a stall of a second each
	}
	p := pathLimit{size: size, life: max(firstLife, min(2*old.life, lastLife))}
	p.until = now.Add(p.life)
	t.hosts[host] = p
	return p.until
}
