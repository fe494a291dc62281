package ipam

import (
	"iter"
	"net/netip"
)

// CIDR prefixes nest or are disjoint. So what overlaps p is either p itself or
// starts inside Range(p), or is one of Ancestors(p): a Ledger finds an overlap by
// one range look-up and at most 127 exact ones.

// Range is the first and the last address of p.
func Range(p netip.Prefix) (first, last netip.Addr) {
	first = p.Masked().Addr()
	b := first.AsSlice()
	for i := range b {
		host := min(max(8*(i+1)-p.Bits(), 0), 8) // bits of this byte below the prefix
		b[i] |= byte(1<<host - 1)
	}
	last, _ = netip.AddrFromSlice(b)
	return first, last
}

// Ancestors yields the prefixes around p, the closest first, down to minimum
// length 1; p is not among them.
func Ancestors(p netip.Prefix) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for bits := p.Bits() - 1; bits > 0; bits-- {
			if !yield(netip.PrefixFrom(p.Addr(), bits).Masked()) {
				return
			}
		}
	}
}

// usable is the range of a pool that nodes may get: all but its first and last.
func usable(pool netip.Prefix) (first, last netip.Addr, ok bool) {
	first, last = Range(pool)
	first, last = first.Next(), last.Prev()
	ok = first.IsValid() && last.IsValid() && !last.Less(first) && pool.Contains(first)
	return first, last, ok
}
