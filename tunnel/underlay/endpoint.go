package underlay

import (
	"net/netip"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/conn"

	"nexd/mesh"
)

// endpoint is a peer at a source address. WireGuard keeps the one of the last
// packet it has authenticated. Endpoints are cached, so that equal ones are
// mostly, but not always, the same pointer.
type endpoint struct {
	key  mesh.Key       // zero only while opening is set
	addr netip.AddrPort // invalid until the peer has been heard, and through the relay

	relay bool // the peer was heard through the relay

	owner atomic.Pointer[peer] // who has key, once looked up
	heard atomic.Int64         // moment of the last packet attributed to it
	plain atomic.Int64         // moment until which the path takes no GSO

	// opening is the head of an initiation whose static field was not opened on
	// receipt. It is opened when WireGuard, having accepted it, sends the answer.
	opening *[initiationHead]byte
}

var _ conn.Endpoint = (*endpoint)(nil)

// ClearSrc implements conn.Endpoint; the source address is the kernel's choice.
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

// DstToBytes implements conn.Endpoint: what WireGuard binds its cookies to.
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
