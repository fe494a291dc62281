package underlay

import (
	"slices"
	"time"

	"nexd/mesh"
)

// renewMapping has STUN asked again when this node calls a peer: the NAT may have
// forgotten this node and give it another port now. A call that told the old address is
// repeated with the new one.
func (b *Bind) renewMapping() {
	if b.stun.Renew(time.Duration(b.now())) {
		b.probes.poke()
	}
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
