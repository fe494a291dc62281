package tunnel

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"nexd/mesh"
)

// peerState is the device's state of a peer.
type peerState struct {
	status    PeerStatus
	allowed   []netip.Prefix
	keepalive int // seconds
}

// parseState parses the answer to WireGuard's "get". It skips the device's own lines, the
// private key among them, which come before the first peer.
func parseState(text string) (map[mesh.Key]*peerState, error) {
	peers := map[mesh.Key]*peerState{}
	var p *peerState
	var sec, nsec int64
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if name == "public_key" {
			raw, err := hex.DecodeString(value)
			if err != nil || len(raw) != mesh.KeySize {
				return nil, fmt.Errorf("public key %q", value)
			}
			p = &peerState{status: PeerStatus{Key: mesh.Key(raw)}}
			peers[p.status.Key] = p
			continue
		}
		if p == nil {
			continue
		}
		var err error
		switch name {
		case "rx_bytes":
			p.status.Rx, err = strconv.ParseUint(value, 10, 64)
		case "tx_bytes":
			p.status.Tx, err = strconv.ParseUint(value, 10, 64)
		case "last_handshake_time_sec":
			sec, err = strconv.ParseInt(value, 10, 64)
		case "last_handshake_time_nsec": // the line after the seconds
			if nsec, err = strconv.ParseInt(value, 10, 64); sec != 0 || nsec != 0 {
				p.status.LastHandshake = time.Unix(sec, nsec)
			}
		case "persistent_keepalive_interval":
			p.keepalive, err = strconv.Atoi(value)
		case "allowed_ip":
			var prefix netip.Prefix
			if prefix, err = netip.ParsePrefix(value); err == nil {
				p.allowed = append(p.allowed, prefix)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", strings.TrimSpace(line), err)
		}
	}
	return peers, nil
}
