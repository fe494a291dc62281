package relay

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"nexd/internal/udprun"
	"nexd/mesh"
)

// plainFor is how long single datagrams are sent after a path refused a run.
const plainFor = time.Minute

// Carrier is one end of the UDP carrier of a session. It makes and opens datagrams, and knows the
// address of the other end. Its methods may be called from several goroutines.
type Carrier struct {
	own func(t Type, parts ...[]byte) bool // sends a frame of the connection itself

	until atomic.Int64                   // datagrams are believed to arrive, Unix nanoseconds
	aimed atomic.Pointer[netip.AddrPort] // where the other side is; changes with conn

	sending sync.Mutex // of what follows
	seal    sealer
	outs    channels
	conn    *udprun.Conn
	source  netip.Addr // address of this host to send from; not valid = the routes select one
	plain   time.Time  // until then no runs

	taking sync.Mutex // of what follows
	open   opener
	ins    map[uint16]mesh.Key
}

// NewCarrier makes a carrier for a session, with a key of Shared for each direction. own sends a
// frame on the session's WebSocket without waiting (Queue.Own).
func NewCarrier(id SessionID, seal, open [32]byte, own func(t Type, parts ...[]byte) bool) *Carrier {
	return &Carrier{own: own, seal: newSealer(id, seal), open: newOpener(open)}
}

// Aim sets the socket, the address of the other end, and the address of this host to send from,
// which is not valid if the host's routes select it.
func (c *Carrier) Aim(conn *udprun.Conn, addr netip.AddrPort, source netip.Addr) {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.source = source
	if c.conn != conn || c.At() != addr {
		c.conn, c.plain = conn, time.Time{}
		c.aimed.Store(&addr)
	}
}

// At returns the address of the other end. It is not valid while the address is unknown.
func (c *Carrier) At() (addr netip.AddrPort) {
	if p := c.aimed.Load(); p != nil {
		addr = *p
	}
	return addr
}

// Believe sets how long the carrier assumes that datagrams arrive. The zero time means that they do
// not.
func (c *Carrier) Believe(until time.Time) {
	if until.IsZero() {
		c.until.Store(0)
		return
	}
	c.until.Store(until.UnixNano())
}

// Good reports whether the carrier assumes that datagrams arrive.
func (c *Carrier) Good() bool { return time.Now().UnixNano() < c.until.Load() }

// Bind processes the body of a bind frame, by which the other end names one of its channels, and
// answers it. It returns false if the other end does not read the answers.
func (c *Carrier) Bind(body []byte) bool {
	number, peer, ok := parseBind(body)
	if !ok {
		return true
	}
	c.taking.Lock()
	if c.ins == nil {
		c.ins = map[uint16]mesh.Key{}
	}
	c.ins[number] = peer
	c.taking.Unlock()
	return c.own(TypeBound, body)
}

// Bound processes the body of a bound frame.
func (c *Carrier) Bound(body []byte) {
	number, peer, ok := parseBind(body)
	if !ok {
		return
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	c.outs.bound(number, peer)
}

// Long appends a long datagram with whole frames to b. It returns nil if the carrier has no
// datagram numbers left.
func (c *Carrier) Long(b, frames []byte) []byte {
	c.sending.Lock()
	defer c.sending.Unlock()
	d, ok := c.seal.long(b, frames)
	if !ok {
		return nil
	}
	return d
}

// Send sends packets to a peer, or of a peer. It returns false if they have to go by WebSocket. A
// packet that cannot be sent is lost.
func (c *Carrier) Send(peer mesh.Key, packets ...[]byte) bool {
	if !c.Good() {
		return false
	}
	r := runs.Get().(*run)
	defer runs.Put(r)
	for _, p := range packets {
		if r.add(p) {
			continue
		}
		c.flush(r, peer)
		if !r.add(p) { // handshakes, probes, giants
			c.one(peer, p)
		}
	}
	c.flush(r, peer)
	return true
}

// SendMessage sends a message of data frames from Queue.Take. It returns false if the message has
// to go by WebSocket.
func (c *Carrier) SendMessage(msg []byte) bool {
	var one [32][]byte
	packets, of := one[:0], mesh.Key{}
	if !c.Good() {
		return false
	}
	EachFrame(msg, func(_ Type, body []byte) error {
		peer, packet, err := ParseData(body)
		if err != nil {
			return nil // never: the frames are our own
		}
		if peer != of && len(packets) > 0 {
			c.Send(of, packets...)
			packets = packets[:0]
		}
		packets, of = append(packets, packet), peer
		return nil
	})
	if len(packets) > 0 {
		c.Send(of, packets...)
	}
	return true
}

func (c *Carrier) flush(r *run, peer mesh.Key) {
	if r.n > 0 {
		c.SendRun(peer, r.buf[:r.n], r.segment)
		r.n, r.full = 0, false
	}
}

// SendRun sends a run that is laid out as short datagrams: data messages with RunRoom bytes before
// each. It overwrites parts of the run. It returns false if the packets have to go by WebSocket.
func (c *Carrier) SendRun(peer mesh.Key, run []byte, segment int) bool {
	now := time.Now()
	if now.UnixNano() >= c.until.Load() {
		return false
	}
	c.sending.Lock()
	good, ask := c.outs.find(peer, now)
	conn, addr, source, plain := c.conn, c.At(), c.source, now.Before(c.plain)
	short := good != 0 && conn != nil && c.seal.short(run, segment, good)
	c.sending.Unlock()
	if ask != 0 {
		c.own(TypeBind, bindBody(ask, peer))
	}
	if !short {
		for ; len(run) > 0; run = run[min(segment, len(run)):] {
			c.one(peer, run[RunRoom:min(segment, len(run))])
		}
		return true
	}
	if refused, _ := conn.WriteFrom(run, segment, addr, source, plain); refused {
		c.sending.Lock()
		c.plain = now.Add(plainFor)
		c.sending.Unlock()
	}
	return true
}

// one sends a packet in a long datagram.
func (c *Carrier) one(peer mesh.Key, packet []byte) {
	r := runs.Get().(*run)
	defer runs.Put(r)
	c.write(r, AppendData(r.buf[longHead:longHead], peer, packet)) // it lies where it belongs
}

// Write sends whole frames in a long datagram, whether or not datagrams arrive.
func (c *Carrier) Write(frames []byte) {
	r := runs.Get().(*run)
	defer runs.Put(r)
	c.write(r, frames)
}

// WriteRun sends two long datagrams of equal size as a run, whether or not datagrams arrive.
func (c *Carrier) WriteRun(one, two []byte) {
	r := runs.Get().(*run)
	defer runs.Put(r)
	c.sending.Lock()
	d, ok := c.seal.long(r.buf[:0], one)
	size := len(d)
	if ok {
		d, ok = c.seal.long(d, two)
	}
	conn, addr, source, plain := c.conn, c.At(), c.source, time.Now().Before(c.plain)
	c.sending.Unlock()
	if ok && conn != nil {
		conn.WriteFrom(d, size, addr, source, plain)
	}
}

func (c *Carrier) write(r *run, frames []byte) {
	c.sending.Lock()
	d, ok := c.seal.long(r.buf[:0], frames)
	conn, addr, source := c.conn, c.At(), c.source
	c.sending.Unlock()
	if ok && conn != nil {
		conn.WriteFrom(d, len(d), addr, source, true)
	}
}

// Taken is the content of one datagram: a packet to a peer or of a peer, frames, or an error.
type Taken struct {
	Peer   mesh.Key
	Packet []byte // with RunRoom bytes before it that are the run's
	Frames []byte
	Newest bool // no datagram before it was newer
	Err    error
}

// Take opens the datagrams of a run and appends the content of each to out. Packets and frames are
// slices of the run.
func (c *Carrier) Take(out []Taken, run []byte, segment int) []Taken {
	c.taking.Lock()
	defer c.taking.Unlock()
	var peer mesh.Key
	last := uint16(0)
	for ; len(run) > 0; run = run[min(segment, len(run)):] {
		d := run[:min(segment, len(run))]
		t := Taken{}
		switch t.Newest, t.Err = c.open.open(d); {
		case t.Err != nil:
		case d[0] == kindLong:
			t.Frames = frames(d)
		default:
			var number uint16
			number, t.Packet = message(d)
			if number != last {
				if peer, last = c.ins[number], number; peer.IsZero() {
					last = 0
				}
			}
			if t.Peer = peer; last == 0 {
				t.Packet, t.Err = nil, errNoChannel
			}
		}
		out = append(out, t)
	}
	return out
}
