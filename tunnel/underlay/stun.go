package underlay

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"nexd/internal/stun"
)

const (
	mappedFor  = 25 * time.Second // while peers have traffic; most NATs forget after 30 s
	mappedIdle = 5 * time.Minute  // while none has
	mappedMute = 5 * time.Second  // while peers have traffic and no server answers: UDP may pass at any moment
	stunTries  = 4                // of one question
	stunRetry  = 400 * time.Millisecond
	stunMax    = 8 // servers that are asked
)

// Mapped is where the outside sees this node's socket, as STUN servers say.
type Mapped struct {
	Addrs []netip.AddrPort // different ones, IPv4 before IPv6
	// Depends says that two servers saw different ports or addresses: the NAT makes
	// another mapping for every destination, so Addrs are of little use to peers.
	Depends  bool
	Answered int // servers that answered
}

// Equal says whether nothing differs.
func (m Mapped) Equal(o Mapped) bool {
	return m.Depends == o.Depends && m.Answered == o.Answered && slices.Equal(m.Addrs, o.Addrs)
}

// mapping asks STUN servers from the bind's own socket. Time is since the bind's
// start.
type mapping struct {
	changed func(Mapped)

	mu      sync.Mutex // guards what follows
	servers []netip.AddrPort
	open    map[stun.TxID]netip.AddrPort // questions of this turn
	seen    map[netip.AddrPort]netip.AddrPort
	turn    time.Duration // moment this turn began; 0 = at once
	tries   int           // of this turn
	told    Mapped
}

func (m *mapping) init(changed func(Mapped)) {
	m.changed = changed
	m.open, m.seen = map[stun.TxID]netip.AddrPort{}, map[netip.AddrPort]netip.AddrPort{}
}

// SetSTUN says which servers are asked for this node's outside address: the
// service's own. Two ports or addresses of one show whether the mapping depends on
// the destination.
func (b *Bind) SetSTUN(servers []netip.AddrPort) {
	servers = clean(servers)
	m := &b.mapping
	m.mu.Lock()
	same := slices.Equal(m.servers, servers[:min(len(servers), stunMax)])
	if !same {
		m.servers = servers[:min(len(servers), stunMax)]
		m.turn, m.tries = 0, 0
		clear(m.seen)
	}
	m.mu.Unlock()
	b.probes.poke()
}

// Mapped is what STUN showed last.
func (b *Bind) Mapped() Mapped {
	b.mapping.mu.Lock()
	defer b.mapping.mu.Unlock()
	m := b.mapping.told
	m.Addrs = slices.Clone(m.Addrs)
	return m
}

// again forgets what was learned.
func (m *mapping) again() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn, m.tries = 0, 0
	clear(m.seen)
}

// questions are what is to be sent now, and when to come back.
func (m *mapping) questions(now time.Duration, active bool) (out map[netip.AddrPort][]byte, next time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.servers) == 0 {
		return nil, now + mappedIdle
	}
	life := mappedIdle
	switch {
	case active && m.tries == stunTries && len(m.open) == stunTries*len(m.servers):
		life = mappedMute
	case active || len(m.seen) == 0:
		life = mappedFor
	}
	if m.turn == 0 || now-m.turn >= life {
		m.turn, m.tries = now, 0
		clear(m.open)
	}
	due := m.turn + time.Duration(m.tries)*stunRetry
	switch {
	case m.tries == stunTries || m.tries > 0 && len(m.open) == 0:
		return nil, m.turn + life
	case now < due:
		return nil, due
	}
	silent := map[netip.AddrPort]bool{}
	if m.tries == 0 {
		for _, s := range m.servers {
			silent[s] = true
		}
	}
	for _, s := range m.open {
		silent[s] = true
	}
	m.tries++
	out = map[netip.AddrPort][]byte{}
	for s := range silent {
		id := stun.NewTxID()
		m.open[id] = s
		out[s] = stun.AppendRequest(nil, id)
	}
	return out, now + stunRetry
}

// answer takes a STUN message; false if nobody asked for it.
func (m *mapping) answer(msg []byte, src netip.AddrPort) bool {
	r, err := stun.ParseResponse(msg)
	if err != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	server, ok := m.open[stun.TxID(r.ID)]
	if !ok || server != src {
		return false
	}
	for id, s := range m.open {
		if s == server {
			delete(m.open, id)
		}
	}
	m.seen[server] = r.Mapped
	return true
}

// news is what was learned, if it is other than before.
func (m *mapping) news() (Mapped, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.open) > 0 && m.tries < 2 { // the others are given the time of one try
		return Mapped{}, false
	}
	var now Mapped
	byFamily := map[bool]netip.AddrPort{}
	for _, s := range m.servers {
		a, ok := m.seen[s]
		if !ok {
			continue
		}
		now.Answered++
		if first, ok := byFamily[a.Addr().Is4()]; ok && first != a {
			now.Depends = true
		} else {
			byFamily[a.Addr().Is4()] = a
		}
		if !slices.Contains(now.Addrs, a) {
			now.Addrs = append(now.Addrs, a)
		}
	}
	slices.SortFunc(now.Addrs, netip.AddrPort.Compare)
	if now.Equal(m.told) {
		return Mapped{}, false
	}
	m.told = now
	return now, true
}
