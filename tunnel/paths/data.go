package paths

import (
	"fmt"
	"net/netip"
	"time"
)

const (
	// reportEvery is how often a peer reports what arrives; a report is overdue somewhat later.
	reportEvery   = time.Second
	reportOverdue = 1200 * time.Millisecond

	settle     = 300 * time.Millisecond // beyond the round trip until what was sent has arrived or is lost
	enoughLost = 5                      // lost packets of a class, without one that arrived, over two reports are a hole
	nearlyNone = 50                     // fewer than one of so many is nearly none

	offersAtOnce = 10 // reports to a peer that sends none
	offerEvery   = time.Minute
)

// Counters is how many counters a report has: four of packets that went directly, by size, and
// three of those through the relay (tunnel/disco, tunnel/arrived).
const Counters = 7

const firstRelayed = 4 // of the counters

// leastOf are the sizes of WireGuard messages from which on direct packets are counted apart.
var leastOf = [firstRelayed]int{0, 513, 1233, 1361}

// Tally is what this node has ever sent to the peer.
type Tally struct {
	Packets [Counters]uint32
	Runs    uint32 // of the direct ones, those that may have left in runs
}

// direct is the number of packets that went directly and are counted from class on.
func (t *Tally) direct(class int) (n uint32) {
	for _, k := range t.Packets[class:firstRelayed] {
		n += k
	}
	return n
}

// mark is what was sent and what had arrived when a report came.
type mark struct {
	at      time.Duration
	sent    Tally
	arrived [Counters]uint32
}

// lost are packets of a class of which none has arrived since.
type lost struct {
	packets uint32
	reports int
	since   time.Duration
	until   time.Duration // end of the first interval
	passed  time.Duration // moment at which probes in the form of data passed since; 0 = not yet
	runs    uint32        // Tally.Runs at its beginning
}

// data is what is known of the data on the ways to the peer.
type data struct {
	mtu     int // largest packet inside the mesh; 0: data is not judged
	known   known
	changes Changes
	*proof  // nil at rest
}

// proof is what reports say of the data. A peer that sends none is judged by probes alone.
type proof struct {
	reports bool // the peer sends reports
	offered int  // reports for a peer that sends none, and the moment of the last
	offer   time.Duration

	sent         Tally
	before, last mark
	lost         [Counters]lost
	largest      int // the largest message that came directly to the peer, by its last report

	left    *candidate // the last address that swallowed data
	canary  time.Duration
	checked uint32 // direct packets above the smallest class at the last canary
	measure *measure
}

// Changes counts what became of paths that did not carry data.
type Changes struct {
	Narrowed uint64 // paths limited to smaller packets, or to single ones
	Left     uint64 // addresses left for another way
}

// Changes are the changes of this peer's paths so far.
func (p *Peer) Changes() Changes { return p.data.changes }

// known is what a path carries that outlives a rest.
type known struct {
	to   netip.AddrPort
	size int
}

// rest is what a peer at rest keeps.
func (d *data) rest(c *candidate) data {
	r := data{mtu: d.mtu, changes: d.changes}
	if c != nil && c.size != 0 {
		r.known = known{c.addr, c.size}
	}
	return r
}

// hole says that an address swallows data.
type hole struct {
	since time.Duration // 0 = it does not
	until time.Duration // moment to try again
	fails int           // in a row
	trial bool          // probes of the size of data pass again, and data has to show the same
	why   string
}

// retries are the times until a narrow or broken path is tried again.
var retries = [...]time.Duration{
	30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute,
}

func retryIn(fails int) time.Duration { return retries[min(max(fails-1, 0), len(retries)-1)] }

// SetMTU sets the size of the largest packet inside the mesh. From then on the peer gets reports,
// and a path is proved by data, too.
func (p *Peer) SetMTU(mtu int) { p.data.mtu = mtu }

// Sent takes what this node has ever sent to the peer. The owner calls it before Traffic, Tick and
// Reported.
func (p *Peer) Sent(t Tally) {
	if p.data.proof != nil {
		p.data.sent = t
	}
}

// Reports reports whether the peer sends reports, and thus reads them.
func (p *Peer) Reports() bool { return p.data.proof != nil && p.data.reports }

// offer answers a probe of the peer, or a call, by a report. It goes through the relay unless the
// source of the probe is known to be the peer's: an answer is not larger than the question.
func (p *Peer) offer(now time.Duration, out []Action, to netip.AddrPort) []Action {
	if c := p.candidates[to]; to.IsValid() && (c == nil || c.answered == 0 || now-c.answered > trustFor) {
		to = netip.AddrPort{}
	}
	if !to.IsValid() && !p.relay || !p.offers(now) {
		return out
	}
	return append(out, Action{Kind: Report, To: to})
}

func (p *Peer) offers(now time.Duration) bool {
	d := &p.data
	switch {
	case d.mtu == 0:
		return false
	case d.reports:
		return true
	case d.offered > 0 && now-d.offer < reportEvery, d.offered >= offersAtOnce && now-d.offer < offerEvery:
		return false
	}
	d.offered++
	d.offer = now
	return true
}

// Reported takes a report of the peer: the data packets that have ever arrived there, and the
// largest message among those that came directly since its last report.
func (p *Peer) Reported(now time.Duration, arrived [Counters]uint32, largest int) (out []Action) {
	d := &p.data
	if d.mtu == 0 {
		return nil
	}
	p.wake(now)
	p.heardProbe(now)
	d.reports, d.largest = true, largest
	m := mark{now, d.sent, arrived}
	if d.last.at != 0 && now-d.last.at < p.rtt()+settle { // what was sent before may still be under way
		return p.Tick(now)
	}
	if d.before.at != 0 {
		d.compare(&m)
		if p.best != nil && p.best.hole.trial && arrived[0]+arrived[1]+arrived[2]+arrived[3]-
			d.before.arrived[0]-d.before.arrived[1]-d.before.arrived[2]-d.before.arrived[3] >= enoughLost {
			p.best.hole = hole{fails: p.best.hole.fails}
		}
	}
	d.before, d.last = d.last, m
	return append(p.judge(now, out), p.Tick(now)...)
}

// compare compares what was sent between the last two reports with what has arrived until this one.
func (d *data) compare(m *mark) {
	for i := range d.lost {
		sent, got := d.last.sent.Packets[i]-d.before.sent.Packets[i], m.arrived[i]-d.before.arrived[i]
		l := &d.lost[i]
		switch {
		case got > 0 && got >= sent/nearlyNone:
			*l = lost{}
		case sent > 0:
			if l.packets == 0 {
				l.since, l.until, l.runs = d.before.at, d.last.at, d.before.sent.Runs
			}
			l.packets += sent
			l.reports++
		}
	}
}

// begin forgets the losses on a direct address that is not the path any more.
func (d *data) begin() {
	d.forget()
	d.measure = nil
}

// forget forgets what was lost directly before the path was changed.
func (d *data) forget() {
	clear(d.lost[:firstRelayed])
	d.before, d.last = mark{}, mark{}
}

func (p *Peer) rtt() time.Duration {
	if p.best != nil {
		return p.best.rtt
	}
	return 0
}

// holed reports whether data must not go to an address.
func (c *candidate) holed() bool { return c.hole.since != 0 && !c.hole.trial }

// judge decides about the path by what was lost.
func (p *Peer) judge(now time.Duration, out []Action) []Action {
	d := &p.data
	if !p.trusted(now) || d.measure != nil {
		return out
	}
	for i := range firstRelayed {
		l := &d.lost[i]
		if l.packets == 0 {
			continue
		}
		if l.passed == 0 { // probes in the form of data say more
			return p.startCanary(now, out, p.best)
		}
		if l.packets < enoughLost || d.last.at < l.passed+p.best.rtt { // the next report has to show the same
			continue
		}
		p.best.plain = d.sent.Runs != l.runs // in case that there is no other way
		return p.leave(now, out, p.best, l.since, "data does not pass by %v; probes do")
	}
	return out
}

// backOff counts one more failure of a path, and is the time until its next test.
func (p *Peer) backOff(c *candidate) time.Duration {
	c.hole.fails++
	return retryIn(c.hole.fails)
}

// leave leaves an address that swallows data for another one or the relay.
func (p *Peer) leave(now time.Duration, out []Action, c *candidate, since time.Duration, why string) []Action {
	if c.hole.since != 0 {
		since = c.hole.since
	}
	c.hole = hole{since: since, fails: c.hole.fails, why: fmt.Sprintf(why, c.addr)}
	c.hole.until = now + p.backOff(c)
	p.data.left = c
	p.data.changes.Left++
	if c != p.best {
		return out
	}
	p.data.begin()
	p.best, p.doubted = nil, 0
	if others := p.sorted(func(c *candidate) bool {
		return c.missed == 0 && c.answered != 0 && now-c.answered < trustFor && !c.holed()
	}); len(others) > 0 {
		p.use(now, others[0])
		return out
	}
	p.search.round, p.search.next = 0, now
	return out
}

// swallowed is the address that data was left for another way, if that address still swallows data.
func (p *Peer) swallowed() *candidate {
	if p.data.proof == nil {
		return nil
	}
	if c := p.data.left; c != nil && c.holed() && p.candidates[c.addr] == c {
		return c
	}
	return nil
}

// RelaySilent is the moment from which on nothing that this node sends through the relay arrives at
// the peer; 0: it does, or nobody knows.
func (p *Peer) RelaySilent() time.Duration {
	if p.data.proof == nil {
		return 0
	}
	for _, l := range p.data.lost[firstRelayed:] {
		if l.packets >= enoughLost && l.reports >= 2 {
			return l.since
		}
	}
	return 0
}

// tickData does what is due for the proof by data.
func (p *Peer) tickData(now time.Duration, out []Action) []Action {
	d := &p.data
	if d.mtu == 0 || !d.reports || !p.active(now) {
		return out
	}
	if d.measure != nil {
		return p.continueMeasure(now, out)
	}
	if c := p.swallowed(); c != nil && now >= c.hole.until {
		return p.measureNow(now, out, c)
	}
	if !p.trusted(now) {
		if d.overdueByRelay(now) { // the answer to a call is a report
			out = p.call(now, out, heartbeat)
		}
		return out
	}
	c := p.best
	if d.last.at != 0 && p.owed() && now-d.last.at >= reportOverdue && now-c.asked >= retryAfter && c.missed == 0 { // its answer is a report
		out = p.ping(now, out, c)
	}
	switch large := d.sent.direct(1); {
	case c.measured == 0 || c.recheck != 0 && now >= c.recheck:
		return p.measureNow(now, out, c)
	case now-d.canary < reportEvery:
	case d.last.at != 0 && p.owed() && now-d.last.at >= reportOverdue, large != d.checked && now-d.canary >= heartbeat:
		return p.startCanary(now, out, c)
	}
	return out
}

// overdueByRelay reports whether the peer should have reported packets that the relay carries.
func (d *data) overdueByRelay(now time.Duration) bool {
	owed := false
	for i, n := range d.sent.Packets[firstRelayed:] {
		owed = owed || n != d.last.sent.Packets[firstRelayed+i]
	}
	return owed && d.last.at != 0 && now-d.last.at >= reportOverdue
}

// owed reports whether this node has sent data directly since the last report.
func (p *Peer) owed() bool { return p.data.sent.direct(0) != p.data.last.sent.direct(0) }

// nextData is when tickData has something to do.
func (p *Peer) nextData(now time.Duration) (time.Duration, bool) {
	d := &p.data
	if d.mtu == 0 || !d.reports {
		return 0, false
	}
	if d.measure != nil {
		return d.measure.next, true
	}
	at, ok := time.Duration(0), false
	earlier := func(t time.Duration) {
		if !ok || t < at {
			at, ok = t, true
		}
	}
	if c := p.swallowed(); c != nil {
		earlier(c.hole.until)
	}
	if !p.trusted(now) {
		if p.relay && d.overdueByRelay(now) {
			earlier(max(now, p.calls.sent+heartbeat))
		}
		return at, ok
	}
	if c := p.best; c.recheck != 0 {
		earlier(c.recheck)
	}
	if p.best.measured == 0 {
		earlier(now)
	}
	if d.last.at != 0 && p.owed() {
		earlier(max(d.last.at+reportOverdue, p.best.asked+retryAfter))
	}
	if d.sent.direct(1) != d.checked {
		earlier(d.canary + heartbeat)
	}
	return at, ok
}
