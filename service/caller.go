package service

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"nexd/control"
)

// caller is the client of a request, as far as the network tells.
type caller struct {
	addr    netip.Addr // of the client; invalid if unknown
	proxied bool       // through a trusted proxy
}

type callerKey struct{}

// ClientAddr is the address of the client of a request to a Service or its pages: the
// connection's address, or the one that a trusted proxy reports.
func ClientAddr(r *http.Request) netip.Addr { return callerOf(r.Context()).addr }

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// withCaller adds the caller to the request: the other end of the connection or, if
// that is a trusted proxy, the last address in X-Forwarded-For that is no trusted proxy.
func withCaller(trusted []netip.Prefix, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := readCaller(trusted, r)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

func readCaller(trusted []netip.Prefix, r *http.Request) caller {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return caller{}
	}
	c := caller{addr: ap.Addr().Unmap().WithZone("")}
	if !within(trusted, c.addr) {
		return c
	}
	c.proxied = true
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break // anybody can have written what stands before it
		}
		c.addr = addr.Unmap().WithZone("")
		if !within(trusted, c.addr) {
			break
		}
	}
	return c
}

func within(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// withObserved appends the address at which the service sees a node, with the port of
// the node's WireGuard socket, to the node's own candidates. If there are too many, the
// observed address replaces the last one.
func withObserved(c caller, port uint16, own []netip.AddrPort, pools []netip.Prefix) []netip.AddrPort {
	out := make([]netip.AddrPort, 0, control.MaxEndpoints)
	for _, ep := range own {
		if !slices.Contains(out, ep) && !within(pools, ep.Addr()) {
			out = append(out, ep)
		}
	}
	seen := netip.AddrPortFrom(c.addr, port)
	local := c.addr.Is6() && c.addr.IsLinkLocalUnicast() // useless without a zone
	if port == 0 || !c.addr.IsValid() || local || within(pools, c.addr) || slices.Contains(out, seen) || control.CheckEndpoints([]netip.AddrPort{seen}) != nil {
		return out
	}
	return append(out[:min(len(out), control.MaxEndpoints-1)], seen)
}
