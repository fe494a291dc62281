package tundev

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// families are both address families, in the order of use.
var families = []int{netlink.FAMILY_V4, netlink.FAMILY_V6}

// reconcile applies the wanted state to the kernel.
func (d *Device) reconcile() (err error) {
	d.turn.Lock()
	defer d.turn.Unlock()
	for range 10 {
		if err = d.look(); !errors.Is(err, netlink.ErrDumpInterrupted) { // a list changed while it was read
			return err
		}
	}
	return err
}

// look compares and applies the state once; the caller holds turn.
func (d *Device) look() error {
	d.mu.Lock()
	wanted, addrs, routes := d.set && !d.closed, slices.Clone(d.addrs), slices.Clone(d.routes)
	d.mu.Unlock()
	if !wanted {
		return nil
	}
	link, err := d.nl.LinkByIndex(d.index)
	if err != nil {
		return fmt.Errorf("tundev: interface %s is gone: %w", d.name, err)
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		return nil // somebody has set it down; setting it up wakes Run
	}
	addrs, noSix, err := d.setAddresses(link, addrs)
	if err != nil {
		return err
	}
	host, err := d.hostHas()
	if err != nil {
		return err
	}
	routes, skipped := plan(routes, host)
	routes, skipped = d.withoutSix(routes, skipped, noSix)
	d.tell(skipped, noSix)
	if d.Table() == 0 {
		table, err := freeTable(d.nl)
		if err != nil {
			return err
		}
		d.mu.Lock()
		d.table = table
		d.mu.Unlock()
	}
	for _, a := range addrs { // so the table of a running nexd is never empty
		routes = append(routes, netip.PrefixFrom(a, a.BitLen()))
	}
	if err := d.setRoutes(routes, addrs); err != nil {
		return err
	}
	return d.addRules(noSix)
}

// withoutSix skips IPv6 prefixes on a host without IPv6.
func (d *Device) withoutSix(routes []netip.Prefix, skipped []Skipped, noSix bool) ([]netip.Prefix, []Skipped) {
	if !noSix {
		return routes, skipped
	}
	routes = slices.DeleteFunc(routes, func(p netip.Prefix) bool {
		if p.Addr().Is6() && !p.IsSingleIP() { // nodes are reachable by their IPv4 addresses
			skipped = append(skipped, Skipped{p, "IPv6 is off on this host"})
		}
		return p.Addr().Is6()
	})
	return routes, skipped
}

// setAddresses gives the interface exactly these addresses, and returns those that it has.
func (d *Device) setAddresses(link netlink.Link, wanted []netip.Addr) (have []netip.Addr, noSix bool, err error) {
	present, err := d.nl.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, false, fmt.Errorf("tundev: read the addresses of %s: %w", d.name, err)
	}
	there := map[netip.Addr]bool{}
	for i := range present {
		p, ok := prefixOf(present[i].IPNet)
		switch {
		case !ok || p.Addr().IsLinkLocalUnicast():
		case p.IsSingleIP() && slices.Contains(wanted, p.Addr()):
			there[p.Addr()] = true
		default:
			if err := d.nl.AddrDel(link, &present[i]); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
				return nil, false, fmt.Errorf("tundev: remove address %v from %s: %w", p, d.name, err)
			}
		}
	}
	for _, a := range wanted {
		if !there[a] {
			err := d.nl.AddrReplace(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, a.BitLen())), Flags: unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE})
			if err != nil && a.Is6() && isOff(err) {
				noSix = true
				continue
			}
			if err != nil {
				return nil, noSix, fmt.Errorf("tundev: add address %v to %s: %w", a, d.name, err)
			}
		}
		have = append(have, a)
	}
	return have, noSix, nil
}

// isOff reports whether an error means that IPv6 is disabled.
func isOff(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.ENODEV)
}

// setRoutes sets exactly these routes in the table.
func (d *Device) setRoutes(wanted []netip.Prefix, addrs []netip.Addr) error {
	there, table := map[netip.Prefix]bool{}, d.Table()
	for _, family := range families {
		have, err := d.nl.RouteListFiltered(family, &netlink.Route{Table: table, LinkIndex: d.index}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_OIF)
		if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
			return fmt.Errorf("tundev: read the routes of %s: %w", d.name, err)
		}
		for i := range have {
			p, ok := prefixOf(have[i].Dst)
			if ok && slices.Contains(wanted, p) && d.same(have[i], p, addrs) {
				there[p] = have[i].MTU == d.routeMTU(p)
				continue // another MTU replaces the route: without it, packets would take the default route
			}
			if err := d.nl.RouteDel(&have[i]); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("tundev: remove route %v: %w", have[i].Dst, err)
			}
		}
	}
	for _, p := range wanted {
		if there[p] {
			continue
		}
		r := &netlink.Route{
			LinkIndex: d.index, Dst: ipNet(p), Src: source(p, addrs), Scope: netlink.SCOPE_LINK,
			Protocol: RouteProtocol, Table: table, MTU: d.routeMTU(p),
		}
		if err := d.nl.RouteReplace(r); err != nil {
			return fmt.Errorf("tundev: route %v to %s: %w", p, d.name, err)
		}
		d.log.Debug("route added", "prefix", p, "interface", d.name)
	}
	return nil
}

func (d *Device) same(r netlink.Route, p netip.Prefix, addrs []netip.Addr) bool {
	return r.LinkIndex == d.index && r.Protocol == RouteProtocol && r.Gw == nil && r.Src.Equal(source(p, addrs))
}

// source returns the source address of this host for p.
func source(p netip.Prefix, addrs []netip.Addr) net.IP {
	for _, a := range addrs {
		if a.Is4() == p.Addr().Is4() {
			return a.AsSlice()
		}
	}
	return nil
}

// hostHas returns the host's own routes and addresses.
func (d *Device) hostHas() ([]held, error) {
	names := map[int]string{}
	links, err := d.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("tundev: read the host's interfaces: %w", err)
	}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	var out []held
	for _, family := range families {
		all, err := d.nl.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
			return nil, fmt.Errorf("tundev: read the host's routes: %w", err)
		}
		for _, r := range all {
			if h, ok := d.held(r, names); ok {
				out = append(out, h)
			}
		}
	}
	return out, nil
}

// held returns a route that takes precedence over prefixes of the mesh: a route of the main
// table, of another nexd, or to one of the host's own addresses.
func (d *Device) held(r netlink.Route, names map[int]string) (held, bool) {
	p, ok := prefixOf(r.Dst)
	if !ok || r.LinkIndex == d.index {
		return held{}, false
	}
	h := held{prefix: p, link: names[r.LinkIndex], kernel: r.Protocol == unix.RTPROT_KERNEL}
	if gw, ok := netip.AddrFromSlice(r.Gw); ok {
		h.gateway = gw.Unmap()
	}
	if h.link == "" {
		h.link = "no interface"
	}
	switch {
	case r.Table == unix.RT_TABLE_LOCAL:
		h.address = r.Type == unix.RTN_LOCAL && p.IsSingleIP()
		return h, h.address
	case r.Protocol == RouteProtocol && r.Table >= firstTable && r.Table <= lastTable:
		h.nexd = true
		return h, true
	}
	return h, r.Table == unix.RT_TABLE_MAIN
}

// tell stores the skipped prefixes for Skipped and logs changes.
func (d *Device) tell(skipped []Skipped, noSix bool) {
	d.mu.Lock()
	before := d.skipped
	d.skipped, d.noSix = skipped, noSix
	d.mu.Unlock()
	for _, s := range skipped {
		if !slices.Contains(before, s) {
			d.log.Warn("prefix is not routed", "prefix", s.Prefix, "why", s.Why)
		}
	}
	for _, s := range before {
		if !slices.ContainsFunc(skipped, func(o Skipped) bool { return o.Prefix == s.Prefix }) {
			d.log.Info("prefix is no longer in conflict", "prefix", s.Prefix)
		}
	}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if ok && bits == 32 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, ones), ok && bits == a.BitLen()
}
