package datapath

import (
	"net/netip"
	"time"

	"nexd/mesh"
	"nexd/relay"
	"nexd/tunnel"
	"nexd/tunnel/candidates"
	"nexd/tunnel/fit"
	"nexd/tunnel/reflexive"
	"nexd/tunnel/underlay"
)

// Mode is the mode as status names it.
func (d *Path) Mode() string { return d.choice.String() }

// TUN reports whether the node runs in TUN mode.
func (d *Path) TUN() bool { return d.choice.tun }

// Port is WireGuard's UDP port.
func (d *Path) Port() uint16 { return d.bind.LocalPort() }

// Mapped is what STUN showed of this node.
func (d *Path) Mapped() reflexive.Mapped { return d.bind.Mapped() }

// Candidates are the addresses at which this host's WireGuard socket may be reached, as far
// as the host itself knows, and those that are not offered. Addresses inside pools are not.
func (d *Path) Candidates(pools []netip.Prefix) ([]candidates.Candidate, error) {
	return candidates.Local(d.bind.LocalPort(), pools, d.guard.exclude)
}

// CandidatesOf are the addresses of a peer that may be a path, the most promising first.
func (d *Path) CandidatesOf(key mesh.Key) []underlay.Candidate { return d.bind.Candidates(key) }

// Stats counts what the underlay received, sent and refused.
func (d *Path) Stats() underlay.Stats { return d.bind.Stats() }

// Peers are WireGuard's peers by their keys.
func (d *Path) Peers() map[mesh.Key]tunnel.PeerStatus {
	out := map[mesh.Key]tunnel.PeerStatus{}
	peers, err := d.tunnel.Peers()
	if err != nil {
		d.log.Debug("peers not read", "err", err)
	}
	for _, p := range peers {
		out[p.Key] = p
	}
	return out
}

// PathTo says which way packets to a peer go; ok is false for a key that is no peer's.
func (d *Path) PathTo(key mesh.Key) (_ underlay.PathStatus, ok bool) { return d.bind.Path(key) }

// Filtered counts the packets from peers that the filter let in, and those that it dropped.
func (d *Path) Filtered() (passed, dropped uint64) { return d.filter.Stats() }

// Fitted counts the packets that had to be made to fit their paths.
func (d *Path) Fitted() fit.Stats { return d.fit.Stats() }

// Host describes the upper end of the data path.
func (d *Path) Host() HostStatus { return d.end.host() }

// RelayStatus says how the node stands with its relay.
type RelayStatus struct {
	URL       string        // of the relay; empty: not known yet
	Err       error         // why there is no connection; nil: there is one
	RTT       time.Duration // to the relay and back
	Datagrams bool          // data goes by UDP now, not by WebSocket
	UDP       bool          // datagrams arrive, or did since the node started
}

// Relay says how the node stands with its relay; ok is false if it can have none.
func (d *Path) Relay() (_ RelayStatus, ok bool) {
	if d.relay == nil {
		return RelayStatus{}, false
	}
	return d.relay.status(), true
}

// Relayed counts what the relay's client sent and received; ok is false without a relay.
func (d *Path) Relayed() (_ relay.Stats, ok bool) {
	if d.relay == nil {
		return relay.Stats{}, false
	}
	return d.relay.client.Stats(), true
}
