package paths

import (
	"fmt"
	"time"
)

const (
	measureRounds  = 3                       // in which a probe is sent before it counts as lost
	measureWait    = 300 * time.Millisecond  // for an answer, at least
	measureEvery   = 10 * time.Minute        // a path is measured again
	measurePatient = 3500 * time.Millisecond // for a report before a path is judged by probes alone

	wireguardHead = 32 // bytes that WireGuard adds to a packet
	sizeStep      = 16 // WireGuard pads packets to multiples of it
	rungsAtOnce   = 8
)

// ladder are the sizes of packets inside the mesh that are tried below the MTU.
var ladder = [...]int{1408, 1376, 1328, 1280, 1232, 1168, 1072, 912, 560, 128}

// rung is one size that is tried.
type rung struct {
	size   int
	run    bool // two in a run
	passed bool
}

// measure is a test of an address by probes in the size and form of data:
//
//	canary   the size in use, in a run       answered: done
//	ladder   all sizes, and the largest in a run, three times
//	refine   what lies between the largest that passed and the next, and a run of the former
type measure struct {
	to     *candidate
	began  time.Duration
	next   time.Duration // moment to look at the round
	round  int
	canary bool
	refine bool
	lo, hi int // lo passes; hi, if not 0, does not
	rungs  []rung
	run    int          // size of the run that is tried; 0 = none
	ran    bool         // it passed
	sent   map[TxID]int // rung of each probe
	large  uint32       // direct packets above the smallest class, sent before it began
}

// measureNow tests an address at all sizes, beginning with the largest.
func (p *Peer) measureNow(now time.Duration, out []Action, c *candidate) []Action {
	return p.startMeasure(now, out, c, p.data.mtu, true)
}

// startCanary tests the size and form in use.
func (p *Peer) startCanary(now time.Duration, out []Action, c *candidate) []Action {
	size := p.data.mtu
	if c.size != 0 {
		size = c.size
	}
	return p.startMeasure(now, out, c, size, !c.plain)
}

func (p *Peer) startMeasure(now time.Duration, out []Action, c *candidate, size int, run bool) []Action {
	d := &p.data
	d.canary, d.checked = now, d.sent.direct(1)
	d.measure = &measure{to: c, began: now, canary: true, rungs: []rung{{size: size, run: run}}, sent: map[TxID]int{}, large: d.sent.direct(1)}
	return p.sendRungs(now, out)
}

// sendRungs sends a probe for each rung that is still open, and a plain one beside them.
func (p *Peer) sendRungs(now time.Duration, out []Action) []Action {
	m := p.data.measure
	m.round++
	m.next = now + max(2*m.to.rtt+measureWait/3, measureWait)
	for i, r := range m.rungs {
		if r.passed || !r.run && r.size <= m.lo {
			continue
		}
		a := Action{Kind: Size, To: m.to.addr, Tx: p.newTx(), Size: r.size + wireguardHead}
		m.sent[a.Tx], p.pending[a.Tx] = i, probe{m.to.addr, now}
		if r.run {
			a.Twin = p.newTx()
			m.sent[a.Twin], p.pending[a.Twin] = i, probe{m.to.addr, now}
		}
		out = append(out, a)
	}
	if !m.canary {
		out = p.ping(now, out, m.to)
	}
	return out
}

// sized takes an answer to a probe if that is one of the measure.
func (p *Peer) sized(now time.Duration, tx TxID) {
	m := p.data.measure
	if m == nil {
		return
	}
	i, ok := m.sent[tx]
	if !ok {
		return
	}
	delete(m.sent, tx)
	r := &m.rungs[i]
	r.passed = true
	m.lo = max(m.lo, r.size) // a run of that size is a packet of that size, too
	m.ran = m.ran || r.run
	for _, r := range m.rungs {
		if !r.passed && (r.run || r.size > m.lo) {
			return
		}
	}
	m.next = now
}

// continueMeasure looks at the answers when a round is over.
func (p *Peer) continueMeasure(now time.Duration, out []Action) []Action {
	m := p.data.measure
	if now < m.next {
		return out
	}
	open := false
	for _, r := range m.rungs {
		open = open || !r.passed && (r.run || r.size > m.lo)
	}
	switch {
	case m.canary && !open:
		return p.passed(now, out)
	case m.canary: // the same size alone tells whether only runs are swallowed
		m.canary, m.round, m.lo, m.run = false, 0, 0, p.data.mtu
		if m.to.size != 0 {
			m.run = m.to.size
		}
		m.rungs = append(m.rungs[:0], rung{size: m.run, run: true}, rung{size: p.data.mtu})
		if m.run != p.data.mtu {
			m.rungs = append(m.rungs, rung{size: m.run})
		}
		for _, size := range ladder {
			if size < p.data.mtu {
				m.rungs = append(m.rungs, rung{size: size})
			}
		}
		clear(m.sent)
		return p.sendRungs(now, out)
	case open && m.round < measureRounds:
		return p.sendRungs(now, out)
	}
	return p.verdict(now, out)
}

// passed ends a measure of a path that carries what was tried.
func (p *Peer) passed(now time.Duration, out []Action) []Action {
	m := p.data.measure
	p.data.measure = nil
	for i := range p.data.lost {
		if l := &p.data.lost[i]; l.packets > 0 && l.passed == 0 && m.to == p.best && m.began >= l.until {
			l.passed = now
		}
	}
	c := m.to
	c.measured = m.began
	if m.rungs[0].size == p.data.mtu && m.rungs[0].run {
		if c.size != 0 || c.plain {
			c.size, c.plain, c.narrowed = 0, false, 0
		} else if c.hole.since == 0 && now-c.recheck > 0 {
			c.hole.fails = 0
		}
		c.recheck = now + measureEvery
	}
	return p.judge(now, p.mended(now, out, c))
}

// mended tries an address again that swallowed data.
func (p *Peer) mended(now time.Duration, out []Action, c *candidate) []Action {
	if c.holed() {
		c.hole.trial = true
		p.data.forget()
		return p.ping(now, out, c)
	}
	return out
}

// verdict ends a round in which not everything passed.
func (p *Peer) verdict(now time.Duration, out []Action) []Action {
	m, d := p.data.measure, &p.data
	c := m.to
	for _, r := range m.rungs {
		if !r.passed && !r.run && r.size > m.lo && (m.hi == 0 || r.size < m.hi) {
			m.hi = r.size
		}
	}
	if waiting, contradicted := p.contradicted(now); waiting {
		m.next = now + measureWait/3
		if now-c.asked >= retryAfter {
			out = p.ping(now, out, c)
		}
		return out
	} else if contradicted {
		d.measure = nil
		c.measured, c.recheck = m.began, now+retryIn(1)
		return out
	}
	switch {
	case m.lo == 0 && c.proved < m.began: // nothing passes, and other rules know what to do
		d.measure = nil
		if c == p.best {
			c.recheck, c.measured = now+heartbeat, m.began
		} else {
			c.hole.until = now + p.backOff(c)
		}
		return out
	case m.lo == 0:
		d.measure, c.measured = nil, m.began
		return p.leave(now, out, c, m.began, "data does not pass by %v; probes do")
	}
	p.narrow(c)
	if m.lo < d.mtu && (m.hi-m.lo > sizeStep || !m.refine) {
		m.round, m.rungs, m.refine = 0, m.rungs[:0], true
		clear(m.sent)
		if !m.ran {
			m.run = m.lo
			m.rungs = append(m.rungs, rung{size: m.run, run: true})
		}
		step := max((m.hi-m.lo)/(rungsAtOnce+1)/sizeStep, 1) * sizeStep
		for size := (m.lo + step) / sizeStep * sizeStep; size < m.hi; size += step {
			m.rungs = append(m.rungs, rung{size: size})
		}
		if len(m.rungs) > 0 {
			return p.sendRungs(now, out)
		}
	}
	d.measure, c.measured = nil, m.began
	c.recheck = now + p.backOff(c)
	return p.mended(now, out, c)
}

// narrow takes over what the measure has found so far.
func (p *Peer) narrow(c *candidate) {
	m, size := p.data.measure, p.data.measure.lo
	plain := m.run != 0 && !m.ran // also if no run of the size that passes was tried yet
	if size == p.data.mtu {
		size = 0
	}
	if size == c.size && plain == c.plain {
		return
	}
	if size != 0 && (c.size == 0 || size < c.size) || plain && !c.plain {
		if c.narrowed == 0 {
			c.narrowed = m.began
		}
		p.data.changes.Narrowed++
	}
	c.size, c.plain = size, plain
	p.data.forget()
}

// contradicted reports whether the peer's report shows packets that probes say cannot pass. While
// this node sends such packets, it waits for a report that can know it.
func (p *Peer) contradicted(now time.Duration) (waiting, contradicted bool) {
	m, d := p.data.measure, &p.data
	if m.to != p.best || d.sent.direct(1) == m.large {
		return false, false
	}
	if d.last.at < m.began+reportEvery+p.best.rtt {
		return now < m.began+measurePatient, false
	}
	return false, m.lo < d.mtu && d.largest >= m.hi+wireguardHead // else only runs were lost
}

// words are what a path says of its size.
func (c *candidate) words() string {
	switch {
	case c.size != 0 && c.plain:
		return fmt.Sprintf("; single packets of up to %d bytes pass", c.size)
	case c.size != 0:
		return fmt.Sprintf("; packets of up to %d bytes pass", c.size)
	case c.plain:
		return "; runs of packets do not pass, single ones do"
	}
	return ""
}
