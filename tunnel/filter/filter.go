package filter

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/tun"

	"nexd/internal/lpm"
	"nexd/internal/packet"
)

// Filter is a tun.Device around another one. Its methods may be used from many
// goroutines at once.
type Filter struct {
	tun.Device // Read and everything else pass through

	logger  *slog.Logger
	allowed atomic.Pointer[lpm.Set]
	nested  atomic.Pointer[map[netip.AddrPort]bool] // nil: none
	passed  atomic.Uint64
	dropped atomic.Uint64
	scratch sync.Pool // of *[][]byte
}

// New wraps inner. Before the first Set it drops everything inbound. A nil
// logger discards.
func New(inner tun.Device, logger *slog.Logger) *Filter {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	f := &Filter{Device: inner, logger: logger}
	f.allowed.Store(new(lpm.Set))
	f.scratch.New = func() any { return new([][]byte) }
	return f
}

// Set replaces the destinations that inbound packets may have: this node's own addresses
// as single-address prefixes, and the prefixes it advertises. An invalid prefix allows
// nothing. The earlier set may still apply to packets that Write is handling.
func (f *Filter) Set(allowed []netip.Prefix) {
	f.allowed.Store(lpm.SetOf(allowed))
	f.logger.Debug("inbound destinations set", "prefixes", len(allowed))
}

// SetEndpoints replaces the UDP addresses of nodes, inside the prefixes of Set, to which WireGuard's
// own packets go. A packet to one of them that comes by the tunnel is a packet of another tunnel: a
// node behind a router of the mesh takes the way through it for a path. It is dropped, so that no such
// path answers.
func (f *Filter) SetEndpoints(endpoints []netip.AddrPort) {
	if len(endpoints) == 0 {
		f.nested.Store(nil)
		return
	}
	nested := make(map[netip.AddrPort]bool, len(endpoints))
	for _, e := range endpoints {
		nested[e] = true
	}
	f.nested.Store(&nested)
}

// Stats counts the inbound packets that passed and those that were dropped.
func (f *Filter) Stats() (passed, dropped uint64) {
	return f.passed.Load(), f.dropped.Load()
}

// Write passes the allowed packets to the inner device, in their order. A dropped packet
// counts as written, so that WireGuard does not try again. Write does not change bufs,
// because WireGuard goes on using it.
func (f *Filter) Write(bufs [][]byte, offset int) (int, error) {
	allowed := rules{f.allowed.Load(), f.nested.Load()}
	first := 0
	for first < len(bufs) && allowed.pass(bufs[first], offset) {
		first++
	}
	if first == len(bufs) {
		f.passed.Add(uint64(len(bufs)))
		if len(bufs) == 0 {
			return 0, nil
		}
		return f.Device.Write(bufs, offset)
	}
	return f.writeSome(allowed, bufs, first, offset)
}

// writeSome writes the packets of bufs that may pass; bufs[drop] is the first that may not.
func (f *Filter) writeSome(allowed rules, bufs [][]byte, drop, offset int) (int, error) {
	scratch := f.scratch.Get().(*[][]byte)
	kept := append((*scratch)[:0], bufs[:drop]...)
	for _, buf := range bufs[drop+1:] {
		if allowed.pass(buf, offset) {
			kept = append(kept, buf)
		}
	}
	f.passed.Add(uint64(len(kept)))
	f.dropped.Add(uint64(len(bufs) - len(kept)))
	n, err := len(bufs), error(nil)
	if len(kept) > 0 {
		if n, err = f.Device.Write(kept, offset); n == len(kept) {
			n = len(bufs)
		}
	}
	clear(kept) // so that the pool does not keep WireGuard's buffers alive
	*scratch = kept[:0]
	f.scratch.Put(scratch)
	return n, err
}

// rules are what a Filter was told.
type rules struct {
	allowed *lpm.Set
	nested  *map[netip.AddrPort]bool
}

// pass reports whether the packet at buf[offset:] has an allowed destination. A malformed
// packet has none.
func (r rules) pass(buf []byte, offset int) bool {
	if offset < 0 || len(buf) <= offset {
		return false
	}
	dst := packet.Destination(buf[offset:])
	if dst == nil {
		return false
	}
	if _, ok := r.allowed.LookupIP(dst); !ok {
		return false
	}
	return r.nested == nil || !r.endpoint(buf[offset:])
}

// endpoint reports whether a packet goes to the UDP address of a node.
func (r rules) endpoint(b []byte) bool {
	p, err := packet.ParseIP(b)
	if err != nil || p.Proto() != packet.ProtoUDP || p.FragmentOffset() != 0 || len(p.Payload()) < packet.UDPHeaderLen {
		return false
	}
	return (*r.nested)[netip.AddrPortFrom(p.Dst(), packet.UDP(p.Payload()).DstPort())]
}
