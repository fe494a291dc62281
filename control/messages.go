package control

import (
	"net/netip"
	"time"

	"nexd/mesh"
)

// Paths of the calls, under the service's base URL.
const (
	PathChallenge = "/v1/challenge"
	PathRegister  = "/v1/register"
	PathSession   = "/v1/session"
	PathWatch     = "/v1/watch"
	PathPrefixes  = "/v1/node/prefixes"
	PathEndpoints = "/v1/node/endpoints"
	PathNode      = "/v1/node"
	PathHealth    = "/v1/health"
)

// Headers that carry the answer to a challenge.
const (
	HeaderChallenge = "Nexd-Challenge"
	HeaderProof     = "Nexd-Proof"
)

// Content types of answers.
const (
	TypeJSON    = "application/json"
	TypeProblem = "application/problem+json"
	TypeStream  = "application/x-ndjson"
)

// Limits for both sides.
const (
	MaxRequest   = 1 << 20  // bytes of a request's body
	MaxAnswer    = 4 << 20  // bytes of an answer that is not a stream
	MaxLine      = 64 << 20 // bytes of one line of the watch stream
	MaxHeader    = 16 << 10 // bytes of a request's headers
	MaxEndpoints = 16       // endpoints of a node
	MaxPrefixes  = 256      // prefixes a node advertises
	MaxHostname  = 253      // bytes
	MaxWord      = 64       // bytes of os and version
)

// KeepaliveEvery is the maximum time between two lines of the watch stream. SilenceLimit is
// the time after which the agent closes a silent stream.
const (
	KeepaliveEvery = 25 * time.Second
	SilenceLimit   = 65 * time.Second
	SessionLife    = 24 * time.Hour
)

// ChallengeRequest asks for a challenge for a node key.
type ChallengeRequest struct {
	PublicKey mesh.Key `json:"public_key"`
}

// Challenge is the challenge that the node answers with a Proof.
type Challenge struct {
	Nonce      Nonce     `json:"challenge"`
	ServiceKey mesh.Key  `json:"service_key"`
	Expires    time.Time `json:"expires"`
}

// Registration describes a node that joins or reconnects.
type Registration struct {
	PublicKey  mesh.Key         `json:"public_key"`           // set by Client
	ServerPin  Pin              `json:"server_pin,omitzero"`  // set by Client
	RegKey     string           `json:"reg_key,omitempty"`    // RegKey.Secret, for a node not yet known
	Approval   string           `json:"approval,omitempty"`   // DeviceLogin.DeviceCode, approved; instead of RegKey
	Hostname   string           `json:"hostname,omitempty"`   // becomes the node's name
	OS         string           `json:"os,omitempty"`         // runtime.GOOS
	Version    string           `json:"version,omitempty"`    // of nexd
	Prefixes   []netip.Prefix   `json:"prefixes"`             // the whole set to advertise
	ListenPort uint16           `json:"listen_port,omitzero"` // UDP; 0: the service adds no observed endpoint
	Endpoints  []netip.AddrPort `json:"endpoints"`            // as in EndpointUpdate
	NAT        mesh.NAT         `json:"nat,omitempty"`        // the same
}

// Session is a node's session.
type Session struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

// Registered is the answer to a Registration.
type Registered struct {
	Node         mesh.Node    `json:"node"`
	Organization string       `json:"organization"`
	Created      bool         `json:"created"` // false: the key was known
	Session      Session      `json:"session"`
	Version      mesh.Version `json:"version"`
}

// SessionRequest asks for another session of a known node.
type SessionRequest struct {
	PublicKey mesh.Key `json:"public_key"`
	ServerPin Pin      `json:"server_pin,omitzero"`
}

// SessionAnswer is the answer to a SessionRequest.
type SessionAnswer struct {
	Session Session `json:"session"`
}

// PrefixUpdate is the complete set of prefixes that a node advertises.
type PrefixUpdate struct {
	Prefixes []netip.Prefix `json:"prefixes"`
}

// PrefixAnswer is the advertised prefixes and the version of the map that has them.
type PrefixAnswer struct {
	Version  mesh.Version   `json:"version"`
	Prefixes []netip.Prefix `json:"prefixes"`
}

// EndpointUpdate is the complete set of addresses of a node's WireGuard socket, and the kind
// of its NAT. The service adds the source address of the connection, with ListenPort.
type EndpointUpdate struct {
	ListenPort uint16           `json:"listen_port,omitzero"`
	Endpoints  []netip.AddrPort `json:"endpoints"`
	NAT        mesh.NAT         `json:"nat,omitempty"`
}

// EndpointAnswer is the set that peers receive.
type EndpointAnswer struct {
	Endpoints []netip.AddrPort `json:"endpoints"`
}

// Health is the answer of a working service.
type Health struct {
	Status string    `json:"status"`
	Time   time.Time `json:"time,omitzero"`   // of the service's clock
	STUN   []string  `json:"stun,omitempty"`  // as in RelayToken
	Relay  bool      `json:"relay,omitempty"` // it has a relay
}

// CheckEndpoints refuses endpoints that no peer should send to.
func CheckEndpoints(eps []netip.AddrPort) error {
	if len(eps) > MaxEndpoints {
		return mesh.Errorf(mesh.Invalid, "control: %d endpoints are too many; at most %d are allowed", len(eps), MaxEndpoints)
	}
	for _, ep := range eps {
		if why := badEndpoint(ep); why != "" {
			return mesh.Errorf(mesh.Invalid, "control: endpoint %v %s", ep, why)
		}
	}
	return nil
}

func badEndpoint(ep netip.AddrPort) string {
	a := ep.Addr()
	switch {
	case !a.IsValid():
		return "has no address"
	case ep.Port() == 0:
		return "has port 0"
	case a.Zone() != "":
		return "has a zone"
	case a.Is4In6():
		return "is IPv4-mapped; write it as IPv4"
	case a.IsUnspecified():
		return "is the unspecified address"
	case a.IsMulticast():
		return "is a multicast address"
	case a.Is4() && a.As4()[0] >= 240, a.Is4() && a.As4()[0] == 0:
		return "is a reserved or broadcast address"
	}
	return ""
}
