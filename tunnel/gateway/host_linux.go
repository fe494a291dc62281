package gateway

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nexd/mesh"
)

// readHost reads the kernel's state. It accepts a dump during which the state changed,
// because the change wakes Run.
func readHost() (*host, error) {
	h := new(host)
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, mesh.Errorf(mesh.Unavailable, "gateway: read the host's interfaces: %w", err)
	}
	for _, l := range links {
		a := l.Attrs()
		kind := l.Type()
		if kind == "device" {
			kind = ""
		}
		h.links = append(h.links, link{index: a.Index, name: a.Name, kind: kind, loopback: a.Flags&net.FlagLoopback != 0, master: a.MasterIndex})
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		if err := h.read(family); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil, mesh.Errorf(mesh.Unavailable, "gateway: read the host's routes: %w", err)
		}
	}
	return h, nil
}

func (h *host) read(family int) error {
	addrs, err := netlink.AddrList(nil, family)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if p, ok := prefixOf(a.IPNet); ok && !p.Addr().IsLinkLocalUnicast() {
			h.addrs = append(h.addrs, addr{a.LinkIndex, p})
		}
	}
	routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	for _, r := range routes {
		if r.Type != 0 && r.Type != unix.RTN_UNICAST {
			continue
		}
		dst, ok := prefixOf(r.Dst)
		if !ok {
			dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
			if family == netlink.FAMILY_V6 {
				dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
			}
		}
		if len(r.MultiPath) == 0 {
			h.routes = append(h.routes, route{r.LinkIndex, dst, r.Gw != nil || r.Via != nil})
		}
		for _, hop := range r.MultiPath {
			h.routes = append(h.routes, route{hop.LinkIndex, dst, hop.Gw != nil || hop.Via != nil})
		}
	}
	return err
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	if !ok || size == 0 {
		return netip.Prefix{}, false
	}
	if size == 32 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, bits), true
}
