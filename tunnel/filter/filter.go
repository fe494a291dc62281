package filter

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/tun"
)

// Filter is a tun.Device around another one. Its methods may be used from many
// goroutines at once.
type Filter struct {
	tun.Device // Read and everything else pass through

	logger  *slog.Logger
	allowed atomic.Pointer[table]
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
	f.allowed.Store(newTable(nil))
	f.scratch.New = func() any { return new([][]byte) }
	return f
}

// Set replaces the destinations that inbound packets may go to: this node's own
// addresses as single-address prefixes, and the prefixes it advertises. Invalid
// prefixes allow nothing. Packets already on their way may still be judged by
// the earlier set.
func (f *Filter) Set(allowed []netip.Prefix) {
	f.allowed.Store(newTable(allowed))
	f.logger.Debug("inbound destinations set", "prefixes", len(allowed))
}

// Stats is how many inbound packets were handed on and how many were dropped.
func (f *Filter) Stats() (passed, dropped uint64) {
	return f.passed.Load(), f.dropped.Load()
}

// Write hands the packets that may pass to the inner device, in their order. A
// dropped packet counts as written: the sender is not to try again. bufs itself
// is left as it is, since WireGuard goes on using it.
func (f *Filter) Write(bufs [][]byte, offset int) (int, error) {
	allowed := f.allowed.Load()
	first := 0
	for first < len(bufs) && allowed.packet(bufs[first], offset) {
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

// writeSome writes bufs without what must not pass; bufs[drop] is the first such.
func (f *Filter) writeSome(allowed *table, bufs [][]byte, drop, offset int) (int, error) {
	scratch := f.scratch.Get().(*[][]byte)
	kept := append((*scratch)[:0], bufs[:drop]...)
	for _, buf := range bufs[drop+1:] {
		if allowed.packet(buf, offset) {
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
	clear(kept) // the pool must not keep WireGuard's buffers alive
	*scratch = kept[:0]
	f.scratch.Put(scratch)
	return n, err
}
