package mesh

import (
	"net/netip"
	"strings"
	"time"
)

// NodeID identifies a node for as long as the node exists. The service makes it.
type NodeID string

// OrgID identifies an organization. The service makes it.
type OrgID string

// NodeDomain is the domain of node names: "node1" and "node1.nexd.internal" are the same
// node.
const NodeDomain = "nexd.internal"

// DefaultMTU is the default MTU inside the mesh, in bytes: 1,500 less WireGuard's
// overhead over IPv6.
const DefaultMTU = 1420

// Node describes a node to the other nodes of its organization.
type Node struct {
	ID        NodeID           `json:"id"`
	Name      string           `json:"name"` // a DNS label, unique in the organization
	Key       Key              `json:"key"`
	Addresses []netip.Addr     `json:"addresses"` // the node's own mesh addresses, IPv4 first
	Prefixes  []netip.Prefix   `json:"prefixes"`  // the prefixes that the node advertises now
	Endpoints []netip.AddrPort `json:"endpoints"` // where its WireGuard socket may be reached
	NAT       NAT              `json:"nat,omitempty"`
	Online    bool             `json:"online"` // the node watches its network map
	LastSeen  time.Time        `json:"last_seen,omitzero"`
}

// NAT is how the NAT or firewall in front of a node maps its UDP socket (RFC 4787).
type NAT string

// The kinds of mapping. Any other text means NATUnknown.
const (
	NATUnknown     NAT = ""
	NATIndependent NAT = "independent" // one outside address for all destinations, or no NAT
	NATDependent   NAT = "dependent"   // a different outside address for each destination
	NATBlocked     NAT = "blocked"     // UDP does not pass
)

// Clean is n, or NATUnknown if this program does not know n.
func (n NAT) Clean() NAT {
	switch n {
	case NATIndependent, NATDependent, NATBlocked:
		return n
	}
	return NATUnknown
}

// Version orders the network maps of one organization. Rev rises with every change, in
// the same transaction. Epoch is random, and changes when the service's database is
// restored from a backup.
type Version struct {
	Epoch string `json:"epoch"`
	Rev   uint64 `json:"rev"`
}

// Replaces reports whether a map of version v replaces a map of version old: its epoch
// is another, or its revision is higher.
func (v Version) Replaces(old Version) bool { return v.Epoch != old.Epoch || v.Rev > old.Rev }

// NetworkMap is everything that a node needs to talk to the nodes of its organization.
// It is always complete, never a difference to the map before.
type NetworkMap struct {
	Version
	Organization string         `json:"organization"`
	Pools        []netip.Prefix `json:"pools"` // node addresses come from these
	Self         Node           `json:"self"`
	Peers        []Node         `json:"peers"` // sorted by name; Self is not among them
}

// LiveNode is the part of a Node that changes without a new network map.
type LiveNode struct {
	ID        NodeID           `json:"id"`
	Endpoints []netip.AddrPort `json:"endpoints"`
	NAT       NAT              `json:"nat,omitempty"`
	Online    bool             `json:"online"`
	LastSeen  time.Time        `json:"last_seen,omitzero"`
}

// NodeName is the node name that a user's spelling stands for: in lower case, without a
// trailing dot and without NodeDomain.
func NodeName(name string) string {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	return strings.TrimSuffix(name, "."+NodeDomain)
}

// Holding is a prefix that a node holds. A prefix is allocated to the node and stays so
// until it is released, whether the node advertises it or not.
type Holding struct {
	Prefix     netip.Prefix `json:"prefix"`
	Holder     NodeID       `json:"holder"`
	HolderName string       `json:"holder_name"`
	LastSeen   time.Time    `json:"last_seen,omitzero"` // of the holder
	Advertised bool         `json:"advertised"`
	Offline    bool         `json:"offline,omitempty"` // the holder is; only lists of prefixes say so
}

// State is advertised, offline (its holder advertises it, but is offline) or held.
func (h Holding) State() string {
	switch {
	case !h.Advertised:
		return "held"
	case h.Offline:
		return "offline"
	}
	return "advertised"
}
