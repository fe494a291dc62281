package paths

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// datagram is what a line carries: a probe, an answer, a report or data.
type datagram struct {
	kind    Kind // 0 = data
	tx      TxID
	size    int  // of the message
	run     bool // left in a run
	arrived [Counters]uint32
	largest int
}

// form is what a filter sees: handshakes are not data.
func (d *datagram) data() bool { return d.kind != Ping }

// line connects two peers by one address each and by a relay.
type line struct {
	t    *testing.T
	now  time.Duration
	a, b *end
	todo []arrival
	loss float64
	rnd  *rand.Rand
}

type arrival struct {
	at   time.Duration
	to   *end
	from netip.AddrPort // invalid: the relay
	d    datagram
}

// end is one side: a Peer and what tunnel/underlay does for it.
type end struct {
	l        *line
	p        *Peer
	at       netip.AddrPort
	to       *end
	old      bool                 // an older version: it knows no reports
	drop     func(*datagram) bool // on the way from this end
	cut      bool                 // no data that this end sends through the relay arrives
	tally    Tally
	received [Counters]uint32
	largest  int
	reported time.Duration
	touched  time.Duration
	heard    time.Duration
	reports  int
	sizedOut int
	app
}

// app is what sends and takes the data of one side.
type app struct {
	size    int           // of the packets that it sends; 0 = none
	perStep int           // so many in a step, whatever arrives
	window  int           // … or so many per round trip while they arrive, as TCP does
	acked   time.Duration // moment of the last acknowledgement
	resend  time.Duration
	backoff time.Duration
	got     int           // of data that arrived here
	gap     time.Duration // longest time without
	last    time.Duration
}

func newLine(t *testing.T) *line {
	l := &line{t: t, now: time.Second, rnd: rand.New(rand.NewPCG(1, 2))}
	var seq uint64
	tx := func() (id TxID) { seq++; binary.BigEndian.PutUint64(id[:], seq); return id }
	l.a = &end{l: l, p: New(tx), at: ap("192.0.2.1:1")}
	l.b = &end{l: l, p: New(tx), at: ap("192.0.2.2:2")}
	l.a.to, l.b.to = l.b, l.a
	for _, e := range []*end{l.a, l.b} {
		e.p.SetMTU(1420)
		e.p.SetCandidates(l.now, []netip.AddrPort{e.to.at})
		e.p.SetRelay(l.now, true)
		e.drop = func(*datagram) bool { return false }
	}
	return l
}

func classOf(size int) int {
	i := len(leastOf) - 1
	for size < leastOf[i] {
		i--
	}
	return i
}

func (e *end) transmit(d datagram, direct bool) {
	l := e.l
	if direct {
		if d.kind == 0 {
			e.tally.Packets[classOf(d.size)]++
			if d.run {
				e.tally.Runs++
			}
		}
		if !e.drop(&d) && l.rnd.Float64() >= l.loss {
			l.todo = append(l.todo, arrival{l.now + wireDelay, e.to, e.at, d})
		}
		return
	}
	if d.kind == 0 {
		e.tally.Packets[firstRelayed+min(classOf(d.size), 2)]++
	}
	if !e.cut || d.kind != 0 {
		l.todo = append(l.todo, arrival{l.now + relayDelay, e.to, netip.AddrPort{}, d})
	}
}

func (e *end) do(actions []Action) {
	for _, a := range actions {
		switch a.Kind {
		case Ping:
			e.transmit(datagram{kind: Ping, tx: a.Tx, size: 148}, true)
		case Pong:
			e.transmit(datagram{kind: Pong, tx: a.Tx, size: 96}, a.To.IsValid())
		case Call:
			e.transmit(datagram{kind: Call}, false)
		case Size:
			e.sizedOut++
			e.transmit(datagram{kind: Size, tx: a.Tx, size: a.Size, run: a.Twin != TxID{}}, true)
			if a.Twin != (TxID{}) {
				e.transmit(datagram{kind: Size, tx: a.Twin, size: a.Size, run: true}, true)
			}
		case Report:
			e.report(a.To.IsValid())
		}
	}
}

func (e *end) report(direct bool) {
	if e.reported != 0 && e.l.now-e.reported < time.Second {
		return
	}
	e.reported = e.l.now
	e.reports++
	e.transmit(datagram{kind: Report, size: 96, arrived: e.received, largest: e.largest}, direct)
	e.largest = 0
}

func (e *end) take(from netip.AddrPort, d datagram) {
	now, p := e.l.now, e.p
	p.Sent(e.tally)
	switch d.kind {
	case Ping, Size:
		e.do(p.Ping(now, from, d.tx))
	case Pong:
		out, _ := p.Pong(now, d.tx)
		e.do(out)
	case Call:
		e.do(p.Call(now, []netip.AddrPort{e.to.at}))
	case Report:
		if !e.old {
			e.do(p.Reported(now, d.arrived, d.largest))
		}
	default:
		e.heard = now
		if from.IsValid() {
			e.received[classOf(d.size)]++
			e.largest = max(e.largest, d.size)
			e.do(p.Moved(now, from))
		} else {
			e.received[firstRelayed+min(classOf(d.size), 2)]++
			e.do(p.MovedToRelay(now))
		}
		if p.Reports() {
			path := p.Path(now)
			e.report(path.Direct.IsValid())
		}
		if e.to.size > 0 && d.size > 100 {
			e.got++
			e.gap = max(e.gap, now-e.last)
			e.last = now
			e.send(96) // an acknowledgement
		} else {
			e.acked = now
		}
	}
}

// send sends one packet of a message size by the path.
func (e *end) send(size int) {
	path := e.p.Path(e.l.now)
	if path.Direct.IsValid() {
		e.transmit(datagram{size: size, run: !path.Plain && size > 100}, true)
	}
	if path.Relay {
		e.transmit(datagram{size: size}, false)
	}
	if e.l.now-e.touched >= 200*time.Millisecond {
		e.touched = e.l.now
		e.p.Sent(e.tally)
		e.do(e.p.Traffic(e.l.now, e.heard))
	}
}

func (e *end) traffic() {
	if e.size == 0 {
		return
	}
	size := e.size
	if l := e.p.Path(e.l.now).Largest; l != 0 {
		size = min(size, l)
	}
	n := e.perStep
	if e.window > 0 {
		switch now := e.l.now; {
		case now-e.acked <= 100*time.Millisecond:
			n, e.backoff, e.resend = e.window, 200*time.Millisecond, now+200*time.Millisecond
		case now >= e.resend:
			n, e.backoff = 1, 2*e.backoff
			e.resend = now + e.backoff
		}
	}
	for range n {
		e.send(size + wireguardHead)
	}
}

// run lets time pass.
func (l *line) run(d time.Duration) {
	const step = 5 * time.Millisecond
	for until := l.now + d; l.now < until; l.now += step {
		for _, e := range []*end{l.a, l.b} {
			if at, ok := e.p.Next(l.now); ok && at <= l.now {
				e.p.Sent(e.tally)
				e.do(e.p.Tick(l.now))
			}
			e.traffic()
		}
		for i := 0; i < len(l.todo); i++ { // answers are appended
			if x := l.todo[i]; x.at <= l.now {
				x.to.take(x.from, x.d)
				l.todo[i].to = nil
			}
		}
		keep := l.todo[:0]
		for _, x := range l.todo {
			if x.to != nil {
				keep = append(keep, x)
			}
		}
		l.todo = keep
	}
}

// stream has an end send large packets as TCP does.
func (e *end) stream() { e.size, e.window, e.acked, e.to.last = 1420, 10, e.l.now, e.l.now }

// flood has an end send packets of a size at a steady rate.
func (e *end) flood(size, perStep int) { e.size, e.perStep, e.to.last = size, perStep, e.l.now }

// longer drops what is longer than an IPv4 packet of a size; runs count as what they leave as.
func longer(size int) func(*datagram) bool {
	return func(d *datagram) bool { return d.size+28 > size }
}

// holes are ways in which data does not pass though probes do.
var holes = map[string]struct {
	drop    func(*datagram) bool
	largest int  // expected; 0 = any
	plain   bool // expected
	relay   bool // expected
	late    bool // TCP sends again only 6.2 s after the first loss
}{
	"MTU 1480":              {drop: longer(1479), largest: 1408},
	"MTU 1400":              {drop: longer(1400), largest: 1328},
	"MTU 1300":              {drop: longer(1300), largest: 1232},
	"MTU 1280":              {drop: longer(1280), largest: 1216},
	"MTU 1200":              {drop: longer(1200), largest: 1136},
	"MTU 700":               {drop: longer(700), largest: 640},
	"runs":                  {drop: func(d *datagram) bool { return d.run }, plain: true},
	"data":                  {drop: func(d *datagram) bool { return d.data() && d.size > 96 }, relay: true},
	"data above 200":        {drop: func(d *datagram) bool { return d.data() && d.size > 200 }, largest: 160},
	"data, but no probes":   {drop: func(d *datagram) bool { return d.kind == 0 }, relay: true, late: true},
	"runs and large":        {drop: func(d *datagram) bool { return d.run || d.size+28 > 1400 }, largest: 1328, plain: true},
	"all of WireGuard data": {drop: func(d *datagram) bool { return d.data() }, relay: true},
}

func (l *line) settled(e *end, name string) {
	l.t.Helper()
	want, path := holes[name], e.p.Path(l.now)
	if want.relay == path.Direct.IsValid() || want.largest != path.Largest || want.plain != path.Plain {
		l.t.Errorf("path %+v", path)
	}
	if path.Since == 0 && !strings.Contains(name, "all of") {
		l.t.Errorf("no moment: %+v", path)
	}
}

func TestAHoleFromTheStart(t *testing.T) {
	for name, hole := range holes {
		t.Run(name, func(t *testing.T) {
			l := newLine(t)
			l.a.drop = hole.drop
			l.a.stream()
			l.run(10 * time.Second)
			l.settled(l.a, name)
			if name == "runs" && l.b.gap > time.Second { // single packets begin
				t.Errorf("nothing for %v", l.b.gap)
			}
			if l.b.gap > 5*time.Second && !hole.late || l.b.got < 100 {
				t.Errorf("%d packets, and none for %v", l.b.got, l.b.gap)
			}
		})
	}
}

func TestAHoleInMidTransfer(t *testing.T) {
	for name, hole := range holes {
		for _, kind := range []string{"stream", "flood"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				l := newLine(t)
				if kind == "stream" {
					l.a.stream()
				} else {
					l.a.flood(1420, 2)
				}
				l.run(5300 * time.Millisecond)
				if path := l.a.p.Path(l.now); !path.Proved || path.Largest != 0 || path.Plain {
					t.Fatalf("before: %+v", path)
				}
				l.a.drop, l.b.gap = hole.drop, 0
				l.run(10 * time.Second)
				if kind == "flood" || !hole.late { // else too few packets were lost to judge
					l.settled(l.a, name)
				}
				if l.b.gap > 5*time.Second && (kind == "flood" || !hole.late) {
					t.Errorf("nothing for %v", l.b.gap)
				}
			})
		}
	}
}

// Each direction is judged apart.
func TestAHoleInOneDirection(t *testing.T) {
	l := newLine(t)
	l.a.stream()
	l.b.flood(1420, 1)
	l.b.drop = longer(1300)
	l.run(10 * time.Second)
	if a, b := l.a.p.Path(l.now), l.b.p.Path(l.now); a.Largest != 0 || b.Largest != 1232 {
		t.Errorf("there %+v, back %+v", a, b)
	}
}

// A narrow path is tried again, ever more rarely, and without harm to what passes.
func TestAHoleIsTriedAgain(t *testing.T) {
	for name, hole := range holes {
		t.Run(name, func(t *testing.T) {
			l := newLine(t)
			l.a.drop = hole.drop
			l.a.flood(1420, 1)
			l.run(10 * time.Second)
			l.b.gap = 0
			l.run(4 * time.Minute)
			l.settled(l.a, name)
			if l.b.gap > time.Second {
				t.Errorf("trying again cost %v", l.b.gap)
			}
			l.a.drop = func(*datagram) bool { return false }
			l.run(11 * time.Minute)
			if path := l.a.p.Path(l.now); !path.Proved || path.Largest != 0 || path.Plain || path.Relay {
				t.Errorf("after it was mended: %+v", path)
			}
		})
	}
}

func TestLossIsNoHole(t *testing.T) {
	for name, loss := range map[string]float64{"5 %": 0.05, "20 %": 0.2} {
		for _, perStep := range []int{1, 10} {
			l := newLine(t)
			l.loss = loss
			l.a.flood(1420, perStep)
			l.run(5 * time.Minute)
			if path := l.a.p.Path(l.now); l.a.p.Changes() != (Changes{}) {
				t.Errorf("%s, %d packets at a time: %+v, %+v", name, perStep, l.a.p.Changes(), path)
			}
		}
	}
}

// A policer drops what exceeds a rate, and rather the large.
func TestAPolicerIsNoHole(t *testing.T) {
	l := newLine(t)
	tokens, at := 0.0, l.now
	l.a.drop = func(d *datagram) bool {
		tokens = min(tokens+float64(l.now-at)/float64(time.Second)*100_000, 10_000)
		at = l.now
		if float64(d.size) > tokens {
			return true
		}
		tokens -= float64(d.size)
		return false
	}
	l.a.flood(1420, 10) // 28 times too much
	l.run(time.Minute)
	if l.a.p.Changes() != (Changes{}) {
		t.Errorf("%+v, %+v", l.a.p.Changes(), l.a.p.Path(l.now))
	}
}

func TestReportsOnlyForThoseWhoReadThem(t *testing.T) {
	l := newLine(t)
	l.b.old = true
	l.b.p.SetMTU(0)
	l.a.flood(1420, 1)
	l.b.flood(1420, 1)
	l.run(10 * time.Minute)
	if l.a.sizedOut > 0 || l.a.reports > 20 || l.a.p.Changes() != (Changes{}) {
		t.Errorf("%d sized probes, %d reports, %+v", l.a.sizedOut, l.a.reports, l.a.p.Changes())
	}
}

func TestReportsAreRareAndEndWithTheData(t *testing.T) {
	l := newLine(t)
	l.a.flood(1420, 5)
	l.run(10 * time.Second)
	if l.b.reports < 8 || l.b.reports > 11 || l.a.sizedOut > 20 {
		t.Errorf("%d reports, %d sized probes in 10 s", l.b.reports, l.a.sizedOut)
	}
	l.a.size = 0
	l.run(50 * time.Second) // probes go on for 45 s
	reports, sized := l.b.reports, l.a.sizedOut
	l.run(time.Minute)
	if l.b.reports != reports || l.a.sizedOut != sized {
		t.Error("reports or sized probes without data")
	}
}

// The relay is a way like any other.
func TestARelayThatSwallowsDataIsTold(t *testing.T) {
	l := newLine(t)
	l.a.drop = func(*datagram) bool { return true }
	l.a.flood(1420, 1)
	l.run(5 * time.Second)
	if path := l.a.p.Path(l.now); !path.Relay || path.Since != 0 || l.b.got == 0 {
		t.Fatalf("before: %+v", path)
	}
	l.a.cut = true
	l.run(20 * time.Second)
	if path := l.a.p.Path(l.now); path.Since == 0 || !strings.Contains(path.Why, "through the relay") {
		t.Errorf("%+v", path)
	}
	l.a.cut = false
	l.run(5 * time.Second)
	if path := l.a.p.Path(l.now); path.Since != 0 {
		t.Errorf("after: %+v", path)
	}
}
