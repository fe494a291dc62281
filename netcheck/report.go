package netcheck

import (
	"net/netip"

	"nexd/internal/stun"
)

// Schema is the version of Report. It rises when a field changes its meaning or is removed, not
// when one is added.
const Schema = 1

// State is the result of one measurement.
type State string

// The states. The comment of each field lists those that it can have.
const (
	Unknown State = "unknown"
	Passes  State = "passes"
	Blocked State = "blocked"
	Absent  State = "absent" // there is no such thing here
	Yes     State = "yes"
	No      State = "no"
)

// Filtering is whose packets a NAT or firewall admits to a port that has sent something: RFC 4787,
// section 5.
type Filtering string

// The kinds of filtering. PortlessFiltering stands for two of them when there is no second address
// to tell them apart.
const (
	FilteringUnknown     Filtering = "unknown"
	EndpointFiltering    Filtering = "endpoint-independent"       // anybody
	PortlessFiltering    Filtering = "not-port-dependent"         // any port of an address that was sent to; other addresses are not known
	AddressFiltering     Filtering = "address-dependent"          // an address that was sent to, from any port
	AddressPortFiltering Filtering = "address-and-port-dependent" // an address and port that was sent to
)

// Report is the output of `nexd netcheck --json`: a contract with scripts (docs/netcheck.md). Times
// are in milliseconds. What was not measured is absent.
type Report struct {
	Schema  int     `json:"schema"`
	Works   bool    `json:"works"`   // a mesh can work here, directly or by the relay
	Verdict string  `json:"verdict"` // one line for people
	Service Service `json:"service"`
	Relay   Relay   `json:"relay"`
	UDP     State   `json:"udp"` // Passes, Blocked, Unknown
	UDPWhy  string  `json:"udp_why,omitempty"`
	IPv4    Family  `json:"ipv4"`
	IPv6    Family  `json:"ipv6"`
	Node    *Node   `json:"node,omitempty"` // what the running node knows of itself
	Took    float64 `json:"took_ms"`
}

// Service is the result of HTTPS requests to the service.
type Service struct {
	URL       string       `json:"url"`
	Reachable bool         `json:"reachable"`
	Error     string       `json:"error,omitempty"`
	Trust     string       `json:"trust"`           // pin, roots, none (plain HTTP)
	Proxy     string       `json:"proxy,omitempty"` // the HTTP proxy from the environment
	Found     *Certificate `json:"found,omitempty"` // the certificate that was presented instead of the service's
	DNS       float64      `json:"dns_ms,omitempty"`
	Connect   float64      `json:"connect_ms,omitempty"`
	TLS       float64      `json:"tls_ms,omitempty"`
	RTT       float64      `json:"rtt_ms,omitempty"`        // of a request on an open connection
	Skew      *float64     `json:"clock_skew_ms,omitempty"` // service's clock minus this host's
	Loss      *Loss        `json:"loss,omitempty"`          // of large packets on the way to the service
	Reason    Reason       `json:"reason,omitempty"`        // why it is not reachable: a Barrier… of package control

}

// Reason names what stops a join, for programs.
type Reason = string

// Loss is what is lost in silence on the way to the service, and what nexd uses instead.
type Loss struct {
	Size int  `json:"size,omitempty"` // bytes of an IP packet that is lost; 0 = not known
	Fits int  `json:"fits"`           // bytes of an IP packet that passes
	IPv6 bool `json:"ipv6,omitempty"` // IPv6 carries nothing; IPv4 is used

	text string
}

// Certificate is a certificate that failed the check.
type Certificate struct {
	Subject string `json:"subject"`
	Issuer  string `json:"issuer"`
	Pin     string `json:"pin"`
}

// The states of the connection to the relay.
const (
	RelayConnected = "connected"
	RelayFailed    = "failed"
	RelayAbsent    = "absent"    // the service has none
	RelayNotAsked  = "not-asked" // only nodes of the service are admitted
)

// Relay is the result of a connection to the relay, or the relay's state in the running node.
type Relay struct {
	State   string  `json:"state"`
	Why     string  `json:"why,omitempty"`
	Connect float64 `json:"connect_ms,omitempty"`
	RTT     float64 `json:"rtt_ms,omitempty"` // of its ping; for RelayNotAsked that of the service
	UDP     State   `json:"udp"`              // whether its datagrams arrive: Passes, Blocked, Absent, Unknown
}

// Family is the result for UDP of one address family.
type Family struct {
	UDP          State          `json:"udp"` // Passes, Blocked, Absent (no route from this host), Unknown
	Why          string         `json:"why,omitempty"`
	Local        netip.AddrPort `json:"local,omitzero"`
	Mapped       netip.AddrPort `json:"mapped,omitzero"` // where a server saw it
	RTT          float64        `json:"rtt_ms,omitempty"`
	Mapping      stun.Mapping   `json:"mapping"` // "unknown" instead of ""
	MappingWhy   string         `json:"mapping_why,omitempty"`
	Filtering    Filtering      `json:"filtering"`
	FilteringWhy string         `json:"filtering_why,omitempty"`
	Hairpin      State          `json:"hairpin"` // Yes, No, Absent (no NAT), Unknown
	HairpinWhy   string         `json:"hairpin_why,omitempty"`
	PathMTU      int            `json:"path_mtu,omitempty"` // to the service, in bytes of an IP packet; MaxMTU at most
	PathMTUWhy   string         `json:"path_mtu_why,omitempty"`
	TunnelMTU    int            `json:"tunnel_mtu,omitempty"` // the MTU inside WireGuard on that path
}

// Node is what the running node of this host reports of its own socket.
type Node struct {
	Outside []netip.AddrPort `json:"outside"`
	Mapping stun.Mapping     `json:"mapping"`
}

// unknownMapping is how a Report writes stun.MappingUnknown.
const unknownMapping stun.Mapping = "unknown"

func newFamily() Family {
	return Family{UDP: Unknown, Mapping: unknownMapping, Filtering: FilteringUnknown, Hairpin: Unknown}
}

// assess fills in the verdict.
func (r *Report) assess() {
	r.UDP, r.UDPWhy = r.udp()
	switch {
	case !r.Service.Reachable:
		r.Verdict = "no mesh here: the service cannot be reached, so no node can join" + barriers[r.Service.Reason]
	case r.Relay.State == RelayConnected, r.Relay.State == RelayNotAsked:
		r.Works = true
		r.Verdict = "a mesh works here: direct paths where both sides allow them, otherwise the relay"
		if r.UDP == Blocked {
			r.Verdict = "a mesh works here, through the relay only: UDP does not pass"
		}
	case r.UDP == Passes:
		r.Works = true
		r.Verdict = "a mesh works here between nodes that reach each other directly: there is no relay"
	case r.UDP == Unknown && r.Relay.State == RelayAbsent:
		r.Works = true
		r.Verdict = "a mesh may work here between nodes that reach each other directly: there is no relay, and no STUN to try UDP with"
	case r.Relay.State == RelayAbsent:
		r.Verdict = "no mesh here: UDP does not pass, and the service has no relay"
	default:
		r.Verdict = "no mesh here: the relay cannot be used, and UDP does not pass or could not be tried"
	}
}

// udp combines the results of both address families.
func (r *Report) udp() (State, string) {
	states := map[State]bool{r.IPv4.UDP: true, r.IPv6.UDP: true}
	switch {
	case states[Passes]:
		return Passes, ""
	case states[Blocked]:
		return Blocked, "no STUN server of the service answered"
	case r.UDPWhy != "":
		return Unknown, r.UDPWhy
	}
	return Unknown, r.IPv4.Why
}
