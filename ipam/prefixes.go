package ipam

import "net/netip"

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

// usable is the range of pool that nodes get addresses from: all but its first and
// last address. ok is false if the pool is too small.
func usable(pool netip.Prefix) (first, last netip.Addr, ok bool) {
	first, last = Range(pool)
	first, last = first.Next(), last.Prev()
	ok = first.IsValid() && last.IsValid() && !last.Less(first) && pool.Contains(first)
	return first, last, ok
}
