// Package lpm finds the longest prefix of a set that contains an address.
//
// A Table is built once from all prefixes and never changes. It consists of ranges of
// addresses without overlap, and a look-up is a binary search that allocates nothing and
// takes no lock. The package gives values no meaning; it is not a router.
package lpm

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Entry is a prefix and its value.
type Entry[V any] struct {
	Prefix netip.Prefix
	Value  V
}

// Table is a set of prefixes with values. The zero Table is empty.
type Table[V any] struct {
	v4 []span[uint32, V]
	v6 []span[uint128, V]
}

// span is a range of addresses, both ends included.
type span[A, V any] struct {
	first, last A
	value       V
}

type uint128 struct{ hi, lo uint64 }

func (a uint128) less(b uint128) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

// New builds a table. Of equal prefixes the last one counts. Invalid and IPv4-mapped
// prefixes contain nothing.
func New[V any](entries []Entry[V]) *Table[V] {
	t := new(Table[V])
	var open []int // entries that contain the current address, the narrowest last
	var at netip.Addr
	order := sorted(entries)
	emit := func(to netip.Addr) {
		if at.IsValid() && !to.Less(at) {
			t.add(at, to, entries[open[len(open)-1]].Value)
		}
	}
	closeBefore := func(next netip.Addr) {
		for len(open) > 0 {
			end := Last(entries[open[len(open)-1]].Prefix)
			if next.IsValid() && !end.Less(next) {
				return
			}
			emit(end)
			open = open[:len(open)-1]
			if at.IsValid() && at.Compare(end) <= 0 {
				at = end.Next() // invalid after the last address, where all open entries end
			}
		}
	}
	for _, i := range order {
		first := entries[i].Prefix.Masked().Addr()
		closeBefore(first)
		if len(open) > 0 && at.Less(first) {
			emit(first.Prev())
		}
		at, open = first, append(open, i)
	}
	closeBefore(netip.Addr{})
	return t
}

// Set is a table without values.
type Set = Table[struct{}]

// SetOf builds a set of prefixes.
func SetOf(prefixes []netip.Prefix) *Set {
	entries := make([]Entry[struct{}], len(prefixes))
	for i, p := range prefixes {
		entries[i].Prefix = p
	}
	return New(entries)
}

// sorted returns the indices of the valid entries: by family and first address, wider
// prefixes before narrower ones, equal ones in their order.
func sorted[V any](entries []Entry[V]) []int {
	order := make([]int, 0, len(entries))
	for i, e := range entries {
		if e.Prefix.IsValid() && !e.Prefix.Addr().Is4In6() {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := entries[i].Prefix, entries[j].Prefix
		if c := a.Masked().Addr().Compare(b.Masked().Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	return order
}

// Nested calls f for every prefix that lies inside another one or equals an earlier one,
// with the indices of both. Of several outer prefixes it passes the narrowest.
func Nested[V any](entries []Entry[V], f func(inner, outer int)) {
	var open []int
	for _, i := range sorted(entries) {
		a := entries[i].Prefix.Addr()
		for len(open) > 0 && !entries[open[len(open)-1]].Prefix.Contains(a) {
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			f(i, open[len(open)-1])
		}
		open = append(open, i)
	}
}

// Last returns the last address of a prefix, which must be valid.
func Last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := range b {
		keep := min(max(p.Bits()-8*i, 0), 8)
		b[i] |= byte(0xff >> keep)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// add appends a range that begins after every earlier range of its family.
func (t *Table[V]) add(first, last netip.Addr, v V) {
	if first.Is4() {
		a, b := first.As4(), last.As4()
		t.v4 = append(t.v4, span[uint32, V]{binary.BigEndian.Uint32(a[:]), binary.BigEndian.Uint32(b[:]), v})
		return
	}
	a, b := first.As16(), last.As16()
	t.v6 = append(t.v6, span[uint128, V]{load128(a[:]), load128(b[:]), v})
}

// Lookup returns the value of the longest prefix that contains a.
func (t *Table[V]) Lookup(a netip.Addr) (V, bool) {
	switch {
	case a.Is4():
		b := a.As4()
		return t.LookupIP(b[:])
	case a.Is6() && !a.Is4In6():
		b := a.As16()
		return t.LookupIP(b[:])
	}
	var none V
	return none, false
}

// Has reports whether a prefix contains a.
func (t *Table[V]) Has(a netip.Addr) bool {
	_, ok := t.Lookup(a)
	return ok
}

// LookupIP is Lookup for an address as in a packet: 4 or 16 bytes.
func (t *Table[V]) LookupIP(ip []byte) (v V, ok bool) {
	switch len(ip) {
	case 4:
		a := binary.BigEndian.Uint32(ip)
		if i := t.find4(a); i < len(t.v4) && t.v4[i].first <= a {
			return t.v4[i].value, true
		}
	case 16:
		a := load128(ip)
		if i := t.find6(a); i < len(t.v6) && !a.less(t.v6[i].first) {
			return t.v6[i].value, true
		}
	}
	return v, false
}

// Overlaps reports whether the table contains an address of p.
func (t *Table[V]) Overlaps(p netip.Prefix) bool {
	if !p.IsValid() || p.Addr().Is4In6() {
		return false
	}
	first, end := p.Masked().Addr(), Last(p)
	if first.Is4() {
		a, b := first.As4(), end.As4()
		i := t.find4(binary.BigEndian.Uint32(a[:]))
		return i < len(t.v4) && t.v4[i].first <= binary.BigEndian.Uint32(b[:])
	}
	a, b := first.As16(), end.As16()
	i := t.find6(load128(a[:]))
	return i < len(t.v6) && !load128(b[:]).less(t.v6[i].first)
}

// find4 returns the first range that does not end before a.
func (t *Table[V]) find4(a uint32) int {
	lo, hi := 0, len(t.v4)
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); t.v4[mid].last < a {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

func (t *Table[V]) find6(a uint128) int {
	lo, hi := 0, len(t.v6)
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); t.v6[mid].last.less(a) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

func load128(b []byte) uint128 {
	return uint128{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}
