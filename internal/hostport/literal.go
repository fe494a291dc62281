package hostport

import (
	"net/netip"
	"strings"
)

// Literal returns the address that host spells out, in any form in which programs pass one
// where a name is expected: an IPv6 address in brackets, as it stands in a URL, with a zone,
// an IPv4 address with the final dot of a fully qualified name, or IPv4 mapped into IPv6. The
// result has no zone and is never a mapped address. A host that is not an address is not ok.
func Literal(host string) (_ netip.Addr, ok bool) {
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		if inner, bracketed = strings.CutSuffix(inner, "]"); !bracketed {
			return netip.Addr{}, false
		}
	} else if dotted, ok := strings.CutSuffix(host, "."); ok {
		inner = dotted
	}
	a, err := netip.ParseAddr(inner)
	if err != nil || bracketed && !a.Is6() {
		return netip.Addr{}, false
	}
	return a.Unmap().WithZone(""), true
}
