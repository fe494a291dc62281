package netstack

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// Inbound judges flows to addresses that are not this node's own: those of the
// prefixes it advertises. TCP is called on a goroutine per flow and may block;
// UDP and Echo are called where packets are received and must return quickly,
// the verdict may come later. A nil func refuses.
type Inbound struct {
	TCP  func(*TCPFlow)
	UDP  func(*UDPFlow)
	Echo func(*EchoRequest)
}

// Bounds of flows that wait for a verdict. They only keep a flood from eating
// the memory; limits per peer are the judge's.
const (
	maxPendingTCP = 1 << 16
	maxPendingUDP = 1 << 13
	pendingUDP    = 30 * time.Second // an undecided UDP flow is forgotten after this
)

// inbounds is the state of flows not yet judged.
type inbounds struct {
	handler atomic.Pointer[Inbound]

	mu  sync.Mutex // guards the maps
	tcp map[stack.TransportEndpointID]*TCPFlow
	udp map[stack.TransportEndpointID]*UDPFlow
}

// HandleInbound sets who judges flows from now on; the zero Inbound refuses all.
func (n *Net) HandleInbound(h Inbound) { n.inbound.handler.Store(&h) }

// handleTransport hooks into what the stack does with packets that belong to no
// socket.
func (n *Net) handleTransport() {
	n.inbound.handler.Store(new(Inbound))
	n.inbound.tcp = make(map[stack.TransportEndpointID]*TCPFlow)
	n.inbound.udp = make(map[stack.TransportEndpointID]*UDPFlow)
	// The forwarder's own limit must never be the one that limits.
	forwarder := tcp.NewForwarder(n.stack, n.cfg.BufferSize, 2*maxPendingTCP, n.judgeTCP)
	n.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		return n.unknownTCP(forwarder, id, pkt)
	})
	n.stack.SetTransportProtocolHandler(udp.ProtocolNumber, n.unknownUDP)
	n.stack.SetTransportProtocolHandler(icmp.ProtocolNumber4, n.unknownICMP)
	n.stack.SetTransportProtocolHandler(icmp.ProtocolNumber6, n.unknownICMP)
}

// isForeign says whether packets to a are for Inbound.
func (n *Net) isForeign(a netip.Addr) bool {
	return !n.link.own.Load().has(a) && a.IsGlobalUnicast()
}

// unknownTCP gets segments that belong to no connection. False lets the stack
// answer with a reset.
func (n *Net) unknownTCP(forwarder *tcp.Forwarder, id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	if !n.isForeign(fromAddress(id.LocalAddress)) {
		return false
	}
	in, h := &n.inbound, header.TCP(pkt.TransportHeader().Slice())
	switch flags := h.Flags(); {
	case flags.Contains(header.TCPFlagRst):
		in.mu.Lock()
		if f := in.tcp[id]; f != nil && f.gaveUp(h.SequenceNumber()) {
			f.giveUp()
		}
		in.mu.Unlock()
		return true
	case !flags.Contains(header.TCPFlagSyn) || flags.Contains(header.TCPFlagAck):
		return false
	case in.handler.Load().TCP == nil:
		return false
	}
	in.mu.Lock()
	switch {
	case in.tcp == nil || len(in.tcp) >= maxPendingTCP:
		in.mu.Unlock()
		return true
	case in.tcp[id] != nil: // a retransmission; the flow is being judged
		in.mu.Unlock()
		return true
	}
	in.tcp[id] = newTCPFlow(n, id, pkt)
	in.mu.Unlock()
	if !forwarder.HandlePacket(id, pkt) {
		n.inbound.forgetTCP(id)
		return false
	}
	return true
}

// judgeTCP is called on a goroutine that the forwarder starts for a flow, and gives
// the work to one whose stack is large already.
func (n *Net) judgeTCP(request *tcp.ForwarderRequest) {
	n.inbound.mu.Lock()
	f := n.inbound.tcp[request.ID()]
	n.inbound.mu.Unlock()
	if f == nil { // closed meanwhile
		request.Complete(false)
		return
	}
	f.request = request
	n.crew.Go(func() {
		n.inbound.handler.Load().judge(f)
		f.Drop() // if nothing else was said
	})
}

func (h *Inbound) judge(f *TCPFlow) {
	if h.TCP != nil {
		h.TCP(f)
		return
	}
	f.Refuse()
}

func (in *inbounds) forgetTCP(id stack.TransportEndpointID) {
	in.mu.Lock()
	delete(in.tcp, id)
	in.mu.Unlock()
}

func (in *inbounds) forgetUDP(f *UDPFlow) {
	in.mu.Lock()
	if in.udp[f.id] == f {
		delete(in.udp, f.id)
	}
	in.mu.Unlock()
}

// unknownUDP gets datagrams that belong to no socket. False lets the stack
// answer that the port is closed.
func (n *Net) unknownUDP(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	handler := n.inbound.handler.Load()
	if !n.isForeign(fromAddress(id.LocalAddress)) || handler.UDP == nil {
		return false
	}
	in := &n.inbound
	in.mu.Lock()
	if f := in.udp[id]; f != nil && !f.stale() {
		f.keep(pkt)
		in.mu.Unlock()
		return true
	}
	var old []*UDPFlow
	if len(in.udp) >= maxPendingUDP {
		old = in.takeStale()
	}
	if in.udp == nil || len(in.udp) >= maxPendingUDP {
		in.mu.Unlock()
		return true
	}
	f := newUDPFlow(n, id, pkt)
	in.udp[id] = f
	in.mu.Unlock()
	for _, f := range old {
		f.Drop()
	}
	handler.UDP(f)
	return true
}

// takeStale removes flows whose judge forgot them.
func (in *inbounds) takeStale() (old []*UDPFlow) {
	for id, f := range in.udp {
		if f.stale() {
			old = append(old, f)
			delete(in.udp, id)
		}
	}
	return old
}

// closePending ends all flows that are not judged yet; no new ones come.
func (in *inbounds) closePending() {
	in.mu.Lock()
	tcpFlows, udpFlows := in.tcp, in.udp
	in.tcp, in.udp = nil, nil
	in.mu.Unlock()
	for _, f := range tcpFlows {
		f.giveUp()
	}
	for _, f := range udpFlows {
		f.Drop()
	}
}

// unknownICMP gets echo requests and replies. True keeps the stack from
// answering a request itself.
func (n *Net) unknownICMP(_ stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	m, ok := readICMP(pkt)
	foreign := n.isForeign(m.dst)
	switch {
	case !ok:
	case m.isEchoReply():
		n.pings.reply(m)
	case m.isEchoRequest() && foreign:
		if h := n.inbound.handler.Load().Echo; h != nil {
			h(newEchoRequest(n, m))
		}
	}
	return foreign
}

// wholePacket is a copy of a received packet from its IP header on.
func wholePacket(pkt *stack.PacketBuffer) []byte {
	v := stack.PayloadSince(pkt.NetworkHeader())
	defer v.Release()
	return v.ToSlice()
}

func endpointAddrs(id stack.TransportEndpointID) (src, dst netip.AddrPort) {
	return netip.AddrPortFrom(fromAddress(id.RemoteAddress), id.RemotePort),
		netip.AddrPortFrom(fromAddress(id.LocalAddress), id.LocalPort)
}
