package underlay

import (
	"slices"
	"time"

	"nexd/mesh"
)

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

// askThroughRelay sends through the relay that came the initiations that still wait:
// WireGuard would repeat them only every 5 s.
func (b *Bind) askThroughRelay() {
	b.mu.Lock()
	waiting := map[mesh.Key][]byte{}
	for key, p := range b.peers {
		if packet := p.waiting(b.now()); packet != nil {
			waiting[key] = packet
		}
	}
	b.mu.Unlock()
	for key, packet := range waiting {
		if err := b.relay.send(key, [][]byte{packet}); err != nil {
			b.logger.Debug("initiation not sent again", "peer", key.Short(), "err", err)
		}
	}
}

// waiting is the last initiation while its answer is due, else nil.
func (p *peer) waiting(now int64) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked == 0 || now-p.asked > initiationLife || p.heard() > p.asked {
		return nil
	}
	return slices.Clone(p.initiation)
}
