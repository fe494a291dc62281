package repair

import (
	"net/netip"
	"sync"
	"time"
)

// fallbackSizes are the sizes of IP packets to use when full-sized packets vanish. A
// packet of 1,200 bytes inside WireGuard (32 bytes), UDP and IPv6 fits a path of 1,280
// bytes, IPv6's minimum MTU. 576 is the size that every IPv4 host must accept.
var fallbackSizes = [...]int{1200, 576}

const (
	// A packet that is retransmitted this often, with nothing sent in between, is
	// taken for vanished. After one size has vanished, fewer are needed.
	firstRetransmits = 2
	nextRetransmits  = 1

	// A limit expires and full-sized packets are tried again, because an outage looks
	// like a black hole. If they vanish again, the limit is kept for twice as long, as
	// RFC 4821 section 7.3 suggests.
	firstLife    = 30 * time.Second
	lastLife     = 10 * time.Minute
	outageLife   = 5 * time.Second // if small packets were lost as well
	maxPathHosts = 4096
)

// blackHole detects that full-sized packets of a connection vanish without an ICMP
// error (RFC 2923 section 2.1, RFC 4821). The sign is a sender that retransmits the
// same bytes repeatedly with nothing in between: if only some packets are lost, SACK
// lets it send others.
//
// Detection changes nothing in TCP. The segmenter cuts smaller packets instead, which
// is easy to undo if the guess was wrong. A blackHole has no clock and no lock.
type blackHole struct {
	level       int       // index into fallbackSizes plus 1; 0 = full size
	last        uint32    // sequence number of the last full packet
	retransmits int       // of that packet
	outage      bool      // packets of the smallest size are retransmitted as well
	proved      bool      // a packet of this level was acknowledged
	until       time.Time // when the limit expires, if proved
}

// resume takes over the limit that another connection learned of the same path.
func (b *blackHole) resume(limit int, until time.Time) {
	for i, size := range fallbackSizes {
		if size == limit {
			b.level, b.proved, b.until = i+1, true, until
		}
	}
}

// finding is the result of sent.
type finding int

const (
	nothing      finding = iota
	limitChanged         // limit returns another value
	limitProved          // packets of the limit's size arrive; the caller calls keep
)

// sent is told of a data segment: its sequence number, and the size of its first
// packet at full MSS.
func (b *blackHole) sent(seq uint32, size int, now func() time.Time) finding {
	if b.level > 0 && b.proved && now().After(b.until) {
		*b = blackHole{last: seq}
		return limitChanged
	}
	if b.level < len(fallbackSizes) && size <= fallbackSizes[b.level] {
		return nothing // it would not be cut at the next level
	}
	if seq != b.last {
		b.last, b.retransmits = seq, 0
		if b.level > 0 && !b.proved {
			return limitProved
		}
		return nothing
	}
	b.retransmits++
	if b.retransmits < firstRetransmits && (b.level == 0 || b.retransmits < nextRetransmits) {
		return nothing
	}
	b.retransmits, b.proved = 0, false
	if b.level == len(fallbackSizes) {
		b.outage = true
		return nothing
	}
	b.level++
	return limitChanged
}

// keep sets when a proved limit expires.
func (b *blackHole) keep(until time.Time) { b.proved, b.outage, b.until = true, false, until }

func (b *blackHole) limit() int {
	if b.level == 0 {
		return 0
	}
	return fallbackSizes[b.level-1]
}

// pathTable caches the packet limits of the paths to hosts, so that the next
// connection does not have to stall to detect the same black hole.
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

// learn stores the limit of a path and returns when the limit expires.
func (t *pathTable) learn(host netip.Addr, size int, outage bool, now time.Time) (until time.Time) {
	if outage {
		return now.Add(outageLife)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old, known := t.hosts[host]
	if known && now.Before(old.until) && old.size == size {
		return old.until // another connection has stored it already
	}
	if t.hosts == nil || !known && len(t.hosts) >= maxPathHosts {
		t.hosts = make(map[netip.Addr]pathLimit) // an entry that is forgotten costs its next connection a stall of a second
	}
	p := pathLimit{size: size, life: max(firstLife, min(2*old.life, lastLife))}
	p.until = now.Add(p.life)
	t.hosts[host] = p
	return p.until
}
