package underlay

import (
	"net/netip"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/conn"

	"nexd/mesh"
)

// endpoint is a peer at a source address. WireGuard keeps the endpoint of the last packet
// that it authenticated. Endpoints are cached, so equal ones are mostly, but not always,
// the same pointer.
type endpoint struct {
	key  mesh.Key       // zero only while opening is set
	addr netip.AddrPort // invalid through the relay, and before the first packet

	relay bool // the packet came through the relay

	origin origin    // the address of this host that its packets are sent to
	other  *endpoint // the same but for its origin; guarded by the peer's sources.mu

	owner atomic.Pointer[peer] // the peer with key, after the first lookup
	heard atomic.Int64         // moment of its last packet
	plain atomic.Int64         // moment until which the path gets no segmentation offload

	// opening is the head of an initiation that was beyond the budget when it arrived. Send
	// opens it when WireGuard answers, which shows that WireGuard has accepted it.
	opening *[initiationHead]byte
}

var _ conn.Endpoint = (*endpoint)(nil)

// ClearSrc implements conn.Endpoint. WireGuard has no say in the source address.
func (e *endpoint) ClearSrc() {}

// SrcToString implements conn.Endpoint.
func (e *endpoint) SrcToString() string { return "" }

// SrcIP implements conn.Endpoint.
func (e *endpoint) SrcIP() netip.Addr { return netip.Addr{} }

// DstToString implements conn.Endpoint: the address, or the key while none is known.
func (e *endpoint) DstToString() string {
	switch {
	case e.addr.IsValid():
		return e.addr.String()
	case e.relay:
		return "relay:" + e.key.String()
	}
	return e.key.String()
}

// DstToBytes implements conn.Endpoint: WireGuard binds its cookies to it.
func (e *endpoint) DstToBytes() []byte {
	if e.relay {
		return e.key[:]
	}
	b, err := e.addr.MarshalBinary()
	if err != nil {
		return nil
	}
	return b
}

// DstIP implements conn.Endpoint.
func (e *endpoint) DstIP() netip.Addr { return e.addr.Addr() }
