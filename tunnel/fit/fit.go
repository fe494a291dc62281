package fit

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"nexd/internal/bucket"
	"nexd/internal/lpm"
	"nexd/internal/packet"
)

// Size is the largest IP packet that passes to the addresses of a prefix; 0 = no limit is known.
type Size struct {
	Prefix  netip.Prefix
	Largest int
}

// Sizes are the sizes of all paths. The zero value has none. Its methods may be called at any time.
type Sizes struct {
	table atomic.Pointer[lpm.Table[int]] // nil = no path is narrow
}

// Set replaces the sizes. Of several prefixes that contain an address, the longest counts.
func (s *Sizes) Set(sizes []Size) {
	entries, narrow := make([]lpm.Entry[int], len(sizes)), false
	for i, size := range sizes {
		entries[i] = lpm.Entry[int]{Prefix: size.Prefix, Value: size.Largest}
		narrow = narrow || size.Largest > 0
	}
	if !narrow {
		s.table.Store(nil)
		return
	}
	s.table.Store(lpm.New(entries))
}

// Fits is the size of the largest packet that passes to an address; 0 = no limit is known.
func (s *Sizes) Fits(to netip.Addr) int {
	table := s.table.Load()
	if table == nil {
		return 0
	}
	size, _ := table.Lookup(to)
	return size
}

// Config says how a Device treats packets. The zero value is right for an interface of the kernel.
type Config struct {
	Source bool             // every packet comes from a stack in this process
	Now    func() time.Time // nil = time.Now
}

// Stats counts what a Device has done since New.
type Stats struct {
	Clamped    uint64 // SYNs with a lowered MSS
	Fragmented uint64 // packets sent in fragments
	Dropped    uint64 // packets that were too large
	Told       uint64 // ICMP errors for dropped packets
}

// Device is a tun.Device around another one. Read is for one goroutine at a time; everything else may
// be called at any time.
type Device struct {
	tun.Device
	source bool
	now    func() time.Time
	paths  *Sizes
	stats  struct{ clamped, fragmented, dropped, told atomic.Uint64 }

	// For Read only:
	waiting waiting
	told    told
	id4     uint16
	id6     uint32
	tell    []byte
}

// New wraps inner and makes its packets fit paths.
func New(inner tun.Device, paths *Sizes, cfg Config) *Device {
	d := &Device{Device: inner, paths: paths, source: cfg.Source, now: cfg.Now, id4: uint16(rand.Uint32()), id6: rand.Uint32()}
	if d.now == nil {
		d.now = time.Now
	}
	return d
}

// Stats returns a copy of the counters.
func (d *Device) Stats() Stats {
	return Stats{
		Clamped: d.stats.clamped.Load(), Fragmented: d.stats.fragmented.Load(),
		Dropped: d.stats.dropped.Load(), Told: d.stats.told.Load(),
	}
}

// Write implements tun.Device. It lowers the MSS that narrow peers announce.
func (d *Device) Write(bufs [][]byte, offset int) (int, error) {
	if sizes := d.paths.table.Load(); sizes != nil {
		for _, buf := range bufs {
			if src := sourceOf(buf[offset:]); src != nil {
				if size, _ := sizes.LookupIP(src); size > 0 {
					d.clamp(buf[offset:], size)
				}
			}
		}
	}
	return d.Device.Write(bufs, offset)
}

// Read implements tun.Device. Every packet that it returns fits its path.
func (d *Device) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for {
		if n := d.waiting.take(bufs, sizes, offset); n > 0 {
			return n, nil
		}
		n, err := d.Device.Read(bufs, sizes, offset)
		limits := d.paths.table.Load()
		if limits == nil || n == 0 {
			return n, err
		}
		n = d.fit(limits, bufs, sizes, n, offset)
		if n > 0 || err != nil && !errors.Is(err, tun.ErrTooManySegments) {
			return n, err
		}
	}
}

// fit makes the first n packets of bufs fit and returns how many there are then. From the first packet
// on that becomes fragments, all go through the waiting ones, so that they stay in order.
func (d *Device) fit(limits *lpm.Table[int], bufs [][]byte, sizes []int, n, offset int) int {
	kept, queued := 0, false
	for i := range n {
		b := bufs[i][offset : offset+sizes[i]]
		size := 0
		if dst := packet.Destination(b); dst != nil {
			size, _ = limits.LookupIP(dst)
		}
		if size > 0 {
			d.clamp(b, size)
		}
		switch {
		case size > 0 && len(b) > size:
			queued = d.tooLarge(b, size, offset) || queued
		case queued:
			d.waiting.add(b)
		default:
			if kept != i {
				copy(bufs[kept][offset:], b) // WireGuard expects each packet in the buffer of its place
			}
			sizes[kept] = len(b)
			kept++
		}
	}
	return kept + d.waiting.take(bufs[kept:], sizes[kept:], offset)
}

// tooLarge treats a packet that is larger than its path. It reports whether it has added fragments to
// the waiting packets.
func (d *Device) tooLarge(b []byte, size, offset int) bool {
	p, err := packet.ParseIP(b)
	if err != nil {
		d.stats.dropped.Add(1)
		return false
	}
	told := size
	var ok bool
	switch {
	case p.Is4():
		ok = (d.source || !dontFragment(b)) && d.fragment4(p, size)
	case d.source || p.Len() <= minimumMTU6:
		ok = d.fragment6(p, size)
	default:
		told = max(size, minimumMTU6)
	}
	if ok {
		d.stats.fragmented.Add(1)
		return true
	}
	d.stats.dropped.Add(1)
	if !d.source { // a stack in this process must not be written to from here: it may wait for Read
		d.answer(p, told, offset)
	}
	return false
}

// answer tells the sender of a dropped packet which size passes.
func (d *Device) answer(p packet.IP, size, offset int) {
	if !answerable(p) || !d.told.allows(p, d.now()) {
		return
	}
	d.tell = tooBig(append(d.tell[:0], make([]byte, offset)...), p, size)
	if _, err := d.Device.Write([][]byte{d.tell}, offset); err == nil {
		d.stats.told.Add(1)
	}
}

// sourceOf returns the source address of an IP packet, nil if it is malformed.
func sourceOf(b []byte) []byte {
	switch dst := packet.Destination(b); len(dst) {
	case 4:
		return b[12:16]
	case 16:
		return b[8:24]
	}
	return nil
}

// waiting are packets that Read returns before it reads further ones.
type waiting struct {
	bytes []byte // of all of them
	ends  []int  // in bytes
	next  int    // index in ends
	start int    // of the next one, in bytes
}

// add appends a copy of a packet.
func (w *waiting) add(b []byte) {
	w.bytes = append(w.bytes, b...)
	w.ends = append(w.ends, len(w.bytes))
}

// take moves as many packets into bufs as it has room for.
func (w *waiting) take(bufs [][]byte, sizes []int, offset int) (n int) {
	for n < len(bufs) && w.next < len(w.ends) {
		end := w.ends[w.next]
		sizes[n] = copy(bufs[n][offset:], w.bytes[w.start:end])
		w.start, w.next, n = end, w.next+1, n+1
	}
	if w.next == len(w.ends) && w.next > 0 {
		w.bytes, w.ends, w.next, w.start = w.bytes[:0], w.ends[:0], 0, 0
		if cap(w.bytes) > keepWaiting {
			w.bytes = nil
		}
	}
	return n
}

// keepWaiting is the memory that a Device keeps for the next fragments.
const keepWaiting = 256 << 10

// The errors that a Device sends: the kernel limits its own to about as many.
const (
	tellAgain = 20 * time.Millisecond // to the same flow
	tellSlots = 256                   // flows that are remembered
)

var tellRate = bucket.Rate{PerSecond: 100, Burst: 100}

// told limits the ICMP errors. A burst of a flow gets one.
type told struct {
	all  bucket.Bucket
	last [tellSlots]struct {
		flow packet.Flow
		at   time.Time
	}
}

func (t *told) allows(p packet.IP, now time.Time) bool {
	flow, ok := p.Flow()
	if !ok {
		return false
	}
	slot := &t.last[hash(p)%tellSlots]
	if slot.flow == flow && now.Sub(slot.at) < tellAgain || !t.all.Take(tellRate, 1, now) {
		return false
	}
	slot.flow, slot.at = flow, now
	return true
}

// hash is FNV-1a over the addresses and the first bytes of the payload, where ports are.
func hash(p packet.IP) uint32 {
	h := uint32(2166136261)
	for _, b := range [][]byte{p.Addresses(), p.Payload()[:min(4, len(p.Payload()))]} {
		for _, c := range b {
			h = (h ^ uint32(c)) * 16777619
		}
	}
	return h
}
