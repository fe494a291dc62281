package localapi

import (
	"context"
	"net/netip"
	"time"

	"nexd/mesh"
)

// Schema is the version of Status; it rises when a field changes its meaning or
// goes away, not when one is added.
const Schema = 1

// Agent is what a running node can do for its local commands.
type Agent interface {
	Status(ctx context.Context) Status
	Ping(ctx context.Context, req PingRequest) (PingReply, error)
	Forwards() []Forward
	AddForward(ctx context.Context, spec string) (Forward, error)
	RemoveForward(ctx context.Context, spec string) error
	Down()
}

// Status is the answer of `nexd status --json`: a contract with scripts.
type Status struct {
	Schema int    `json:"schema"`
	State  string `json:"state"` // joining, waiting for approval, running
	Trouble
	Mode         string       `json:"mode"`                // userspace, tun
	Interface    string       `json:"interface,omitempty"` // in TUN mode
	Version      string       `json:"version,omitempty"`
	Node         Node         `json:"node"`
	Organization string       `json:"organization"`
	Service      Service      `json:"service"`
	Proxies      []string     `json:"proxies"`
	Peers        []Peer       `json:"peers"`
	Forwards     []Forward    `json:"forwards"`
	Forwarding   []Forwarding `json:"forwarding,omitempty"` // this node's prefixes on the host, in TUN mode
	Skipped      []Skipped    `json:"skipped,omitempty"`    // what is not routed here, in TUN mode
	Approval     *Approval    `json:"approval,omitempty"`   // while waiting for approval
	Relay        *Relay       `json:"relay,omitempty"`      // nil with a static map
	Outside      *Outside     `json:"outside,omitempty"`    // nil until STUN has answered
	Candidates   []Candidate  `json:"candidates,omitempty"` // addresses of this node
	Dropped      Dropped      `json:"dropped"`
	Counters     Counters     `json:"counters"`
}

// Trouble is the part of Status about what does not work now.
type Trouble struct {
	Health   []string       `json:"health,omitempty"` // Problems in words, without the times
	Problems []mesh.Problem `json:"problems,omitempty"`
}

// Dropped counts what came to this node and was refused since it started, by
// reason. Nothing of it was answered or had an effect.
type Dropped struct {
	Malformed       uint64 `json:"malformed"`           // nothing that is known, or of a wrong size
	Handshakes      uint64 `json:"handshakes"`          // forged, or of somebody who is no peer
	Copies          uint64 `json:"copies"`              // handshakes that came before, such as by another address of the peer
	Replayed        uint64 `json:"handshakes_replayed"` // not later than another of the same peer
	UnknownSessions uint64 `json:"unknown_sessions"`    // data of no session of this process
	ProbesForged    uint64 `json:"probes_forged"`
	ProbesReplayed  uint64 `json:"probes_replayed"`
	ProbesLimited   uint64 `json:"probes_limited"` // more than one peer may send
	RelayFull       uint64 `json:"relay_full"`     // came by the relay faster than they could be opened
}

// Relay says how the node stands with its relay.
type Relay struct {
	URL       string  `json:"url,omitempty"` // empty = not known yet
	Connected bool    `json:"connected"`
	Carrier   string  `json:"carrier,omitempty"` // of data now: udp, websocket
	Why       string  `json:"why,omitempty"`     // it is not
	RTT       float64 `json:"rtt_ms,omitempty"`
	UDP       bool    `json:"udp"` // its datagrams arrive, or did since the node started
}

// Outside is where the service's STUN server sees this node's UDP socket.
type Outside struct {
	Addresses []netip.AddrPort `json:"addresses"`
	Depends   bool             `json:"depends"` // on the destination: peers cannot use these addresses
	Mapping   string           `json:"mapping"` // of the NAT, as in docs/netcheck.md; empty = unknown
}

// Approval is what a person needs to let a waiting node in.
type Approval struct {
	Link        string    `json:"link"` // page with the code filled in
	Code        string    `json:"code"`
	Fingerprint string    `json:"fingerprint"` // of the node's key
	Expires     time.Time `json:"expires"`
}

// Skipped is a prefix of the mesh that this host does not route into it, because
// it has that prefix, or a part of it, otherwise.
type Skipped struct {
	Prefix netip.Prefix `json:"prefix"`
	Why    string       `json:"why"`
}

// Forwarding is a prefix of this node and how the host forwards to it.
type Forwarding struct {
	Prefix    netip.Prefix `json:"prefix"`              // as the mesh knows it
	Local     netip.Prefix `json:"local"`               // as this host knows it
	Interface string       `json:"interface,omitempty"` // which lead there, joined by commas
	SNAT      bool         `json:"snat"`                // callers' addresses are hidden
	Why       string       `json:"why,omitempty"`       // SNAT is as it is
	Problem   string       `json:"problem,omitempty"`   // why it does not work now
}

// StateWaiting is the State of a node that waits for a person to let it in.
const StateWaiting = "waiting for approval"

// Node is this node in its Status.
type Node struct {
	ID        mesh.NodeID    `json:"id"`
	Name      string         `json:"name"`
	Key       string         `json:"key"`
	Addresses []netip.Addr   `json:"addresses"`
	Prefixes  []netip.Prefix `json:"prefixes"`
	Port      uint16         `json:"port"`
	NAT       mesh.NAT       `json:"nat,omitempty"` // independent, dependent (on the destination), blocked (no UDP)
}

// Service says how the agent stands with its service.
type Service struct {
	URL       string    `json:"url"`
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since,omitzero"` // of Connected's last change
	Error     string    `json:"error,omitempty"`
	Epoch     string    `json:"epoch"`
	Revision  uint64    `json:"revision"`
}

// Peer is one other node in a Status.
type Peer struct {
	ID            mesh.NodeID    `json:"id"`
	Name          string         `json:"name"`
	Addresses     []netip.Addr   `json:"addresses"`
	Prefixes      []netip.Prefix `json:"prefixes"`
	Online        bool           `json:"online"`             // connected to the service
	LastSeen      time.Time      `json:"last_seen,omitzero"` // by the service
	Path          string         `json:"path"`               // direct, relay, none; idle: nothing moved lately, so WireGuard holds nothing for it
	Why           string         `json:"why,omitempty"`      // this path and no other
	Reason        string         `json:"reason,omitempty"`   // of relay, where what is in front of the nodes explains it: a Reason
	NAT           mesh.NAT       `json:"nat,omitempty"`      // what the node says of its own; as in Node
	Endpoint      string         `json:"endpoint,omitempty"`
	RTT           float64        `json:"rtt_ms,omitempty"`
	Largest       int            `json:"largest_packet,omitempty"` // in bytes, if the path carries less than the MTU
	Limited       time.Time      `json:"limited_since,omitzero"`   // data does not pass as it should, as Why says
	LastHandshake time.Time      `json:"last_handshake,omitzero"`
	RxBytes       uint64         `json:"rx_bytes"`
	TxBytes       uint64         `json:"tx_bytes"`
	Candidates    []Candidate    `json:"candidates,omitempty"` // addresses of the node, unless the path is idle
}

// Candidate is an address at which a node may be reached.
type Candidate struct {
	Addr  netip.AddrPort `json:"address"`
	From  string         `json:"from,omitempty"` // of this node: named, STUN, or the interface
	State string         `json:"state"`          // of this node: offered, refused; of a peer: used, answers, silent, swallows (answers probes, loses data), not tried, refused
	RTT   float64        `json:"rtt_ms,omitempty"`
	Since time.Time      `json:"since,omitzero"` // of a peer: its last answer; while silent or swallows, the first probe or data that was lost
	Why   string         `json:"why,omitempty"`  // it is refused, or not used
}

// Reasons why packets to a peer go through the relay.
const (
	ReasonBothNATsDepend = "both-nats-depend"
	ReasonOwnNATDepends  = "own-nat-depends"
	ReasonPeerNATDepends = "peer-nat-depends"
	ReasonOwnUDPBlocked  = "own-udp-blocked"
	ReasonPeerUDPBlocked = "peer-udp-blocked"
)

// Forward is one -L or -R rule and how it fares.
type Forward struct {
	Spec     string    `json:"spec"` // as typed, with its flag: "-L 8080:node1:80"
	Listen   string    `json:"listen,omitempty"`
	Active   int       `json:"active"`
	Total    uint64    `json:"total"`
	Refused  uint64    `json:"refused,omitempty"` // turned away at the rule's limit
	Sent     int64     `json:"sent_bytes"`        // to the target
	Received int64     `json:"received_bytes"`
	Down     []string  `json:"down,omitempty"`  // targets that are left out for now
	Kept     bool      `json:"kept,omitempty"`  // added live; comes back after a restart
	Error    string    `json:"error,omitempty"` // the last one
	ErrorAt  time.Time `json:"error_at,omitzero"`
}

// PingRequest asks for one echo through the mesh.
type PingRequest struct {
	Target  string        `json:"target"` // address or node name
	Size    int           `json:"size"`   // bytes of payload
	Timeout time.Duration `json:"timeout"`
}

// PingReply is an echo that was answered by the target itself.
type PingReply struct {
	Address netip.Addr    `json:"address"`
	RTT     time.Duration `json:"rtt"`
	Path    string        `json:"path"`
	Why     string        `json:"why,omitempty"` // this path
}
