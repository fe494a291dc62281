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
		if strings.ContainsAny(v, "*?[") {
			return Exclusion{}, mesh.Errorf(mesh.Invalid, "%q is a pattern; name each interface, or exclude the prefix of their addresses, such as 10.8.0.0/24", v)
		}
		if v == "" || len(v) > 255 || strings.ContainsAny(v, " \t\n") {
			return Exclusion{}, mesh.Errorf(mesh.Invalid, "%q is neither an interface name nor a prefix such as 10.8.0.0/24", v)
		}
		x.names = append(x.names, v)
	}
	return x, nil
}

// Avoided is what an Exclusion means for the interfaces of a host at one moment.
type Avoided struct {
	Nets    []netip.Prefix // where other nodes must not be asked
	Own     []netip.Addr   // addresses of the host from which nothing must be sent to other nodes
	Missing []string       // excluded names that no interface has
}

// Of finds out what the exclusion means for interfaces: the excluded prefixes, the networks of the
// excluded interfaces, and the host's addresses in both. A host's address counts even where its
// network is unknown, as on a point-to-point interface: routes may lead elsewhere by it.
func (x Exclusion) Of(interfaces []Interface) (out Avoided) {
	out.Nets = slices.Clone(x.prefixes)
	for _, ifi := range interfaces {
		if slices.Contains(x.names, ifi.Name) && ifi.Up {
			for _, p := range ifi.Nets {
				if p = p.Masked(); !p.Addr().IsLinkLocalUnicast() {
					out.Nets = append(out.Nets, p)
				}
			}
		}
		for _, a := range ifi.Addrs {
			if a = a.Unmap().WithZone(""); x.excludes(ifi.Name, a) != "" {
				out.Own = append(out.Own, a)
			}
		}
	}
	for _, name := range x.names {
		if !slices.ContainsFunc(interfaces, func(i Interface) bool { return i.Name == name }) {
			out.Missing = append(out.Missing, name)
		}
	}
	return out
}

// Host is Of for this host's interfaces.
func (x Exclusion) Host() (Avoided, error) {
	if len(x.names) == 0 && len(x.prefixes) == 0 {
		return Avoided{}, nil
	}
	interfaces, err := hostInterfaces()
	if err != nil {
		return Avoided{}, err
	}
	return x.Of(interfaces), nil
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
