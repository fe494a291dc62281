package netstack

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"nexd/internal/packet"
)

const (
	echoReply4   = 0
	echoRequest4 = 8
	echoRequest6 = 128
	echoReply6   = 129
)

func isEchoRequest(p packet.IP, icmp []byte) bool {
	return icmp[0] == echoRequest4 && p.Is4() || icmp[0] == echoRequest6 && !p.Is4()
}

func isEchoReply(p packet.IP, icmp []byte) bool {
	return icmp[0] == echoReply4 && p.Is4() || icmp[0] == echoReply6 && !p.Is4()
}

// EchoRequest is a peer's ping of an address that is not this node's own.
// Exactly one of Reply, Unreachable and Drop decides it; later ones do nothing,
// and without one nothing is answered.
type EchoRequest struct {
	n        *Net
	src, dst netip.Addr
	first    []byte // the packet's head
	decided  atomic.Bool

	ID      uint16 // with Seq, how the peer knows its request again
	Seq     uint16
	Payload []byte // the request's own copy
}

func newEchoRequest(n *Net, p packet.IP, icmp []byte) *EchoRequest {
	return &EchoRequest{
		n: n, src: p.Src(), dst: p.Dst(),
		first:   bytes.Clone(p.Bytes()[:min(p.Len(), maxQuote)]),
		ID:      binary.BigEndian.Uint16(icmp[4:]),
		Seq:     binary.BigEndian.Uint16(icmp[6:]),
		Payload: bytes.Clone(icmp[icmpHeaderLen:]),
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
		e.n.sendUnreachable(e.first, r.icmp(e.dst.Is4()))
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
