package candidates

import (
	"net/netip"
	"slices"
	"strings"

	"nexd/mesh"
)

// Exclusion names what must not carry the mesh: interfaces, whose networks are left out in both
// directions, and prefixes. The zero value excludes nothing.
type Exclusion struct {
	names    []string
	prefixes []netip.Prefix
}

// ParseExclusion reads interface names and prefixes. A value with a slash or colon is a prefix, and
// so is an address. An error of kind Invalid names the value.
func ParseExclusion(values []string) (x Exclusion, err error) {
	for _, v := range values {
		if a, err := netip.ParseAddr(v); err == nil {
			x.prefixes = append(x.prefixes, mesh.HostPrefix(a.Unmap().WithZone("")))
			continue
		}
		if strings.ContainsAny(v, "/:") {
			p, err := netip.ParsePrefix(v)
			if err != nil {
				return Exclusion{}, mesh.Errorf(mesh.Invalid, "%q is neither an interface name nor a prefix such as 10.8.0.0/24", v)
			}
			x.prefixes = append(x.prefixes, p.Masked())
			continue
		}
		if v == "" || len(v) > 255 || strings.ContainsAny(v, " \t\n") {
			return Exclusion{}, mesh.Errorf(mesh.Invalid, "%q is neither an interface name nor a prefix such as 10.8.0.0/24", v)
		}
		x.names = append(x.names, v)
	}
	return x, nil
}

// Prefixes are the excluded prefixes, with the networks of the excluded ones among interfaces: the
// addresses at which other nodes must not be asked either.
func (x Exclusion) Prefixes(interfaces []Interface) []netip.Prefix {
	out := slices.Clone(x.prefixes)
	for _, ifi := range interfaces {
		if slices.Contains(x.names, ifi.Name) {
			for _, p := range ifi.Nets {
				if p = p.Masked(); !p.Addr().IsLinkLocalUnicast() {
					out = append(out, p)
				}
			}
		}
	}
	return out
}

// Host are the networks of this host that are excluded, besides the excluded prefixes. If the
// interfaces cannot be read, it is only the prefixes.
func (x Exclusion) Host() []netip.Prefix {
	if len(x.names) == 0 {
		return x.prefixes
	}
	interfaces, err := hostInterfaces()
	if err != nil {
		return x.prefixes
	}
	return x.Prefixes(interfaces)
}

// excludes returns why an address of an interface must not be offered; empty: it may.
func (x Exclusion) excludes(name string, a netip.Addr) string {
	if slices.Contains(x.names, name) {
		return "excluded: interface " + name
	}
	if i := slices.IndexFunc(x.prefixes, func(p netip.Prefix) bool { return p.Contains(a) }); i >= 0 {
		return "excluded: prefix " + x.prefixes[i].String()
	}
	return ""
}
