package paths

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// This file is a little internet in memory, with NATs and a clock of its own.

const (
	wireDelay  = 10 * time.Millisecond
	relayDelay = 40 * time.Millisecond

	usualHops = 64
	coreHops  = 4 // routers of the internet between two that are on it
)

// filtering is whom a box lets in from outside to a port that it has mapped.
type filtering int

const (
	anybody filtering = iota
	sameAddr
	samePort
)

// segment is a network on which everybody reaches everybody.
type segment struct {
	hosts map[netip.Addr]*host
	boxes map[netip.Addr]*box // by their outer address
	gate  *box                // the way out; nil: the internet
}

func newSegment() *segment {
	return &segment{hosts: map[netip.Addr]*host{}, boxes: map[netip.Addr]*box{}}
}

// box is a NAT, or a firewall if it translates nothing, between two segments.
type box struct {
	inner, outer *segment
	addr         netip.Addr // outside
	firewall     bool
	dependent    bool // another mapping for every destination
	filter       filtering
	hairpin      bool
	keeps        bool // ports, as Linux does: what comes in unasked it takes for its own, and its port for taken

	ports   map[flow]uint16 // inside address (and destination) -> port outside
	back    map[uint16]netip.AddrPort
	allowed map[uint16][]netip.AddrPort
	taken   map[flow]bool // by what came in unasked: from there to a port of the box
	next    uint16
}

type flow struct{ from, to netip.AddrPort }

func (s *segment) behind(b box) *segment {
	b.inner, b.outer, b.next = newSegment(), s, 40000
	b.flush()
	b.inner.gate = &b
	s.boxes[b.addr] = &b
	return b.inner
}

// flush forgets all mappings.
func (b *box) flush() {
	b.ports, b.back, b.allowed, b.taken = map[flow]uint16{}, map[uint16]netip.AddrPort{}, map[uint16][]netip.AddrPort{}, map[flow]bool{}
}

// out translates the source of a packet that leaves.
func (b *box) out(from, to netip.AddrPort) netip.AddrPort {
	f := flow{from: from}
	if b.dependent {
		f.to = to
	}
	port, ok := b.ports[f]
	if ok && b.taken[flow{to, netip.AddrPortFrom(b.addr, port)}] && !slices.Contains(b.allowed[port], to) {
		f.to = to
		port, ok = b.ports[f]
	}
	if !ok {
		if port = from.Port(); !b.firewall && (!b.keeps || f.to.IsValid()) {
			b.next++
			port = b.next
		}
		b.ports[f], b.back[port] = port, from
	}
	if !slices.Contains(b.allowed[port], to) {
		b.allowed[port] = append(b.allowed[port], to)
	}
	return netip.AddrPortFrom(b.addr, port)
}

// in translates the destination of a packet that arrives.
func (b *box) in(from netip.AddrPort, port uint16) (netip.AddrPort, bool) {
	to, ok := b.back[port]
	ok = ok && slices.ContainsFunc(b.allowed[port], func(a netip.AddrPort) bool {
		return b.filter == anybody || b.filter == sameAddr && a.Addr() == from.Addr() || a == from
	})
	if !ok && b.keeps {
		b.taken[flow{from, netip.AddrPortFrom(b.addr, port)}] = true
	}
	return to, ok
}

// packet is a probe or an answer on its way.
type packet struct {
	pong bool
	tx   TxID
}

// route brings a packet to its host, with the source that it is seen to have, if it gets
// over enough routers.
func (s *segment) route(from, to netip.AddrPort, hops int) (*host, netip.AddrPort) {
	if s.gate == nil {
		hops -= coreHops
	}
	if hops <= 0 {
		return nil, from
	}
	if h := s.hosts[to.Addr()]; h != nil && h.at == to {
		return h, from
	}
	if b := s.boxes[to.Addr()]; b != nil {
		if inside, ok := b.in(from, to.Port()); ok {
			return b.inner.route(from, inside, hops-1)
		}
		return nil, from
	}
	b := s.gate
	switch {
	case b == nil || hops == 1:
		return nil, from
	case b.addr == to.Addr():
		if !b.hairpin {
			return nil, from
		}
		from = b.out(from, to)
		if inside, ok := b.in(from, to.Port()); ok {
			return s.route(from, inside, hops-1)
		}
		return nil, from
	}
	return b.outer.route(b.out(from, to), to, hops-1)
}

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
	internet.hosts[w.stun.at.Addr()] = w.stun
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
	on.hosts[h.at.Addr()] = h
	w.hosts = append(w.hosts, h)
	return h
}

// learn is what the agent does: its own address, and what STUN says.
func (h *host) learn() {
	h.self = []netip.AddrPort{h.at}
	if _, seen := h.on.route(h.at, h.w.stun.at, usualHops); seen != h.at {
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
			h.send(a.To, packet{a.Kind == Pong, a.Tx}, cmp.Or(a.Hops, usualHops))
		}
	}
}

func (h *host) send(to netip.AddrPort, p packet, hops int) {
	dst, from := h.on.route(h.at, to, hops)
	if dst == nil || dst == h || h.blocked || dst.blocked || dst.paths == nil {
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
func (h *host) flush() {
	for s := h.on; s.gate != nil; s = s.gate.outer {
		s.gate.flush()
	}
}

// transmit sends a packet of data or its acknowledgement by the path, which the host
// tells its machine of as tunnel/underlay does.
func (h *host) transmit(ack bool) {
	if h.touched == 0 || h.w.now-h.touched >= 200*time.Millisecond {
		h.touched = h.w.now
		h.do(h.paths.Traffic(h.w.now, h.heard))
	}
	path := h.path()
	if path.Direct.IsValid() {
		if dst, from := h.on.route(h.at, path.Direct, usualHops); dst == h.peer {
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
