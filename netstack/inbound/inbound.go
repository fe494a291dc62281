package inbound

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	gicmp "gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"nexd/internal/crew"
	"nexd/netstack/gvisor"
	"nexd/netstack/icmp"
)

// Handler decides on flows. TCP is called on a goroutine per flow and may block. UDP
// and Echo are called by the goroutine that receives packets and must return at once;
// they may give the verdict later. Flows for which the func is nil are refused.
type Handler struct {
	TCP  func(*TCPFlow)
	UDP  func(*UDPFlow)
	Echo func(*EchoRequest)

	// Full reports whether no further flow can be taken. Then SYNs and datagrams are refused before
	// anything is made for them. Nil: never.
	Full func() bool
}

func (h *Handler) full() bool { return h.Full != nil && h.Full() }

// Limits on flows without a verdict. They only keep a flood from using all memory;
// limits per peer are the handler's task.
const (
	maxPendingTCP = 1 << 16
	maxPendingUDP = 1 << 13
	pendingUDP    = 30 * time.Second // a UDP flow without a verdict is dropped after this
)

// Config is what a Judge needs of the stack that it belongs to. All fields must be
// set.
type Config struct {
	Stack         *stack.Stack
	ReceiveWindow int                   // of accepted TCP connections, in bytes
	Own           func(netip.Addr) bool // whether an address is the node's own
	Closed        func() bool           // whether the stack is closed
	Send          func(packet []byte) bool
	EchoReply     func(from netip.Addr, id, seq uint16) // told of each echo reply

	// TCPConn makes a connection of an endpoint whose handshake is over. The peer's
	// stream begins at sequence number begin.
	TCPConn func(ep tcpip.Endpoint, queue *waiter.Queue, begin uint32) net.Conn

	// UDPConn makes a connection of a socket with the given ends. unreachable sends
	// the peer an ICMP error.
	UDPConn func(ep tcpip.Endpoint, queue *waiter.Queue, local, remote netip.AddrPort, unreachable func(icmp.Error)) (net.Conn, error)
}

// Judge keeps the flows that wait for a verdict.
type Judge struct {
	cfg      Config
	handler  atomic.Pointer[Handler]
	crew     crew.Crew // runs Handler.TCP on stacks that have grown already
	accepted atomic.Uint64

	mu  sync.Mutex // guards the maps and the UDP flows' queues
	tcp map[stack.TransportEndpointID]*TCPFlow
	udp map[stack.TransportEndpointID]*UDPFlow
}

// New makes a Judge and registers it with the stack for packets that belong to no
// socket. It refuses all flows until Handle is called.
func New(cfg Config) *Judge {
	j := &Judge{
		cfg: cfg,
		tcp: make(map[stack.TransportEndpointID]*TCPFlow),
		udp: make(map[stack.TransportEndpointID]*UDPFlow),
	}
	j.handler.Store(new(Handler))
	// The forwarder's own limit must never be reached before ours.
	forwarder := tcp.NewForwarder(cfg.Stack, cfg.ReceiveWindow, 2*maxPendingTCP, j.judgeTCP)
	cfg.Stack.SetTransportProtocolHandler(tcp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		return j.unknownTCP(forwarder, id, pkt)
	})
	cfg.Stack.SetTransportProtocolHandler(udp.ProtocolNumber, j.unknownUDP)
	cfg.Stack.SetTransportProtocolHandler(gicmp.ProtocolNumber4, j.unknownICMP)
	cfg.Stack.SetTransportProtocolHandler(gicmp.ProtocolNumber6, j.unknownICMP)
	return j
}

// Handle sets the handler of later flows.
func (j *Judge) Handle(h Handler) { j.handler.Store(&h) }

// Accepted is the number of TCP connections accepted so far.
func (j *Judge) Accepted() uint64 { return j.accepted.Load() }

// Close drops all flows without a verdict and waits until Handler.TCP has returned
// for each. No new flows are made after it.
func (j *Judge) Close() {
	j.mu.Lock()
	tcpFlows, udpFlows := j.tcp, j.udp
	j.tcp, j.udp = nil, nil
	j.mu.Unlock()
	for _, f := range tcpFlows {
		f.giveUp()
	}
	for _, f := range udpFlows {
		f.Drop()
	}
	j.crew.Close()
}

// isForeign reports whether flows to a are for the handler.
func (j *Judge) isForeign(a netip.Addr) bool { return !j.cfg.Own(a) && a.IsGlobalUnicast() }

// unknownTCP gets the segments that belong to no connection. If it returns false the
// stack answers with a reset.
func (j *Judge) unknownTCP(forwarder *tcp.Forwarder, id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	if !j.isForeign(gvisor.Addr(id.LocalAddress)) {
		return false
	}
	h := header.TCP(pkt.TransportHeader().Slice())
	switch flags := h.Flags(); {
	case flags.Contains(header.TCPFlagRst):
		j.mu.Lock()
		if f := j.tcp[id]; f != nil && f.gaveUp(h.SequenceNumber()) {
			f.giveUp()
		}
		j.mu.Unlock()
		return true
	case !flags.Contains(header.TCPFlagSyn) || flags.Contains(header.TCPFlagAck):
		return false
	case j.handler.Load().TCP == nil || !j.waits(id) && j.handler.Load().full():
		return false
	}
	j.mu.Lock()
	switch {
	case j.tcp == nil || len(j.tcp) >= maxPendingTCP:
		j.mu.Unlock()
		return true
	case j.tcp[id] != nil: // a retransmitted SYN of a flow that waits for its verdict
		j.mu.Unlock()
		return true
	}
	j.tcp[id] = newTCPFlow(j, id, pkt)
	j.mu.Unlock()
	if !forwarder.HandlePacket(id, pkt) {
		j.forgetTCP(id)
		return false
	}
	return true
}

// judgeTCP is called on a goroutine that the forwarder starts for each flow. It
// passes the work on to the crew.
func (j *Judge) judgeTCP(request *tcp.ForwarderRequest) {
	j.mu.Lock()
	f := j.tcp[request.ID()]
	j.mu.Unlock()
	if f == nil { // closed meanwhile
		request.Complete(false)
		return
	}
	f.request = request
	j.crew.Go(func() {
		j.handler.Load().judge(f)
		f.Drop() // without a verdict
	})
}

// waits reports whether a TCP flow waits for its verdict.
func (j *Judge) waits(id stack.TransportEndpointID) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.tcp[id] != nil
}

func (h *Handler) judge(f *TCPFlow) {
	if h.TCP != nil {
		h.TCP(f)
		return
	}
	f.Refuse()
}

func (j *Judge) forgetTCP(id stack.TransportEndpointID) {
	j.mu.Lock()
	delete(j.tcp, id)
	j.mu.Unlock()
}

func (j *Judge) forgetUDP(f *UDPFlow) {
	j.mu.Lock()
	if j.udp[f.id] == f {
		delete(j.udp, f.id)
	}
	j.mu.Unlock()
}

// unknownUDP gets the datagrams that belong to no socket. If it returns false the
// stack answers "port unreachable".
func (j *Judge) unknownUDP(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	handler := j.handler.Load()
	if !j.isForeign(gvisor.Addr(id.LocalAddress)) || handler.UDP == nil {
		return false
	}
	j.mu.Lock()
	if f := j.udp[id]; f != nil && !f.stale() {
		f.enqueue(pkt)
		j.mu.Unlock()
		return true
	}
	if handler.full() {
		j.mu.Unlock()
		return false
	}
	var old []*UDPFlow
	if len(j.udp) >= maxPendingUDP {
		old = j.takeStale()
	}
	if j.udp == nil || len(j.udp) >= maxPendingUDP {
		j.mu.Unlock()
		return true
	}
	f := newUDPFlow(j, id, pkt)
	j.udp[id] = f
	j.mu.Unlock()
	for _, f := range old {
		f.Drop()
	}
	handler.UDP(f)
	return true
}

// takeStale removes and returns the flows that waited too long for a verdict; the
// caller holds mu.
func (j *Judge) takeStale() (old []*UDPFlow) {
	for id, f := range j.udp {
		if f.stale() {
			old = append(old, f)
			delete(j.udp, id)
		}
	}
	return old
}

// unknownICMP gets echo requests and replies. If it returns true the stack does not
// answer a request itself.
func (j *Judge) unknownICMP(_ stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	m, ok := readEcho(pkt)
	foreign := j.isForeign(m.dst)
	switch {
	case !ok:
	case m.isReply():
		j.cfg.EchoReply(m.src, binary.BigEndian.Uint16(m.body[4:]), binary.BigEndian.Uint16(m.body[6:]))
	case m.isRequest() && foreign:
		if h := j.handler.Load().Echo; h != nil {
			h(newEchoRequest(j, m))
		}
	}
	return foreign
}

// unreachable answers a packet with an ICMP error.
func (j *Judge) unreachable(quoted []byte, e icmp.Error) {
	if b, ok := icmp.Unreachable(quoted, e); ok {
		j.cfg.Send(b)
	}
}

// quote is the part of a received packet that an ICMP error about it carries.
func quote(pkt *stack.PacketBuffer) []byte {
	b := gvisor.Whole(pkt)
	return b[:min(len(b), icmp.MaxQuote)]
}
