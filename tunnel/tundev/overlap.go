package tundev

import (
	"fmt"
	"net/netip"
	"slices"
)

// held is a route or an address of the host.
type held struct {
	prefix  netip.Prefix
	link    string // name of the interface
	gateway netip.Addr
	address bool // the host's own address
	kernel  bool // the route of a network on an interface
	nexd    bool // a route of another nexd
}

// defaults are the default routes, which no prefix overlaps. Some VPN clients split a
// default route into halves.
var defaults = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("0.0.0.0/1"), netip.MustParsePrefix("128.0.0.0/1"),
	netip.MustParsePrefix("::/0"), netip.MustParsePrefix("::/1"), netip.MustParsePrefix("8000::/1"), netip.MustParsePrefix("2000::/3"),
}

// plan splits the wanted prefixes into those that can be routed and those to skip because
// they overlap the host's. The result is sorted, without duplicates.
func plan(wanted []netip.Prefix, host []held) (routes []netip.Prefix, skipped []Skipped) {
	wanted = slices.Clone(wanted)
	slices.SortFunc(wanted, comparePrefixes)
	for _, p := range slices.Compact(wanted) {
		if why := conflict(p, host); why != "" {
			skipped = append(skipped, Skipped{p, why})
			continue
		}
		routes = append(routes, p)
	}
	return routes, skipped
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// conflict returns the reason why p cannot be routed, or nothing. A single address of the
// host is no conflict for a larger prefix, because the kernel checks its own addresses
// first.
func conflict(p netip.Prefix, host []held) string {
	for _, h := range host {
		if !h.prefix.Overlaps(p) || slices.Contains(defaults, h.prefix) {
			continue
		}
		switch {
		case h.address && p.IsSingleIP():
			return fmt.Sprintf("this host has that address itself, on %s", h.link)
		case h.address:
			continue
		case h.nexd:
			return fmt.Sprintf("it overlaps %v, which another nexd routes to %s", h.prefix, h.link)
		case h.kernel:
			return fmt.Sprintf("it overlaps this host's own network %v on %s", h.prefix, h.link)
		case h.gateway.IsValid():
			return fmt.Sprintf("it overlaps this host's route %v via %v on %s", h.prefix, h.gateway, h.link)
		}
		return fmt.Sprintf("it overlaps this host's route %v on %s", h.prefix, h.link)
	}
	return ""
}
