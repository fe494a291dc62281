package netstack

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const nicID tcpip.NICID = 1

// Space that gVisor keeps free of GSOMaxSize for headers: the payload of a
// super-segment is at most GSOMaxSize minus this (tcp.sender.sendData).
const gsoHeadroom = header.TCPTotalHeaderMaximumSize + 1

// What a data segment of ours carries besides payload: IP header, TCP header,
// and 40 bytes that gVisor sets aside for options (timestamps and SACK).
const (
	optionSpace = 40
	overhead4   = header.IPv4MinimumSize + header.TCPMinimumSize + optionSpace
	overhead6   = header.IPv6MinimumSize + header.TCPMinimumSize + optionSpace
)

// maxPackets is how many packets a super-segment may become: sealed by WireGuard
// (32 bytes each) they must still fit in one UDP GSO send of 65,507 bytes.
func maxPackets(mtu int) int { return min(max(65507/(mtu+32), 1), 120) }

// link is the stack's LinkEndpoint and queueing discipline in one: it decides
// whether a packet goes to the egress queue or back into the stack because it is
// for an own address.
type link struct {
	mtu   uint32
	wire  wire
	out   *egress
	local *egress // packets to own addresses; one goroutine of Net delivers them
	hold  holder
	own   atomic.Pointer[addressSet]

	mu         sync.RWMutex
	dispatcher stack.NetworkDispatcher
}

var (
	_ stack.LinkEndpoint       = (*link)(nil)
	_ stack.GSOEndpoint        = (*link)(nil)
	_ stack.QueueingDiscipline = (*link)(nil)
)

// WritePacket is the way of every packet the stack sends. It may block with the
// connection's lock held: that is the back pressure.
func (l *link) WritePacket(pkt *stack.PacketBuffer) tcpip.Error {
	q := l.out
	if l.isLocal(pkt) {
		q = l.local
	} else {
		l.wire.leaves(pkt)
	}
	if f, ok := pkt.Owner.(*flow); ok {
		f.sent(pkt)
		if q == l.out && l.hold.takes(pkt, f) {
			return nil
		}
	}
	if !q.push(pkt) {
		return &tcpip.ErrClosedForSend{}
	}
	return nil
}

// WritePackets is WritePacket for a list.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for i, pkt := range pkts.AsSlice() {
		if err := l.WritePacket(pkt); err != nil {
			return i, err
		}
	}
	return pkts.Len(), nil
}

func (l *link) isLocal(pkt *stack.PacketBuffer) bool {
	h := pkt.NetworkHeader().Slice()
	switch {
	case len(h) >= header.IPv6MinimumSize && h[0]>>4 == 6:
		return l.own.Load().hasRaw(h[24:40])
	case len(h) >= header.IPv4MinimumSize && h[0]>>4 == 4:
		return l.own.Load().hasRaw(h[16:20])
	}
	return false
}

// GSOMaxSize makes super-segments of whole packets.
func (l *link) GSOMaxSize() uint32 { return uint32(l.wire.superPayload() + gsoHeadroom) }

// SupportedGSO says that Device.Read does what a network card would.
func (l *link) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

// Attach remembers where received packets go; nil when the stack is torn down.
func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dispatcher = d
}

// IsAttached says whether the stack is there.
func (l *link) IsAttached() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.dispatcher != nil
}

// MTU is the largest inner packet; TCP goes by its route's, see wire.
func (l *link) MTU() uint32 { return l.mtu }

// The rest of LinkEndpoint has nothing to say: no link layer, no goroutines.

func (l *link) SetMTU(uint32)                                {}
func (l *link) MaxHeaderLength() uint16                      { return 0 }
func (l *link) LinkAddress() tcpip.LinkAddress               { return "" }
func (l *link) SetLinkAddress(tcpip.LinkAddress)             {}
func (l *link) Capabilities() stack.LinkEndpointCapabilities { return 0 }
func (l *link) Wait()                                        {}
func (l *link) ARPHardwareType() header.ARPHardwareType      { return header.ARPHardwareNone }
func (l *link) AddHeader(*stack.PacketBuffer)                {}
func (l *link) ParseHeader(*stack.PacketBuffer) bool         { return true }
func (l *link) SetOnCloseAction(func())                      {}

// Close is called by the stack when it goes down: no packet passes after it.
func (l *link) Close() {
	l.hold.close()
	l.out.close()
	l.local.close()
}
