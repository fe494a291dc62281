package router

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"nexd/mesh"
)

// Allow names loopback or link-local targets that the router may dial: every port of Prefix, or
// only Port.
type Allow struct {
	Prefix netip.Prefix
	Port   uint16 // 0 = every port, and ping
}

// ParseAllow reads the argument of --allow-local: ADDRESS, ADDRESS:PORT or a prefix. It takes only
// loopback and link-local addresses, since all others need no allowance or can never have one.
func ParseAllow(s string) (Allow, error) {
	a, err := parseAllow(s)
	if err != nil {
		return Allow{}, err
	}
	if !withinLocal(a.Prefix) {
		return Allow{}, mesh.Errorf(mesh.Invalid, "router: allow %q: the address is neither loopback nor link-local and needs no permission", s)
	}
	return a, nil
}

func parseAllow(s string) (Allow, error) {
	if strings.Contains(s, "/") {
		p, err := mesh.ParsePrefix(s)
		return Allow{Prefix: p}, err
	}
	if ap, err := netip.ParseAddrPort(s); err == nil && ap.Addr().Zone() == "" && ap.Port() != 0 {
		return Allow{Prefix: mesh.HostPrefix(ap.Addr().Unmap()), Port: ap.Port()}, nil
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return Allow{}, mesh.Errorf(mesh.Invalid, "router: allow %q: expected ADDRESS, ADDRESS:PORT or a prefix, such as 127.0.0.1:8080", s)
	}
	return Allow{Prefix: mesh.HostPrefix(addr.Unmap())}, nil
}

// String returns the form that ParseAllow reads.
func (a Allow) String() string {
	switch {
	case a.Port != 0:
		return netip.AddrPortFrom(a.Prefix.Addr(), a.Port).String()
	case a.Prefix.IsSingleIP():
		return a.Prefix.Addr().String()
	default:
		return a.Prefix.String()
	}
}

// Opens describes what the allowance lets the mesh reach.
func (a Allow) Opens() string {
	if a.Port != 0 {
		return "TCP and UDP port " + strconv.Itoa(int(a.Port)) + " of " + a.Prefix.Addr().String() + " on this host"
	}
	where := a.Prefix.String()
	if a.Prefix.IsSingleIP() {
		where = a.Prefix.Addr().String()
	}
	return fmt.Sprintf("every TCP and UDP port of %s on this host, whatever listens there", where)
}

// covers reports whether a allows the target. Port 0 stands for an echo request.
func (a Allow) covers(target netip.AddrPort) bool {
	return a.Prefix.Contains(target.Addr()) && (a.Port == 0 || a.Port == target.Port())
}

// local holds the prefixes that need an Allow.
var local = [...]netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fe80::/10"),
}

// never holds the prefixes that no Allow opens: "this host" on Linux, IPv4-mapped IPv6, multicast
// and the broadcast address.
var never = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("::/128"), netip.MustParsePrefix("::ffff:0:0/96"), netip.MustParsePrefix("ff00::/8"),
}

func withinLocal(p netip.Prefix) bool {
	for _, l := range local {
		if l.Bits() <= p.Bits() && l.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

func in(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
