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
	// Mapping is what the NAT's mapping depends on. If on the destination, Addrs are
	// of little use to peers. Of IPv4 and IPv6 it is the one that depends on more.
	Mapping  stun.Mapping
	Answered int  // servers that answered
	Silent   bool // servers were asked lately, and none answered: UDP seems to be blocked
}

// Equal says whether nothing differs.
func (m Mapped) Equal(o Mapped) bool {
	return m.Mapping == o.Mapping && m.Answered == o.Answered && m.Silent == o.Silent && slices.Equal(m.Addrs, o.Addrs)
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
	heard   bool          // an answer in this turn
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
		m.turn, m.tries, m.heard = 0, 0, false
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
	m.turn, m.tries, m.heard = 0, 0, false
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
	case active || len(m.seen) == 0 || m.told.Silent:
		life = mappedFor
	}
	if m.turn == 0 || now-m.turn >= life {
		m.turn, m.tries, m.heard = now, 0, false
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
	m.seen[server], m.heard = r.Mapped, true
	return true
}

// news is what was learned, if it is other than before.
func (m *mapping) news(now time.Duration) (Mapped, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.open) > 0 && m.tries < 2 { // the others are given the time of one try
		return Mapped{}, false
	}
	var is Mapped
	var four, six []stun.Sight
	for _, s := range m.servers {
		a, ok := m.seen[s]
		if !ok {
			continue
		}
		is.Answered++
		if s.Addr().Is4() {
			four = append(four, stun.Sight{Server: s, Mapped: a})
		} else {
			six = append(six, stun.Sight{Server: s, Mapped: a})
		}
		if !slices.Contains(is.Addrs, a) {
			is.Addrs = append(is.Addrs, a)
		}
	}
	slices.SortFunc(is.Addrs, netip.AddrPort.Compare)
	is.Mapping = stun.MappingOf(four)
	if m6 := stun.MappingOf(six); !is.Mapping.Depends() && (m6.Depends() || !is.Mapping.Known()) {
		is.Mapping = m6
	}
	over := m.tries == stunTries && now-m.turn >= stunTries*stunRetry
	is.Silent = !m.heard && len(m.servers) > 0 && (over || m.told.Silent) // until a turn is over, as before
	if is.Equal(m.told) {
		return Mapped{}, false
	}
	m.told = is
	return is, true
}
