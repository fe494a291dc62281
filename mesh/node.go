package mesh

import (
	"net/netip"
	"strings"
	"time"
)

// NodeID names a node for good; the service makes it. OrgID names an
// organization.
type (
	NodeID string
	OrgID  string
)

// NodeDomain is the suffix under which node names resolve inside the mesh:
// "node1" and "node1.nexd.internal" are the same node.
const NodeDomain = "nexd.internal"

// DefaultMTU is the MTU inside the mesh unless another is given, in bytes: what fits
// into a network of 1500 with WireGuard's overhead over IPv6.
const DefaultMTU = 1420

// Node is what an organization knows of one of its nodes.
type Node struct {
	ID        NodeID           `json:"id"`
	Name      string           `json:"name"` // a DNS label, unique in the organization
	Key       Key              `json:"key"`
	Addresses []netip.Addr     `json:"addresses"` // the node's own mesh addresses, IPv4 first
	Prefixes  []netip.Prefix   `json:"prefixes"`  // advertised now; held ones that are not advertised are absent
	Endpoints []netip.AddrPort `json:"endpoints"` // where its WireGuard socket may be reached
	NAT       NAT              `json:"nat,omitempty"`
	Online    bool             `json:"online"` // its watch is open
	LastSeen  time.Time        `json:"last_seen,omitzero"`
}

// NAT is what a node has found out about the NAT or firewall in front of it, as far
// as it concerns its peers.
type NAT string

// The kinds. Any other word means NATUnknown.
const (
	NATUnknown     NAT = ""
	NATIndependent NAT = "independent" // the same address for all destinations, or no NAT
	NATDependent   NAT = "dependent"   // another address for every destination
	NATBlocked     NAT = "blocked"     // UDP does not pass
)

// Clean is n, or NATUnknown if n is no kind that this program knows.
func (n NAT) Clean() NAT {
	switch n {
	case NATIndependent, NATDependent, NATBlocked:
		return n
	}
	return NATUnknown
}

// Version orders the network maps of one organization. Rev rises with every
// change, in the transaction of the change; Epoch is random and new after the
// service's database was restored from a backup.
type Version struct {
	Epoch string `json:"epoch"`
	Rev   uint64 `json:"rev"`
}

// Replaces says whether a map of version v may take the place of one of version
// old: it comes from another epoch, or it is newer.
func (v Version) Replaces(old Version) bool { return v.Epoch != old.Epoch || v.Rev > old.Rev }

// NetworkMap is everything a node needs to talk to its organization: a complete
// snapshot, never a difference.
type NetworkMap struct {
	Version
	Organization string         `json:"organization"`
	Pools        []netip.Prefix `json:"pools"` // node addresses come from these
	Self         Node           `json:"self"`
	Peers        []Node         `json:"peers"` // sorted by name; Self is not among them
}

// LiveNode is what may change about a node without a new network map.
type LiveNode struct {
	ID        NodeID           `json:"id"`
	Endpoints []netip.AddrPort `json:"endpoints"`
	NAT       NAT              `json:"nat,omitempty"`
	Online    bool             `json:"online"`
	LastSeen  time.Time        `json:"last_seen,omitzero"`
}

// NodeName is the name that a user's spelling of it stands for: without case, a
// trailing dot and the NodeDomain suffix.
func NodeName(name string) string {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	return strings.TrimSuffix(name, "."+NodeDomain)
}

// Holding is a prefix that a node holds: allocated to it in its organization and
// kept until released, whether the node advertises it or not.
type Holding struct {
	Prefix     netip.Prefix `json:"prefix"`
	Holder     NodeID       `json:"holder"`
	HolderName string       `json:"holder_name"`
	LastSeen   time.Time    `json:"last_seen,omitzero"` // of the holder
	Advertised bool         `json:"advertised"`
}
