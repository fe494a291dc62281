package paths

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"nexd/internal/natlab"
)

// This file gives the networks of internal/natlab hosts with a Peer each, a relay, and a
// clock.

const (
	wireDelay  = 10 * time.Millisecond
	relayDelay = 40 * time.Millisecond
)

// packet is a probe or an answer on its way.
type packet struct {
	pong bool
	tx   TxID
}

type segment = natlab.Segment[*host]

// host is a node: a machine for its one peer, and a socket.
type host struct {
	w     *world
	name  string
	on    *segment
	at    netip.AddrPort
	self  []netip.AddrPort // what it knows of itself
	peer  *host
	paths *Peer

	blocked bool // no UDP in or out
	sent    int
	idle    bool // makes no traffic

	streams bool          // sends data, and again what is not acknowledged, ever later
	heard   time.Duration // moment of the last packet from the peer
	resend  time.Duration // moment to send again; 0 = when told
	backoff time.Duration
	touched time.Duration // moment of the last Traffic
	data    int           // packets that came
}

type world struct {
	t      testing.TB
	now    time.Duration
	events timeline
	seq    uint64
	hosts  []*host
	relay  bool
	stun   *host
}

type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

type timeline []event

func (t timeline) Len() int { return len(t) }
func (t timeline) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].seq < t[j].seq
}
func (t timeline) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *timeline) Push(x any)   { *t = append(*t, x.(event)) }
func (t *timeline) Pop() any {
	e := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return e
}

func newWorld(t testing.TB, internet *segment) *world {
	w := &world{t: t, now: time.Second, relay: true}
	w.stun = &host{w: w, on: internet, at: ap("198.51.100.1:3478")}
	internet.Place(w.stun, w.stun.at)
	return w
}

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.events, event{w.now + d, w.seq, do})
}

// tx draws ids that are different, which is all that a test needs.
func (w *world) tx() (id TxID) {
	w.seq++
	binary.BigEndian.PutUint64(id[:], w.seq)
	return id
}

func (w *world) host(name string, on *segment, at string) *host {
	h := &host{w: w, name: name, on: on, at: ap(at), paths: New(w.tx)}
	on.Place(h, h.at)
	w.hosts = append(w.hosts, h)
	return h
}

// learn is what the agent does: its own address, and what STUN says.
func (h *host) learn() {
	h.self = []netip.AddrPort{h.at}
	if _, seen, ok := h.on.Route(h.at, h.w.stun.at, natlab.UsualHops); ok && seen != h.at {
		h.self = append(h.self, seen)
	}
}

func introduce(a, b *host) {
	a.peer, b.peer = b, a
	for _, h := range []*host{a, b} {
		h.learn()
	}
	for _, h := range []*host{a, b} {
		h.do(h.paths.SetRelay(h.w.now, h.w.relay))
		h.do(h.paths.SetCandidates(h.w.now, h.peer.self))
	}
}

// do carries out what the machine asks for.
func (h *host) do(actions []Action) {
	for _, a := range actions {
		h.sent++
		switch {
		case a.Kind == Call:
			if h.w.relay {
				h.learn()
				self, peer := h.self, h.peer
				h.w.after(relayDelay, func() { peer.do(peer.paths.Call(h.w.now, self)) })
			}
		case a.To.IsValid():
			h.send(a.To, packet{a.Kind == Pong, a.Tx}, cmp.Or(a.Hops, natlab.UsualHops))
		}
	}
}

func (h *host) send(to netip.AddrPort, p packet, hops int) {
	dst, from, ok := h.on.Route(h.at, to, hops)
	if !ok || dst == h || h.blocked || dst.blocked || dst.paths == nil {
		return
	}
	h.w.after(wireDelay, func() {
		if p.pong {
			out, _ := dst.paths.Pong(h.w.now, p.tx)
			dst.do(out)
			return
		}
		dst.do(dst.paths.Ping(h.w.now, from, p.tx))
	})
}

// flush has everything between a host and the internet forget its mappings.
func (h *host) flush() { h.on.Flush() }

// transmit sends a packet of data or its acknowledgement by the path, which the host
// tells its machine of as tunnel/underlay does.
func (h *host) transmit(ack bool) {
	if h.touched == 0 || h.w.now-h.touched >= 200*time.Millisecond {
		h.touched = h.w.now
		h.do(h.paths.Traffic(h.w.now, h.heard))
	}
	path := h.path()
	if path.Direct.IsValid() {
		if dst, from, ok := h.on.Route(h.at, path.Direct, natlab.UsualHops); ok && dst == h.peer {
			h.w.after(wireDelay, func() { dst.receive(from, ack) })
		}
	}
	if path.Relay {
		h.w.after(relayDelay, func() { h.peer.receive(netip.AddrPort{}, ack) })
	}
}

func (h *host) receive(from netip.AddrPort, ack bool) {
	h.heard = h.w.now
	if from.IsValid() {
		h.do(h.paths.Moved(h.w.now, from))
	}
	if ack {
		h.resend, h.backoff = 0, 0
		return
	}
	h.data++
	h.transmit(true)
}

// stream does what is due of a stream.
func (h *host) stream() {
	if h.resend != 0 && h.w.now < h.resend {
		return
	}
	h.backoff = max(200*time.Millisecond, 2*h.backoff)
	h.resend = h.w.now + h.backoff
	h.transmit(false)
}

// run lets time pass; every host makes traffic and is woken when it asked for.
func (w *world) run(d time.Duration, until func() bool) (took time.Duration) {
	start := w.now
	end := start + d
	for w.now < end && (until == nil || !until()) {
		next := w.now + 10*time.Millisecond
		for len(w.events) > 0 && w.events[0].at <= next {
			e := heap.Pop(&w.events).(event)
			w.now = e.at
			e.do()
		}
		w.now = next
		for _, h := range w.hosts {
			if h.streams {
				h.stream()
			} else if !h.idle && w.now%(250*time.Millisecond) == 0 {
				h.do(h.paths.Traffic(w.now, w.now))
			}
			if at, ok := h.paths.Next(w.now); ok && at <= w.now {
				h.do(h.paths.Tick(w.now))
			}
		}
	}
	return w.now - start
}

func (h *host) path() Path { return h.paths.Path(h.w.now) }
