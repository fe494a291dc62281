package filter

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// table answers whether an address is in a set of prefixes. It never changes
// once made: sorted ranges without overlap, found by halving.
type table struct {
	v4 []span[uint32]
	v6 []span[uint128]
}

// span is a range of addresses, both ends included.
type span[T any] struct{ first, last T }

type uint128 struct{ hi, lo uint64 }

func (a uint128) less(b uint128) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func newTable(prefixes []netip.Prefix) *table {
	t := new(table)
	for _, p := range prefixes {
		switch {
		case !p.IsValid():
		case p.Addr().Is4():
			mask := uint32(0xffffffff) >> p.Bits() // a shift by 32 gives 0
			a := p.Masked().Addr().As4()
			first := binary.BigEndian.Uint32(a[:])
			t.v4 = append(t.v4, span[uint32]{first, first | mask})
		default:
			a := p.Masked().Addr().As16()
			first := load128(a[:])
			hi, lo := ^uint64(0), ^uint64(0)
			if p.Bits() <= 64 {
				hi >>= p.Bits()
			} else {
				hi, lo = 0, lo>>(p.Bits()-64)
			}
			t.v6 = append(t.v6, span[uint128]{first, uint128{first.hi | hi, first.lo | lo}})
		}
	}
	t.v4 = merge(t.v4, func(a, b uint32) bool { return a < b })
	t.v6 = merge(t.v6, uint128.less)
	return t
}

// merge sorts the spans and joins those that overlap. Spans of prefixes either
// nest or do not touch.
func merge[T any](spans []span[T], less func(a, b T) bool) []span[T] {
	slices.SortFunc(spans, func(a, b span[T]) int {
		switch {
		case less(a.first, b.first):
			return -1
		case less(b.first, a.first):
			return 1
		case less(b.last, a.last): // the wider one first
			return -1
		}
		return 0
	})
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && !less(out[n-1].last, s.first) {
			continue // inside the one before
		}
		out = append(out, s)
	}
	return out
}

// packet says whether the IP packet at buf[offset:] is well formed as far as its
// destination goes, and that destination is in the table.
func (t *table) packet(buf []byte, offset int) bool {
	const min4, min6 = 20, 40 // header sizes
	if offset < 0 || len(buf) <= offset {
		return false
	}
	p := buf[offset:]
	switch p[0] >> 4 {
	case 4:
		if len(p) < min4 {
			return false
		}
		header, total := int(p[0]&0xf)*4, int(binary.BigEndian.Uint16(p[2:]))
		if header < min4 || total < header || total > len(p) {
			return false
		}
		return t.has4(binary.BigEndian.Uint32(p[16:]))
	case 6:
		if len(p) < min6 || min6+int(binary.BigEndian.Uint16(p[4:])) > len(p) {
			return false
		}
		return t.has6(load128(p[24:]))
	}
	return false
}

func (t *table) has4(a uint32) bool {
	lo, hi := 0, len(t.v4)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		switch s := &t.v4[mid]; {
		case a < s.first:
			hi = mid
		case a > s.last:
			lo = mid + 1
		default:
			return true
		}
	}
	return false
}

func (t *table) has6(a uint128) bool {
	lo, hi := 0, len(t.v6)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		switch s := &t.v6[mid]; {
		case a.less(s.first):
			hi = mid
		case s.last.less(a):
			lo = mid + 1
		default:
			return true
		}
	}
	return false
}

func load128(b []byte) uint128 {
	return uint128{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}
