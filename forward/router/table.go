package router

import (
	"net/netip"
	"slices"

	"nexd/mesh"
)

// table maps mesh addresses to the addresses that the router dials. It is immutable; Set makes a
// new one.
type table struct {
	advertised []mesh.Advertisement // longest prefix first
	allow      []Allow
}

func newTable(ads []mesh.Advertisement, allow []Allow) table {
	ads = slices.Clone(ads)
	for i, a := range ads {
		if !a.Local.IsValid() {
			ads[i].Local = a.Prefix
		}
	}
	slices.SortStableFunc(ads, func(a, b mesh.Advertisement) int { return b.Prefix.Bits() - a.Prefix.Bits() })
	return table{advertised: ads, allow: allow}
}

// target returns the address to dial for a destination in the mesh, and whether the router may dial
// it. Port 0 stands for an echo request.
func (t table) target(dst netip.AddrPort) (netip.AddrPort, bool) {
	for _, a := range t.advertised {
		if addr, ok := a.ToLocal(dst.Addr()); ok {
			to := netip.AddrPortFrom(addr, dst.Port())
			return to, t.permits(to)
		}
	}
	return netip.AddrPort{}, false
}

func (t table) permits(to netip.AddrPort) bool {
	switch addr := to.Addr(); {
	case in(never[:], addr):
		return false
	case in(local[:], addr):
		return slices.ContainsFunc(t.allow, func(a Allow) bool { return a.covers(to) })
	default:
		return true
	}
}
