package link

import (
	"sync"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
	"nexd/netstack/gvisor"
)

// Config says how a Link is made. All fields must be set.
type Config struct {
	MTU        int // the largest inner packet
	QueueBytes int // bytes that may wait for Device.Read before writers block
	Batch      int // packets that WireGuard moves per call, at most MaxBatch

	// Deliver takes over a packet for the stack. verified says that its transport
	// checksum was checked and is correct.
	Deliver func(pkt *stack.PacketBuffer, verified bool)

	// TCP is told of each TCP segment from a peer, and ICMP of each ICMP or ICMPv6
	// message, before it is delivered. Their checksums are verified, unless the
	// packet is a fragment. TCP may change the segment's options. It returns true to
	// keep the segment from the stack for now.
	TCP  func(packet.IP, packet.TCP) (taken bool)
	ICMP func(packet.IP)
}

// Sender is the owner that a TCP connection puts on its packets
// (stack.PacketBuffer.Owner). gVisor calls WritePacket with the connection's lock
// held, so these methods are called one at a time for each connection.
type Sender interface {
	tcpip.PacketOwner
	// Sent is told of every packet before it is queued.
	Sent(pkt *stack.PacketBuffer)
	// Delays returns true if the packet is to be sent later or not at all. It takes the
	// reference that it needs.
	Delays(pkt *stack.PacketBuffer) bool
	// PacketLimit is the size of the largest IP packet to send, 0 for the MTU.
	PacketLimit() int
}

// Stats are counters since New, and the state of the queue.
type Stats struct {
	RxPackets, RxBytes uint64 // received from peers
	TxPackets, TxBytes uint64 // sent to peers
	RxMalformed        uint64 // dropped: not an IP packet
	RxChecksum         uint64 // dropped: wrong checksum
	TxOversize         uint64 // dropped: larger than the reader's buffers
	QueuedBytes        int    // bytes waiting for Device.Read
}

type counters struct {
	rxPackets, rxBytes, rxMalformed, rxChecksum atomic.Uint64
	txPackets, txBytes, txOversize              atomic.Uint64
}

// Link is the stack's LinkEndpoint and queueing discipline in one: it decides
// whether a packet goes to the egress queue or, because it is for an own address,
// back into the stack.
type Link struct {
	cfg      Config
	segments segmentSize
	out      *queue
	local    *queue // packets to own addresses, for DeliverLocal
	device   *device
	stats    counters
	closed   atomic.Bool
	own      atomic.Pointer[AddressSet]

	mu         sync.RWMutex
	dispatcher stack.NetworkDispatcher
}

var (
	_ stack.LinkEndpoint       = (*Link)(nil)
	_ stack.GSOEndpoint        = (*Link)(nil)
	_ stack.QueueingDiscipline = (*Link)(nil)
)

// New makes a link without own addresses.
func New(cfg Config) *Link {
	l := &Link{
		cfg:      cfg,
		segments: newSegmentSize(cfg.MTU),
		out:      newQueue(cfg.QueueBytes, false),
		local:    newQueue(localBytes, true),
	}
	l.own.Store(new(AddressSet))
	l.device = newDevice(l)
	return l
}

// Device returns WireGuard's side of the link. There is one.
func (l *Link) Device() tun.Device { return l.device }

// Own returns the node's own addresses.
func (l *Link) Own() *AddressSet { return l.own.Load() }

// SetOwn replaces the node's own addresses.
func (l *Link) SetOwn(s *AddressSet) { l.own.Store(s) }

// Stats returns a copy of the counters.
func (l *Link) Stats() Stats {
	s := Stats{
		RxPackets: l.stats.rxPackets.Load(), RxBytes: l.stats.rxBytes.Load(),
		TxPackets: l.stats.txPackets.Load(), TxBytes: l.stats.txBytes.Load(),
		RxMalformed: l.stats.rxMalformed.Load(), RxChecksum: l.stats.rxChecksum.Load(),
		TxOversize: l.stats.txOversize.Load(),
	}
	_, s.QueuedBytes = l.out.queued()
	return s
}

// WritePacket receives every packet that the stack sends. It may block while the
// connection's lock is held: that is the back pressure.
func (l *Link) WritePacket(pkt *stack.PacketBuffer) tcpip.Error {
	q := l.out
	if l.isLocal(pkt) {
		q = l.local
	} else {
		l.segments.lower(pkt)
	}
	if s, ok := pkt.Owner.(Sender); ok {
		s.Sent(pkt)
		if q == l.out && s.Delays(pkt) {
			return nil
		}
	}
	if !q.push(pkt) {
		return &tcpip.ErrClosedForSend{}
	}
	return nil
}

// WritePackets calls WritePacket for each packet of a list.
func (l *Link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for i, pkt := range pkts.AsSlice() {
		if err := l.WritePacket(pkt); err != nil {
			return i, err
		}
	}
	return pkts.Len(), nil
}

func (l *Link) isLocal(pkt *stack.PacketBuffer) bool {
	h := pkt.NetworkHeader().Slice()
	switch {
	case len(h) >= header.IPv6MinimumSize && h[0]>>4 == 6:
		return l.Own().hasRaw(h[24:40])
	case len(h) >= header.IPv4MinimumSize && h[0]>>4 == 4:
		return l.Own().hasRaw(h[16:20])
	}
	return false
}

// Send queues a packet to a peer with a reference of the queue's own. It returns
// false if the link is closed.
func (l *Link) Send(pkt *stack.PacketBuffer) bool { return l.out.push(pkt) }

// SendRaw sends a whole IP packet that the stack did not make, to a peer or to an
// own address. It returns false if the packet is malformed or larger than the MTU,
// or the link is closed.
func (l *Link) SendRaw(b []byte) bool {
	p, err := packet.ParseIP(b)
	if err != nil || p.Len() > l.cfg.MTU {
		return false
	}
	pkt := gvisor.CopyPacket(p)
	defer pkt.DecRef()
	if l.Own().Has(p.Dst()) {
		return l.local.push(pkt)
	}
	return l.out.push(pkt)
}

// DeliverLocal delivers packets to own addresses until Shutdown. It needs a
// goroutine of its own because senders hold locks that receivers need.
func (l *Link) DeliverLocal() {
	for {
		pkt := l.local.pop(true)
		if pkt == nil {
			return
		}
		in := pkt.CloneToInbound()
		in.NetworkProtocolNumber = pkt.NetworkProtocolNumber
		pkt.DecRef()
		l.cfg.Deliver(in, true)
	}
}

// Shutdown drops what is queued and makes every call on the link and its device
// return; later writes to either fail.
func (l *Link) Shutdown() {
	l.closed.Store(true)
	l.device.Close()
	l.local.close()
}

// Release drops the packet that Device.Read has returned only a part of. It must be
// called after Shutdown.
func (l *Link) Release() { l.device.release() }

// GSOMaxSize makes super-segments of whole packets.
func (l *Link) GSOMaxSize() uint32 { return uint32(l.segments.superPayload() + gsoHeadroom) }

// SupportedGSO says that segmentation is offloaded, to Device.Read.
func (l *Link) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

// Attach stores the receiver of inbound packets; it is nil when the stack is torn
// down.
func (l *Link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dispatcher = d
}

// IsAttached reports whether the stack is attached.
func (l *Link) IsAttached() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.dispatcher != nil
}

// MTU is the largest inner packet. TCP goes by the MTU of its route instead; see
// RouteMTU.
func (l *Link) MTU() uint32 { return uint32(l.cfg.MTU) }

// The other methods of LinkEndpoint do nothing: there is no link layer and no
// goroutine.

func (l *Link) SetMTU(uint32)                                {}
func (l *Link) MaxHeaderLength() uint16                      { return 0 }
func (l *Link) LinkAddress() tcpip.LinkAddress               { return "" }
func (l *Link) SetLinkAddress(tcpip.LinkAddress)             {}
func (l *Link) Capabilities() stack.LinkEndpointCapabilities { return 0 }
func (l *Link) Wait()                                        {}
func (l *Link) ARPHardwareType() header.ARPHardwareType      { return header.ARPHardwareNone }
func (l *Link) AddHeader(*stack.PacketBuffer)                {}
func (l *Link) ParseHeader(*stack.PacketBuffer) bool         { return true }
func (l *Link) SetOnCloseAction(func())                      {}

// Close is called by the stack when it is torn down; no packet passes after it.
func (l *Link) Close() {
	l.out.close()
	l.local.close()
}
