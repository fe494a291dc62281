package netcheck

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"nexd/control"
	"nexd/internal/stun"
	"nexd/mesh"
)

// Line is one finding for people: the subject, the result, and its consequence.
type Line struct{ What, Found, Means string }

// Lines returns the report as a table.
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
		out = append(out, Line{"running node", "seen at " + joined(n.Outside), choose(n.Mapping.Depends(), "other destinations see another port", "peers are told this address")})
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
			"pin": "its key matches the pin", "roots": "its certificate is signed by a trusted authority", "none": "plain HTTP: anybody on the path can read and change the traffic",
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
		out = append(out, Line{"", "instead: " + s.Found.Subject, "signed by " + s.Found.Issuer + "; a TLS-intercepting proxy, a login page of this network, or a new key of the service"})
	}
	if s.Proxy != "" {
		out = append(out, Line{"HTTP proxy", s.Proxy, "from the environment; HTTPS and the relay's WebSocket use it, UDP does not"})
	}
	if s.Loss != nil {
		out = append(out, Line{"  packets", "large ones are lost", s.Loss.text})
	}
	if s.Skew != nil {
		out = append(out, clock(*s.Skew))
	}
	return out
}

// clock describes the difference between the clocks. Tokens are valid for an hour, and this host's
// clock decides whether certificates are.
func clock(skew float64) Line {
	seconds := math.Abs(skew) / 1000
	l := Line{What: "clock", Found: fmt.Sprintf("%.1f s %s the service", seconds, choose(skew > 0, "behind", "ahead of")), Means: "fine"}
	switch {
	case seconds < 1:
		l.Found = "within 1 s of the service's clock"
	case seconds > 600:
		l.Means = "set it: certificates and relay tokens depend on it"
	case seconds > 60:
		l.Means = "works, but set it: log times do not match"
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
		l.Means = "nodes without a direct path use it, by WebSocket" + map[State]string{
			Passes: " and by UDP", Blocked: "; datagrams of 1,484 bytes do not arrive", Absent: "; it accepts no datagrams (nexservice serve --stun-listen)",
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
	out := []Line{{name, f.Local.String() + " appears as " + f.Mapped.String(), "behind a NAT"}}
	if f.Mapping == stun.NoMapping {
		out[0].Found, out[0].Means = f.Local.String()+" appears unchanged", "no NAT"
	}
	out = append(out,
		Line{"  mapping", string(f.Mapping), but(mappings[f.Mapping], f.MappingWhy)},
		Line{"  filtering", string(f.Filtering), but(filterings[f.Filtering], f.FilteringWhy)},
	)
	if f.Hairpin != Absent {
		out = append(out, Line{"  hairpin", string(f.Hairpin), but(map[State]string{
			Yes: "nodes behind this NAT reach each other by their public addresses too",
			No:  "nodes behind this NAT reach each other only by private addresses or the relay",
		}[f.Hairpin], f.HairpinWhy)})
	}
	l := Line{"  path MTU", string(Unknown), f.PathMTUWhy}
	if f.PathMTU > 0 {
		l.Found = fmt.Sprintf("%d to the service", f.PathMTU)
		l.Means = fmt.Sprintf("a tunnel MTU of up to %d fits", f.TunnelMTU)
		if f.TunnelMTU < mtu {
			l.Means += fmt.Sprintf("; nexd adapts to its peers' paths, but other WireGuard peers need --mtu=%d here", max(f.TunnelMTU, 1280))
		}
	}
	return append(out, l)
}

// but appends the reason why something is unknown to its consequence.
func but(means, why string) string {
	switch {
	case means == "":
		return why
	case why == "":
		return means
	}
	return means + "; " + why
}

// barriers end the verdict on a service that is not reached.
var barriers = map[Reason]string{
	control.BarrierDNS: ": its name cannot be resolved", control.BarrierRoute: ": this host has no route to it", control.BarrierRefused: ": nothing listens at its port",
	control.BarrierSilence: ": no packet comes back", control.BarrierCut: ": the connection is cut", control.BarrierMute: ": TLS gets no answer",
	control.BarrierLoss: ": packets are lost on the way", control.BarrierProxy: ": the HTTP proxy is away", control.BarrierProxyDenies: ": the HTTP proxy refuses to connect",
	control.BarrierProxyAuth: ": the HTTP proxy wants a password", control.BarrierClock: ": this host's clock is wrong", control.BarrierExpired: ": its certificate has expired",
	control.BarrierAuthority: ": nobody that this host trusts has signed its certificate", control.BarrierName: ": its certificate is for another name",
	control.BarrierCert: ": its certificate does not hold", control.BarrierPin: ": it has another key than the pinned one",
	control.BarrierCaptive: ": a login page is in the way", control.BarrierStranger: ": something else answers there", control.BarrierNoTLS: ": it does not speak TLS",
}

var mappings = map[stun.Mapping]string{
	stun.NoMapping:          "peers can use the address if the firewall admits them",
	stun.EndpointMapping:    "every destination sees the same address, which peers can use",
	stun.PortlessMapping:    "peers can use the address",
	stun.AddressMapping:     "symmetric: direct paths only to nodes that admit any port; otherwise the relay",
	stun.AddressPortMapping: "symmetric: direct paths only to nodes that admit any port; otherwise the relay",
	stun.DependentMapping:   "symmetric: direct paths only to nodes that admit any port; otherwise the relay",
}

var filterings = map[Filtering]string{
	EndpointFiltering:    "admits everybody: direct paths to every node that has UDP",
	PortlessFiltering:    "admits other ports of an address that the node sent to",
	AddressFiltering:     "admits only addresses that the node sent to, from any port",
	AddressPortFiltering: "admits only addresses and ports that the node sent to: no direct paths to nodes behind symmetric NATs",
}
