package netstack

import (
	"net/netip"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"nexd/internal/packet"
)

// flow is what the link knows of one TCP connection. It rides on every packet
// the connection sends as the packet's owner, so that nothing has to be looked
// up. gVisor calls sent with the endpoint's lock held, one packet at a time.
type flow struct {
	n     *Net
	peer  netip.Addr
	ep    *tcp.Endpoint
	stats *tcp.Stats // of the endpoint

	stall   stall
	holding holding

	mss   atomic.Int32 // payload of a packet; what writers align to
	limit atomic.Int32 // bytes of a whole packet that the path is believed to carry; 0 = no limit

	// Under the endpoint's lock:
	probe    blackHole
	begun    bool
	high     uint32 // sequence number after the last byte sent
	timeouts uint64 // of the retransmission timer that are known
}

// newFlow begins with the MSS of the own MTU and what is known of the path.
func (n *Net) newFlow(ep *tcp.Endpoint, peer netip.Addr) *flow {
	f := &flow{n: n, peer: peer, ep: ep, stats: ep.Stats().(*tcp.Stats)}
	f.mss.Store(int32(max(n.cfg.MTU-f.overhead(), 1)))
	if limit, until := n.paths.lookup(peer, time.Now()); limit != 0 {
		f.probe.resume(limit, until)
		f.limit.Store(int32(limit))
	}
	return f
}

// KUID and KGID make flow a tcpip.PacketOwner; nobody asks for them.
func (f *flow) KUID() uint32 { return 0 }

// KGID is the other half of tcpip.PacketOwner.
func (f *flow) KGID() uint32 { return 0 }

func (f *flow) overhead() int {
	if f.peer.Is6() {
		return overhead6
	}
	return overhead4
}

// packetLimit is the largest packet to send, 0 when only the MTU limits.
func (f *flow) packetLimit() int { return int(f.limit.Load()) }

// payload is how much payload a full packet of the connection carries now.
func (f *flow) payload() int {
	mss := int(f.mss.Load())
	if limit := f.packetLimit(); limit != 0 {
		mss = min(mss, max(limit-f.overhead(), 1))
	}
	return mss
}

// sent sees every packet of the connection before it is queued.
func (f *flow) sent(pkt *stack.PacketBuffer) {
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
		f.stall.sentFresh()
	} else if n := f.stats.SendErrors.Timeouts.Value(); n != f.timeouts {
		f.timeouts = n
		f.stall.timedOut()
		f.n.recoveries.enter(pkt, f.high)
	}
	size := len(pkt.NetworkHeader().Slice()) + len(header) + min(data, max(int(mss), 1))
	switch f.probe.sent(seq, size, time.Now) {
	case changed:
		f.limit.Store(int32(f.probe.limit()))
	case proved:
		f.probe.keep(f.n.paths.learn(f.peer, f.probe.limit(), f.probe.outage, time.Now()))
	}
}
