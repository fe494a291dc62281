package gateway

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"nexd/mesh"
)

// host is the relevant part of the kernel's state.
type host struct {
	links  []link
	addrs  []addr
	routes []route // of the main table
}

type link struct {
	index    int
	name     string
	kind     string // "" for hardware
	loopback bool
	master   int // index of the bridge that it is a port of
}

type addr struct {
	link   int
	prefix netip.Prefix // with host bits
}

type route struct {
	link    int
	dst     netip.Prefix
	gateway bool // leads to another router
}

// plan is the wanted state of the kernel.
type plan struct {
	iface    string
	prefixes []way
}

// way is the way of mesh traffic to one prefix.
type way struct {
	mesh.Advertisement
	links  []exit
	local  string // interface with this host's own addresses of the prefix, without an exit
	masked bool   // any exit hides the source
	why    string
}

// exit is an interface that leads to a prefix, or to a part of it.
type exit struct {
	name   string
	index  int
	masked bool
}

// mapped reports whether addresses are rewritten.
func (w *way) mapped() bool { return w.Prefix != w.Local }

func (w *way) status() Status {
	s := Status{Prefix: w.Prefix, Local: w.Local, SNAT: w.masked, Why: w.why}
	var names []string
	for _, e := range w.links {
		names = append(names, e.name)
	}
	if w.local != "" {
		names = append(names, w.local)
	}
	s.Interface = strings.Join(names, ",")
	if s.Interface == "" {
		s.Problem = fmt.Sprintf("no route leads to %v", w.Local)
	}
	return s
}

// makePlan finds the interfaces that lead to each prefix, and whether their hosts have a
// return route.
func makePlan(iface string, snat Mode, mine []mesh.Advertisement, h *host) *plan {
	p := &plan{iface: iface}
	for _, a := range mine {
		w := way{Advertisement: a}
		for _, r := range h.leading(a.Local, h.link(iface).index) {
			l := h.byIndex(r.link)
			if l.loopback || slices.ContainsFunc(w.links, func(e exit) bool { return e.name == l.name }) {
				continue
			}
			masked, why := h.masks(snat, a.Local, r, l)
			w.links = append(w.links, exit{l.name, l.index, masked})
			if w.why == "" || masked && !w.masked {
				w.why = why
			}
			w.masked = w.masked || masked
		}
		for _, own := range h.addrs {
			l := h.byIndex(own.link)
			if a.Local.Contains(own.prefix.Addr()) && l.name != iface && !slices.ContainsFunc(w.links, func(e exit) bool { return e.name == l.name }) {
				w.local = l.name
			}
		}
		if w.why == "" {
			w.why = whyNoExit(snat, w.local)
		}
		p.prefixes = append(p.prefixes, w)
	}
	slices.SortFunc(p.prefixes, func(a, b way) int {
		if a.mapped() != b.mapped() && a.Local == b.Local {
			if a.mapped() { // of two prefixes for one network, outgoing connections use the unmapped one
				return 1
			}
			return -1
		}
		return cmp.Or(a.Local.Compare(b.Local), a.Prefix.Compare(b.Prefix))
	})
	return p
}

func whyNoExit(snat Mode, local string) string {
	switch {
	case snat != Auto:
		return "configured"
	case local != "":
		return "the addresses are this host's own, on " + local
	}
	return "no interface leads there"
}

// masks decides whether one exit uses SNAT, and returns the reason.
func (h *host) masks(snat Mode, local netip.Prefix, r route, l link) (bool, string) {
	if snat != Auto {
		return snat == On, "configured"
	}
	if r.gateway {
		return true, "it is behind another router, on " + l.name
	}
	mine, ok := h.addrOn(l.index, local)
	if !ok {
		return true, fmt.Sprintf("this host has no address in its subnet on %s", l.name)
	}
	if h.otherRouter(l.index, local.Addr().Is4()) {
		return true, fmt.Sprintf("%s leads to another router, which its hosts use", l.name)
	}
	switch {
	case l.kind == "dummy":
		return false, fmt.Sprintf("the addresses are this host's own, on %s", l.name)
	case l.kind == "bridge" && !h.hardwarePort(l.index):
		return false, fmt.Sprintf("this host is its gateway: %v on bridge %s", mine.Addr(), l.name)
	case mine.Addr() == mine.Masked().Addr().Next():
		return false, fmt.Sprintf("this host is its gateway: %v, the first address, on %s", mine.Addr(), l.name)
	}
	return true, fmt.Sprintf("the hosts on %s may have another gateway", l.name)
}

// leading returns the routes to a prefix or to parts of it. A route that covers more than
// the prefix counts only if there is no more specific one.
func (h *host) leading(p netip.Prefix, tunnel int) (out []route) {
	var cover route
	for _, r := range h.routes {
		switch {
		case r.link == tunnel || r.dst.Addr().Is4() != p.Addr().Is4():
		case r.dst.Bits() >= p.Bits() && p.Contains(r.dst.Addr()):
			out = append(out, r)
		case r.dst.Contains(p.Addr()) && (!cover.dst.IsValid() || r.dst.Bits() > cover.dst.Bits()):
			cover = r
		}
	}
	near := len(out) > 0 || slices.ContainsFunc(h.addrs, func(a addr) bool { return a.link != tunnel && p.Contains(a.prefix.Addr()) })
	if cover.dst.IsValid() && (cover.dst.Bits() > 0 || !near) {
		out = append(out, cover)
	}
	return out
}

// addrOn returns an address of a link whose subnet overlaps p.
func (h *host) addrOn(link int, p netip.Prefix) (netip.Prefix, bool) {
	for _, a := range h.addrs {
		if a.link == link && p.Overlaps(a.prefix.Masked()) {
			return a.prefix, true
		}
	}
	return netip.Prefix{}, false
}

// otherRouter reports whether a route of the family leads to a router on that link.
func (h *host) otherRouter(link int, four bool) bool {
	return slices.ContainsFunc(h.routes, func(r route) bool { return r.link == link && r.gateway && r.dst.Addr().Is4() == four })
}

func (h *host) hardwarePort(bridge int) bool {
	return slices.ContainsFunc(h.links, func(l link) bool { return l.master == bridge && l.kind == "" })
}

func (h *host) link(name string) link {
	return h.find(func(l link) bool { return l.name == name })
}

func (h *host) byIndex(i int) link {
	return h.find(func(l link) bool { return l.index == i })
}

func (h *host) find(match func(link) bool) link {
	if i := slices.IndexFunc(h.links, match); i >= 0 {
		return h.links[i]
	}
	return link{index: -1}
}
