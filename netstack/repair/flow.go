package repair

import (
	"net/netip"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"nexd/internal/packet"
	"nexd/netstack/gvisor"
)

// Repairs is the state that the connections of one stack share.
type Repairs struct {
	mtu        int
	maxBuffer  func() int // bytes; nil: no limit
	fits       func(netip.Addr) int
	paths      pathTable
	recoveries recoveries
	acks       ackDelayer
	reopens    reopener
	asks       asker
}

// New makes the shared state for a stack with the given inner MTU. send sends a
// packet with a reference of its own. fits returns the largest packet that the path
// to a peer is known to carry, 0 for the MTU; nil means always 0.
func New(mtu int, send func(*stack.PacketBuffer) bool, fits func(netip.Addr) int) *Repairs {
	if fits == nil {
		fits = func(netip.Addr) int { return 0 }
	}
	return &Repairs{mtu: mtu, fits: fits, acks: ackDelayer{send: send}}
}

// Spare keeps socket buffers within the size that maxBuffer returns. Nil is no limit. It is called
// before the first connection.
func (r *Repairs) Spare(maxBuffer func() int) { r.maxBuffer = maxBuffer }

// Arrived is told of each TCP segment from a peer. It may change the segment's
// options; the caller has verified the checksum, which is then no longer correct. It
// returns true if it has taken the segment, to deliver it later.
func (r *Repairs) Arrived(p packet.IP, tcp packet.TCP) (taken bool) {
	if tcp.Flags()&(packet.SYN|packet.ACK|packet.RST) == packet.SYN {
		return r.reopens.opens(p, tcp)
	}
	if r.recoveries.any() {
		r.recoveries.arrived(p, tcp)
	}
	return false
}

// Close drops the acknowledgements that are delayed, and delays and asks nothing more.
func (r *Repairs) Close() {
	r.acks.close()
	r.asks.close()
}

// Flow is the repairs of one TCP connection. It is the owner of the connection's
// packets. gVisor sends with the endpoint's lock held, so Sent and Delays are called
// one at a time.
type Flow struct {
	r     *Repairs
	peer  netip.Addr
	ep    *tcp.Endpoint
	stats *tcp.Stats // of the endpoint

	stall   rtoStall
	ack     ackState
	silence silence

	mss   atomic.Int32 // payload of a full packet; writers align to it
	limit atomic.Int32 // largest IP packet that the path is believed to carry; 0 = the MTU

	// Under the endpoint's lock:
	hole     blackHole
	begun    bool
	high     uint32 // sequence number after the last byte sent
	timeouts uint64 // retransmission timeouts seen so far
}

// NewFlow makes the repairs of an endpoint. They begin with the MSS of the link's
// MTU and with what other connections learned of the path to peer. wake is called
// when a writer that Stalled told to wait may go on.
func (r *Repairs) NewFlow(ep *tcp.Endpoint, peer netip.Addr, wake func()) *Flow {
	f := &Flow{r: r, peer: peer, ep: ep, stats: ep.Stats().(*tcp.Stats)}
	f.stall.wake = wake
	f.mss.Store(int32(max(r.mtu-f.overhead(), 1)))
	if limit, until := r.paths.lookup(peer, time.Now()); limit != 0 {
		f.hole.resume(limit, until)
		f.limit.Store(int32(limit))
	}
	return f
}

// KUID is half of tcpip.PacketOwner; nothing reads it.
func (f *Flow) KUID() uint32 { return 0 }

// KGID is the other half of tcpip.PacketOwner.
func (f *Flow) KGID() uint32 { return 0 }

func (f *Flow) overhead() int { return gvisor.Overhead(!f.peer.Is6()) }

// PacketLimit is the size of the largest IP packet to send, 0 for the MTU: what the
// path is known to carry, or less if larger packets of the connection vanished.
func (f *Flow) PacketLimit() int {
	limit := int(f.limit.Load())
	if known := f.r.fits(f.peer); known != 0 && (limit == 0 || known < limit) {
		return known
	}
	return limit
}

// Payload is the payload of a full packet of the connection.
func (f *Flow) Payload() int {
	mss := int(f.mss.Load())
	if limit := f.PacketLimit(); limit != 0 {
		mss = min(mss, max(limit-f.overhead(), 1))
	}
	return mss
}

// Sent is told of every packet of the connection before it is queued.
func (f *Flow) Sent(pkt *stack.PacketBuffer) {
	data := pkt.Data().Size()
	header := pkt.TransportHeader().Slice()
	if data == 0 || len(header) < packet.TCPHeaderLen {
		return
	}
	mss := int32(pkt.GSOOptions.MSS)
	if mss != 0 && mss != f.mss.Load() {
		f.mss.Store(mss)
	}
	seq := packet.TCP(header).Seq()
	if end := seq + uint32(data); !f.begun || int32(end-f.high) > 0 {
		f.begun, f.high = true, end
		f.stall.sentNew()
	} else if n := f.stats.SendErrors.Timeouts.Value(); n != f.timeouts {
		f.timeouts = n
		f.stall.timedOut()
		f.r.recoveries.enter(pkt, f.high)
	}
	size := len(pkt.NetworkHeader().Slice()) + len(header) + min(data, max(int(mss), 1))
	switch f.hole.sent(seq, size, time.Now) {
	case limitChanged:
		f.limit.Store(int32(f.hole.limit()))
	case limitProved:
		f.hole.keep(f.r.paths.learn(f.peer, f.hole.limit(), f.hole.outage, time.Now()))
	}
}

// Delays is told of every packet to a peer, after Sent. It returns true if it has
// taken the packet, to send it later or not at all: an acknowledgement, or a reset that
// nobody needs.
func (f *Flow) Delays(pkt *stack.PacketBuffer) bool { return f.mute(pkt) || f.r.acks.delays(pkt, f) }

// Begins sets the sequence number at which the peer's stream begins, for a
// connection whose handshake has acknowledged it.
func (f *Flow) Begins(next uint32) {
	f.ep.LockUser()
	defer f.ep.UnlockUser()
	if s := &f.ack; !s.known {
		s.known, s.acked = true, next
	}
}

// roundTrip is the shorter one of the sender's smoothed round-trip time and the
// receiver's estimate. A connection that only receives has just the latter. It is 0
// if neither is known.
func (f *Flow) roundTrip() time.Duration {
	var info tcpip.TCPInfoOption
	if err := f.ep.GetSockOpt(&info); err != nil {
		return 0
	}
	f.ep.LockUser()
	received := f.ep.RcvAutoParams.RTT
	f.ep.UnlockUser()
	return shortest(info.RTT, received)
}
