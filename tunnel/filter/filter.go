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
	tun.Device // everything else passes through

	logger  *slog.Logger
	allowed atomic.Pointer[lpm.Set]
	nested  atomic.Pointer[nested] // nil = none
	passed  atomic.Uint64
	dropped atomic.Uint64
	wrapped atomic.Uint64 // messages of WireGuard inside the mesh, dropped in either direction
	scratch sync.Pool     // of *[][]byte
}

// New wraps inner. Before the first Set it drops everything inbound. A nil
// logger discards.
func New(inner tun.Device, logger *slog.Logger) *Filter {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	f := &Filter{Device: inner, logger: logger}
	f.allowed.Store(new(lpm.Set))
	f.scratch.New = func() any { return new(make([][]byte, 0, 128)) }
	return f
}

// Set replaces the destinations that inbound packets may have: this node's own addresses
// as single-address prefixes, and the prefixes it advertises. An invalid prefix allows
// nothing. The earlier set may still apply to packets that Write is handling.
func (f *Filter) Set(allowed []netip.Prefix) {
	f.allowed.Store(lpm.SetOf(allowed))
	f.logger.Debug("inbound destinations set", "prefixes", len(allowed))
}

// Stats counts the inbound packets that passed and those that were dropped.
func (f *Filter) Stats() (passed, dropped uint64) {
	return f.passed.Load(), f.dropped.Load()
}

// Write passes the allowed packets to the inner device, in their order. A dropped packet
// counts as written, so that WireGuard does not try again. Write does not change bufs,
// because WireGuard goes on using it.
func (f *Filter) Write(bufs [][]byte, offset int) (int, error) {
	allowed, nested := f.allowed.Load(), f.nested.Load()
	first := 0
	for first < len(bufs) && f.passes(allowed, nested, bufs[first], offset) {
		first++
	}
	if first == len(bufs) {
		f.passed.Add(uint64(len(bufs)))
		if len(bufs) == 0 {
			return 0, nil
		}
		return f.Device.Write(bufs, offset)
	}
	return f.writeSome(allowed, nested, bufs, first, offset)
}

// writeSome writes the packets of bufs that may pass; bufs[drop] is the first that may not.
func (f *Filter) writeSome(allowed *lpm.Set, nested *nested, bufs [][]byte, drop, offset int) (int, error) {
	scratch := f.scratch.Get().(*[][]byte)
	kept := append((*scratch)[:0], bufs[:drop]...)
	for _, buf := range bufs[drop+1:] {
		if f.passes(allowed, nested, buf, offset) {
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

// passes reports whether the packet at buf[offset:] has an allowed destination and is not
// WireGuard inside WireGuard. A malformed packet has no destination.
func (f *Filter) passes(allowed *lpm.Set, nested *nested, buf []byte, offset int) bool {
	if offset < 0 || len(buf) <= offset {
		return false
	}
	dst := packet.Destination(buf[offset:])
	if dst == nil {
		return false
	}
	if _, ok := allowed.LookupIP(dst); !ok {
		return false
	}
	if nested != nil && nested.holds(buf[offset:]) {
		f.wrapped.Add(1)
		return false
	}
	return true
}
