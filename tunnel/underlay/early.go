package underlay

import (
	"net/netip"
	"time"
)

// hold answers to which of these places an initiation may go that goes through the
// relay, too. To the others it could come too early; they get it with the first
// probe, unless it was answered by then.
func (b *Bind) hold(p *peer, to []netip.AddrPort) (now []netip.AddrPort) {
	pr := p.probe.Load()
	if pr == nil || !b.probes.on.Load() {
		return to
	}
	var held []netip.AddrPort
	at := time.Duration(b.now())
	pr.mu.Lock()
	for _, a := range to {
		if pr.paths.Early(at, a) {
			held = append(held, a)
		} else {
			now = append(now, a)
		}
	}
	pr.mu.Unlock()
	p.mu.Lock()
	p.held = held
	p.mu.Unlock()
	return now
}

// unhold sends the initiation that was held back from an address, if it still waits
// for its answer.
func (b *Bind) unhold(socks sockets, p *peer, to netip.AddrPort) {
	if !p.unhold(to) {
		return
	}
	if packet := p.waiting(b.now()); packet != nil {
		_ = b.sendEach(socks, p, packet, []netip.AddrPort{to}) // counted
	}
}

func (p *peer) unhold(a netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, h := range p.held {
		if h == a {
			p.held = append(p.held[:i], p.held[i+1:]...)
			return true
		}
	}
	return false
}
