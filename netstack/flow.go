package netstack

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
)

// flow is what the link knows of one TCP connection. It rides on every packet
// the connection sends as the packet's owner, so that nothing has to be looked
// up. gVisor calls sent with the endpoint's lock held, one packet at a time.
type flow struct {
	peer  netip.Addr
	paths *pathTable

	mss   atomic.Int32 // payload of a packet; what writers align to
	limit atomic.Int32 // bytes of a whole packet that the path is believed to carry; 0 = no limit

	probe blackHole // under the endpoint's lock
}

// newFlow begins with the MSS of the own MTU and what is known of the path.
func newFlow(peer netip.Addr, mtu int, paths *pathTable) *flow {
	f := &flow{peer: peer, paths: paths}
	overhead := overhead4
	if peer.Is6() {
		overhead = overhead6
	}
	f.mss.Store(int32(max(mtu-overhead, 1)))
	if limit, until := paths.lookup(peer, time.Now()); limit != 0 {
		f.probe.resume(limit, until)
		f.limit.Store(int32(limit))
	}
	return f
}

// KUID and KGID make flow a tcpip.PacketOwner; nobody asks for them.
func (f *flow) KUID() uint32 { return 0 }

// KGID is the other half of tcpip.PacketOwner.
func (f *flow) KGID() uint32 { return 0 }

// packetLimit is the largest packet to send, 0 when only the MTU limits.
func (f *flow) packetLimit() int { return int(f.limit.Load()) }

// payload is how much payload a full packet of the connection carries now.
func (f *flow) payload() int {
	mss := int(f.mss.Load())
	if limit := f.packetLimit(); limit != 0 {
		overhead := overhead4
		if f.peer.Is6() {
			overhead = overhead6
		}
		mss = min(mss, max(limit-overhead, 1))
	}
	return mss
}

// sent sees every packet of the connection before it is queued.
func (f *flow) sent(pkt *stack.PacketBuffer) {
	data := pkt.Data().Size()
	if data == 0 {
		return
	}
	mss := int32(pkt.GSOOptions.MSS)
	if mss != 0 && mss != f.mss.Load() {
		f.mss.Store(mss)
	}
	tcp := pkt.TransportHeader().Slice()
	if len(tcp) < packet.TCPHeaderLen {
		return
	}
	size := len(pkt.NetworkHeader().Slice()) + len(tcp) + min(data, max(int(mss), 1))
	limit, changed := f.probe.sent(binary.BigEndian.Uint32(tcp[4:]), size, time.Now)
	if !changed {
		return
	}
	f.limit.Store(int32(limit))
	if f.probe.proved {
		f.paths.learn(f.peer, limit, f.probe.until)
	}
}
