package netcheck

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"nexd/internal/stun"
	"nexd/mesh"
)

// Line is one finding for people: what was looked at, what it is, what it means.
type Line struct{ What, Found, Means string }

// Lines are the report as a table.
func (r *Report) Lines() []Line {
	out := r.Service.lines()
	out = append(out, r.Relay.line())
	if r.UDP != Unknown || r.UDPWhy != "" {
		out = append(out, Line{"UDP", string(r.UDP), choose(r.UDP == Passes, "direct paths are possible",
			choose(r.UDP == Blocked, "no direct paths; "+r.UDPWhy, r.UDPWhy))})
	}
	out = append(out, r.IPv4.lines("IPv4", mesh.DefaultMTU)...)
	out = append(out, r.IPv6.lines("IPv6", mesh.DefaultMTU)...)
	if n := r.Node; n != nil && len(n.Outside) > 0 {
		out = append(out, Line{"running node", "seen at " + joined(n.Outside), choose(n.Mapping.Depends(), "from elsewhere it is seen at another port", "what peers are told")})
	}
	return out
}

func choose(c bool, yes, no string) string {
	if c {
		return yes
	}
	return no
}

func joined(addrs []netip.AddrPort) string {
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = a.String()
	}
	return strings.Join(words, ", ")
}

func millis(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f ms", v)
	}
	return fmt.Sprintf("%.1f ms", v)
}

func (s *Service) lines() (out []Line) {
	l := Line{What: "service", Found: s.URL}
	switch {
	case !s.Reachable:
		l.Found, l.Means = "not reached", s.Error
	default:
		l.Found = "answers in " + millis(s.RTT)
		l.Means = map[string]string{
			"pin": "its key is the pinned one", "roots": "an authority this machine trusts vouches for it", "none": "plain HTTP: whoever is on the way reads and changes what is said",
		}[s.Trust]
		var steps []string
		for _, step := range []struct {
			name string
			took float64
		}{{"DNS", s.DNS}, {"connect", s.Connect}, {"TLS", s.TLS}} {
			if step.took > 0 {
				steps = append(steps, step.name+" "+millis(step.took))
			}
		}
		if len(steps) > 0 {
			l.Found += " (" + strings.Join(steps, ", ") + ")"
		}
	}
	out = append(out, l)
	if s.Found != nil {
		out = append(out, Line{"", "instead: " + s.Found.Subject, "signed by " + s.Found.Issuer + "; a proxy that opens TLS, or a login page of this network, or the service has a new key"})
	}
	if s.Proxy != "" {
		out = append(out, Line{"HTTP proxy", s.Proxy, "from the environment; HTTPS and the relay's WebSocket go through it, UDP does not"})
	}
	if s.Skew != nil {
		out = append(out, clock(*s.Skew))
	}
	return out
}

// clock says what a difference of clocks means. Tokens live for an hour, and
// certificates are judged by this host's clock.
func clock(skew float64) Line {
	seconds := math.Abs(skew) / 1000
	l := Line{What: "clock", Found: fmt.Sprintf("%.1f s %s the service", seconds, choose(skew > 0, "behind", "ahead of")), Means: "fine"}
	switch {
	case seconds < 1:
		l.Found = "as the service's, to less than a second"
	case seconds > 600:
		l.Means = "set it: certificates and the relay's tokens are judged by it"
	case seconds > 60:
		l.Means = "works, but set it: logs do not match, and it may drift on"
	}
	return l
}

func (r *Relay) line() Line {
	l := Line{What: "relay", Found: r.State, Means: r.Why}
	if r.State == RelayConnected {
		l.Found = "connected"
		if r.Connect > 0 {
			l.Found += " in " + millis(r.Connect)
		}
		if r.RTT > 0 {
			l.Found += ", ping " + millis(r.RTT)
		}
		l.Means = "nodes without a direct path talk through it, by WebSocket" + map[State]string{
			Passes: " and by UDP", Blocked: "; its datagrams of 1,484 bytes do not arrive", Absent: "; it takes no datagrams (nexservice serve --stun-listen)",
		}[r.UDP]
	} else if r.State == RelayNotAsked {
		l.Found = "not asked"
		if r.RTT > 0 {
			l.Found += ", HTTPS " + millis(r.RTT)
		}
	}
	return l
}

func (f *Family) lines(name string, mtu int) []Line {
	if f.UDP != Passes {
		return []Line{{name, string(f.UDP), f.Why}}
	}
	out := []Line{{name, f.Local.String() + " is seen as " + f.Mapped.String(), "a NAT is in between"}}
	if f.Mapping == stun.NoMapping {
		out[0].Found, out[0].Means = f.Local.String()+" is seen as it is", "no NAT"
	}
	out = append(out,
		Line{"  mapping", string(f.Mapping), but(mappings[f.Mapping], f.MappingWhy)},
		Line{"  filtering", string(f.Filtering), but(filterings[f.Filtering], f.FilteringWhy)},
	)
	if f.Hairpin != Absent {
		out = append(out, Line{"  hairpin", string(f.Hairpin), but(map[State]string{
			Yes: "nodes behind this NAT reach each other by their outside addresses, too",
			No:  "nodes behind this NAT reach each other only inside, or through the relay",
		}[f.Hairpin], f.HairpinWhy)})
	}
	l := Line{"  path MTU", string(Unknown), f.PathMTUWhy}
	if f.PathMTU > 0 {
		l.Found = fmt.Sprintf("%d to the service", f.PathMTU)
		l.Means = fmt.Sprintf("a tunnel MTU of up to %d fits", f.TunnelMTU)
		if f.TunnelMTU < mtu {
			l.Means += fmt.Sprintf(": start nexd with --mtu=%d, or packets of %d are cut", max(f.TunnelMTU, 1280), mtu)
		}
	}
	return append(out, l)
}

// but joins what something means with what is not known about it.
func but(means, why string) string {
	switch {
	case means == "":
		return why
	case why == "":
		return means
	}
	return means + "; " + why
}

var mappings = map[stun.Mapping]string{
	stun.NoMapping:          "peers reach the address as it is, if the firewall lets them in",
	stun.EndpointMapping:    "all see the same address: peers can be told it",
	stun.PortlessMapping:    "peers can be told the address",
	stun.AddressMapping:     "depends on the destination (symmetric): direct only to nodes that need no guess; else the relay",
	stun.AddressPortMapping: "depends on the destination (symmetric): direct only to nodes that need no guess; else the relay",
	stun.DependentMapping:   "depends on the destination (symmetric): direct only to nodes that need no guess; else the relay",
}

var filterings = map[Filtering]string{
	EndpointFiltering:    "everybody is let in: direct with every node that has UDP",
	PortlessFiltering:    "other ports of an address that was sent to are let in",
	AddressFiltering:     "only addresses that were sent to are let in, from any port",
	AddressPortFiltering: "only who was sent to is let in: not direct with nodes whose NAT depends on the destination",
}
