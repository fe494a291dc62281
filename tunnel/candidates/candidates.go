package candidates

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Max bounds the candidates of one node.
const Max = 16

// perInterface bounds the candidates of one interface and family, so that IPv6 privacy
// addresses do not crowd out the others.
const perInterface = 3

// Interface is a network interface of the host.
type Interface struct {
	Name  string
	Up    bool
	Addrs []netip.Addr
	Nets  []netip.Prefix // of the addresses
}

// Candidate is an address of the host.
type Candidate struct {
	Addr      netip.AddrPort
	Interface string
	Skipped   string // why it is not offered to other nodes; empty: it is
}

// bridges are names that container and virtual machine tools give to their interfaces;
// "*" stands for any ending. Every host has the same addresses there.
var bridges = [...]string{
	"docker*", "veth*", "cni*", "podman*", "virbr*", "vnet*", "lxcbr*", "lxdbr*", "incusbr*",
	"cali*", "flannel*", "cilium*", "kube-*", "nerdctl*", "vmnet*", "vboxnet*", "bridge100", "nexd*",
}

// Of picks the addresses of a host's interfaces at which other nodes may reach its
// UDP port, at most Max. It leaves out interfaces of containers and of nexd
// itself, link-local and multicast addresses, those inside the pools, to which the tunnel
// leads, and what x excludes. Private IPv4 comes first. Loopback comes last but is always
// there, for nodes on one host; on another host nobody can answer an initiation sent to it.
//
// The addresses that it leaves out follow those that it picks.
func Of(interfaces []Interface, port uint16, pools []netip.Prefix, x Exclusion) []Candidate {
	var found, skipped []Candidate
	var loopback Candidate
	for _, ifi := range interfaces {
		count := map[bool]int{} // by being IPv4
		for _, a := range ifi.Addrs {
			a = a.Unmap().WithZone("")
			c := Candidate{Addr: netip.AddrPortFrom(a, port), Interface: ifi.Name}
			if c.Skipped = x.excludes(ifi.Name, a); c.Skipped == "" && a.IsLoopback() && ifi.Up {
				if !loopback.Addr.IsValid() || better(loopback.Addr.Addr(), a) == a {
					loopback = c
				}
				continue
			}
			if c.Skipped == "" {
				c.Skipped = unusable(ifi, a, pools)
			}
			switch {
			case c.Skipped != "":
			case count[a.Is4()] == perInterface:
				c.Skipped = fmt.Sprintf("more than %d addresses of %s", perInterface, ifi.Name)
			case slices.ContainsFunc(found, func(f Candidate) bool { return f.Addr == c.Addr }):
				c.Skipped = "another interface has it, too"
			default:
				count[a.Is4()]++
				found = append(found, c)
				continue
			}
			skipped = append(skipped, c)
		}
	}
	slices.SortStableFunc(found, func(a, b Candidate) int { return rank(a.Addr.Addr()) - rank(b.Addr.Addr()) })
	room := Max
	if loopback.Addr.IsValid() {
		room--
	}
	for i := room; i < len(found); i++ {
		found[i].Skipped = fmt.Sprintf("more than %d addresses", Max)
		skipped = append(skipped, found[i])
	}
	found = found[:min(len(found), room)]
	if loopback.Addr.IsValid() {
		found = append(found, loopback)
	}
	return append(found, skipped...)
}

// Offered are the addresses of the candidates that are not skipped.
func Offered(all []Candidate) []netip.AddrPort {
	out := make([]netip.AddrPort, 0, Max)
	for _, c := range all {
		if c.Skipped == "" {
			out = append(out, c.Addr)
		}
	}
	return out
}

// Local is Of for this host's interfaces.
func Local(port uint16, pools []netip.Prefix, x Exclusion) ([]Candidate, error) {
	interfaces, err := hostInterfaces()
	if err != nil {
		return nil, fmt.Errorf("candidates: read the addresses of this host: %w", err)
	}
	return Of(interfaces, port, pools, x), nil
}

func hostInterfaces() ([]Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	out := make([]Interface, 0, len(all))
	for _, ifi := range all {
		addrs, err := ifi.Addrs()
		if err != nil {
			continue // the interface is gone
		}
		i := Interface{Name: ifi.Name, Up: ifi.Flags&net.FlagUp != 0}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					i.Addrs = append(i.Addrs, ip.Unmap())
					if length, bits := n.Mask.Size(); bits == ip.Unmap().BitLen() {
						i.Nets = append(i.Nets, netip.PrefixFrom(ip.Unmap(), length))
					}
				}
			}
		}
		out = append(out, i)
	}
	return out, nil
}

// unusable returns why other nodes cannot use an address; empty: they can.
func unusable(ifi Interface, a netip.Addr, pools []netip.Prefix) string {
	switch {
	case !ifi.Up:
		return "the interface is down"
	case isBridge(ifi.Name):
		return "interface of containers or virtual machines"
	case a.IsLinkLocalUnicast():
		return "link-local"
	case !a.IsValid() || a.IsUnspecified() || a.IsMulticast():
		return "not an address of one host"
	case slices.ContainsFunc(pools, func(p netip.Prefix) bool { return p.Contains(a) }):
		return "in the range of the mesh's own addresses"
	}
	return ""
}

// isBridge reports whether an interface belongs to containers, virtual machines or nexd
// itself. Docker names a network br- and twelve hexadecimal digits; any other bridge, for
// example of a router's LAN, counts like any interface.
func isBridge(name string) bool {
	if id, ok := strings.CutPrefix(name, "br-"); ok && len(id) == 12 && strings.Trim(id, "0123456789abcdef") == "" {
		return true
	}
	for _, b := range bridges {
		if begin, tree := strings.CutSuffix(b, "*"); name == b || tree && strings.HasPrefix(name, begin) {
			return true
		}
	}
	return false
}

// better prefers an IPv4 loopback address, and 127.0.0.1 among those.
func better(have, a netip.Addr) netip.Addr {
	if !have.IsValid() || have.Is6() && a.Is4() {
		return a
	}
	return have
}

// rank orders candidates: private IPv4, other IPv4, IPv6, private IPv6.
func rank(a netip.Addr) int {
	switch {
	case a.Is4() && a.IsPrivate():
		return 0
	case a.Is4():
		return 1
	case !a.IsPrivate():
		return 2
	}
	return 3
}

// Clean brings candidates into the form in which they are compared, and drops
// duplicates, addresses that nothing can be sent to, and those above the limit. It
// returns in itself if that needs no change.
func Clean(in []netip.AddrPort) []netip.AddrPort {
	n := 0
	for n < len(in) && n < Max && sendable(in[n]) && in[n].Addr().Unmap() == in[n].Addr() && !slices.Contains(in[:n], in[n]) {
		n++
	}
	if n == len(in) {
		return in
	}
	out := slices.Clone(in[:n])
	for _, c := range in[n:] {
		c = netip.AddrPortFrom(c.Addr().Unmap(), c.Port())
		if sendable(c) && len(out) < Max && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

func sendable(c netip.AddrPort) bool {
	a := c.Addr().Unmap()
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && c.Port() != 0
}
