package inbound

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
	"nexd/netstack/gvisor"
	"nexd/netstack/icmp"
)

// echoMessage is a received ICMP message, after reassembly.
type echoMessage struct {
	src, dst netip.Addr
	body     []byte // a copy of header and payload
}

// readEcho copies the message out of a packet. It verifies the checksum, because the
// link verifies only packets that are not fragments.
func readEcho(pkt *stack.PacketBuffer) (m echoMessage, ok bool) {
	h := pkt.Network()
	m.src, m.dst = gvisor.Addr(h.SourceAddress()), gvisor.Addr(h.DestinationAddress())
	v := stack.PayloadSince(pkt.TransportHeader())
	m.body = v.ToSlice()
	v.Release()
	var sum uint16
	if m.dst.Is6() {
		sum = packet.PseudoHeader(append(m.src.AsSlice(), m.dst.AsSlice()...), packet.ProtoICMPv6, len(m.body))
	}
	return m, len(m.body) >= icmp.HeaderLen && packet.Sum(m.body, sum) == 0xffff
}

func (m echoMessage) isRequest() bool {
	return m.body[0] == icmp.EchoRequest4 && m.dst.Is4() || m.body[0] == icmp.EchoRequest6 && m.dst.Is6()
}

func (m echoMessage) isReply() bool {
	return m.body[0] == icmp.EchoReply4 && m.dst.Is4() || m.body[0] == icmp.EchoReply6 && m.dst.Is6()
}

// EchoRequest is a peer's ping of an address that is not the node's own. The first
// call of Reply, Unreachable or Drop is the verdict; later calls do nothing. Without
// a verdict the peer gets no answer.
type EchoRequest struct {
	j        *Judge
	src, dst netip.Addr
	head     []byte // the part of the message that ICMP errors quote
	decided  atomic.Bool

	ID      uint16 // the peer recognizes its request by ID and Seq
	Seq     uint16
	Payload []byte // a copy
}

func newEchoRequest(j *Judge, m echoMessage) *EchoRequest {
	return &EchoRequest{
		j: j, src: m.src, dst: m.dst,
		head:    m.body[:min(len(m.body), icmp.MaxQuote-packet.IPv4HeaderLen-packet.IPv6HeaderLen)],
		ID:      binary.BigEndian.Uint16(m.body[4:]),
		Seq:     binary.BigEndian.Uint16(m.body[6:]),
		Payload: bytes.Clone(m.body[icmp.HeaderLen:]),
	}
}

// Source is the peer that sent the request.
func (e *EchoRequest) Source() netip.Addr { return e.src }

// Destination is the address that was pinged.
func (e *EchoRequest) Destination() netip.Addr { return e.dst }

// Reply answers in the name of the destination. A request that came in fragments gets
// no reply, because the reply would exceed the MTU.
func (e *EchoRequest) Reply() {
	if e.decided.Swap(true) {
		return
	}
	kind := uint8(icmp.EchoReply4)
	if e.dst.Is6() {
		kind = icmp.EchoReply6
	}
	e.j.cfg.Send(icmp.Echo(e.dst, e.src, kind, e.ID, e.Seq, e.Payload))
}

// Unreachable answers with an ICMP error.
func (e *EchoRequest) Unreachable(r icmp.Reach) {
	if !e.decided.Swap(true) {
		e.j.unreachable(icmp.IP(e.src, e.dst, e.head), r.Error(e.dst.Is4()))
	}
}

// Drop leaves the peer without an answer.
func (e *EchoRequest) Drop() { e.decided.Store(true) }
