package underlay

import "time"

// remapGap is the least time between questions to STUN that calls to peers cause.
const remapGap = 2 * time.Second

// remap has STUN asked again, unless that was done a moment ago, because a peer is
// called: perhaps the NAT has forgotten this node and gives it another port now. Calls
// that told the old one are made again with the news.
func (b *Bind) remap() {
	if b.mapping.soon(time.Duration(b.now())) {
		b.probes.poke()
	}
}

func (m *mapping) soon(now time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.servers) == 0 || m.turn == 0 || now-m.turn < remapGap {
		return false
	}
	m.turn = 0
	return true
}
