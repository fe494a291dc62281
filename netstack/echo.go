package netstack

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
)

const (
	echoReply4   = 0
	echoRequest4 = 8
	echoRequest6 = 128
	echoReply6   = 129
)

// icmpMessage is a received ICMP message, put together if it came in fragments.
type icmpMessage struct {
	src, dst netip.Addr
	body     []byte // header and payload, a copy
}

// readICMP copies the message out of a packet. It looks at the checksum, since
// only of packets that came whole it was verified before.
func readICMP(pkt *stack.PacketBuffer) (m icmpMessage, ok bool) {
	h := pkt.Network()
	m.src, m.dst = fromAddress(h.SourceAddress()), fromAddress(h.DestinationAddress())
	v := stack.PayloadSince(pkt.TransportHeader())
	m.body = v.ToSlice()
	v.Release()
	var sum uint16
	if m.dst.Is6() {
		sum = packet.PseudoHeader(append(m.src.AsSlice(), m.dst.AsSlice()...), packet.ProtoICMPv6, len(m.body))
	}
	return m, len(m.body) >= icmpHeaderLen && packet.Sum(m.body, sum) == 0xffff
}

func (m icmpMessage) isEchoRequest() bool {
	return m.body[0] == echoRequest4 && m.dst.Is4() || m.body[0] == echoRequest6 && m.dst.Is6()
}

func (m icmpMessage) isEchoReply() bool {
	return m.body[0] == echoReply4 && m.dst.Is4() || m.body[0] == echoReply6 && m.dst.Is6()
}

// EchoRequest is a peer's ping of an address that is not this node's own.
// Exactly one of Reply, Unreachable and Drop decides it; later ones do nothing,
// and without one nothing is answered.
type EchoRequest struct {
	n        *Net
	src, dst netip.Addr
	head     []byte // of the message, as far as an error quotes it
	decided  atomic.Bool

	ID      uint16 // with Seq, how the peer knows its request again
	Seq     uint16
	Payload []byte // the request's own copy
}

func newEchoRequest(n *Net, m icmpMessage) *EchoRequest {
	return &EchoRequest{
		n: n, src: m.src, dst: m.dst,
		head:    m.body[:min(len(m.body), maxQuote-packet.IPv4HeaderLen-packet.IPv6HeaderLen)],
		ID:      binary.BigEndian.Uint16(m.body[4:]),
		Seq:     binary.BigEndian.Uint16(m.body[6:]),
		Payload: bytes.Clone(m.body[icmpHeaderLen:]),
	}
}

// Source is who pings.
func (e *EchoRequest) Source() netip.Addr { return e.src }

// Destination is who is pinged.
func (e *EchoRequest) Destination() netip.Addr { return e.dst }

// Reply answers in the name of the destination. A request that came in fragments
// is too large for the reply to be sent, and stays without one.
func (e *EchoRequest) Reply() {
	if e.decided.Swap(true) {
		return
	}
	kind := uint8(echoReply4)
	if e.dst.Is6() {
		kind = echoReply6
	}
	e.n.sendICMP(e.dst, e.src, echoBody(kind, e.ID, e.Seq, e.Payload))
}

// Unreachable answers with an ICMP error.
func (e *EchoRequest) Unreachable(r Reach) {
	if !e.decided.Swap(true) {
		e.n.sendUnreachable(ipPacket(e.src, e.dst, e.head), r.icmp(e.dst.Is4()))
	}
}

// Drop leaves the peer without an answer.
func (e *EchoRequest) Drop() { e.decided.Store(true) }

func echoBody(kind uint8, id, seq uint16, payload []byte) []byte {
	b := make([]byte, icmpHeaderLen, icmpHeaderLen+len(payload))
	b[0] = kind
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], seq)
	return append(b, payload...)
}
