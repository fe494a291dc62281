package tunnel

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"nexd/mesh"
)

// Peer is a node that may use the tunnel.
type Peer struct {
	Key        mesh.Key
	AllowedIPs []netip.Prefix // what it may send from, and what is sent to it
	Keepalive  time.Duration  // 0 = silence while idle; rounded up to seconds
}

// SetPeers replaces the whole set of peers. Kept peers keep their sessions, and
// kept prefixes are never gone in between. A set that contradicts itself, or holds
// this node's own key, is refused as a whole with an error of kind Invalid.
func (t *Tunnel) SetPeers(peers []Peer) error {
	wanted, err := check(peers, t.key)
	if err != nil {
		return err
	}
	have, err := t.state()
	if err != nil {
		return err
	}
	t.logs.setPeers(wanted)
	text := changes(have, wanted)
	if text == "" {
		return nil
	}
	if err := t.dev.IpcSet(text); err != nil {
		return fmt.Errorf("tunnel: set %d peers: %w", len(peers), err)
	}
	return nil
}

// check makes the peers a set, in the form the device reports them.
func check(peers []Peer, self mesh.Key) (map[mesh.Key]*peerState, error) {
	wanted := make(map[mesh.Key]*peerState, len(peers))
	holders := map[netip.Prefix]mesh.Key{}
	for _, p := range peers {
		switch {
		case p.Key.IsZero() || p.Key == self:
			return nil, mesh.Errorf(mesh.Invalid, "tunnel: peer %v cannot be a peer of this node", p.Key)
		case wanted[p.Key] != nil:
			return nil, mesh.Errorf(mesh.Invalid, "tunnel: peer %v is there twice", p.Key)
		case p.Keepalive < 0 || p.Keepalive > 65535*time.Second:
			return nil, mesh.Errorf(mesh.Invalid, "tunnel: peer %v: keepalive %v is not within 0 and 65535 s", p.Key, p.Keepalive)
		}
		w := &peerState{
			status:    PeerStatus{Key: p.Key},
			allowed:   make(map[netip.Prefix]bool, len(p.AllowedIPs)),
			keepalive: int((p.Keepalive + time.Second - 1) / time.Second),
		}
		for _, prefix := range p.AllowedIPs {
			if !prefix.IsValid() || prefix.Addr().Is4In6() || prefix.Addr().Zone() != "" {
				return nil, mesh.Errorf(mesh.Invalid, "tunnel: peer %v: prefix %v", p.Key, prefix)
			}
			prefix = prefix.Masked()
			if holder, taken := holders[prefix]; taken && holder != p.Key {
				return nil, mesh.Errorf(mesh.Invalid, "tunnel: prefix %v is given to peers %v and %v", prefix, holder, p.Key)
			}
			holders[prefix] = p.Key
			w.allowed[prefix] = true
		}
		wanted[p.Key] = w
	}
	return wanted, nil
}

// changes is what to tell the device. First peers and prefixes go, then prefixes
// come: one that moves from a peer to another is not taken from its new holder.
func changes(have, wanted map[mesh.Key]*peerState) string {
	var text strings.Builder
	for key, h := range have {
		w := wanted[key]
		if w == nil {
			fmt.Fprintf(&text, "public_key=%s\nremove=true\n", key.Hex())
			continue
		}
		section(&text, key, "allowed_ip=-", missing(h.allowed, w.allowed))
	}
	for key, w := range wanted {
		h := have[key]
		if h == nil {
			h = &peerState{}
			fmt.Fprintf(&text, "public_key=%s\nendpoint=%s\n", key.Hex(), key)
		}
		section(&text, key, "allowed_ip=", missing(w.allowed, h.allowed))
		if w.keepalive != h.keepalive {
			fmt.Fprintf(&text, "public_key=%s\npersistent_keepalive_interval=%d\n", key.Hex(), w.keepalive)
		}
	}
	return text.String()
}

// missing are the prefixes of a that b lacks.
func missing(a, b map[netip.Prefix]bool) (out []netip.Prefix) {
	for p := range a {
		if !b[p] {
			out = append(out, p)
		}
	}
	return out
}

func section(text *strings.Builder, key mesh.Key, word string, prefixes []netip.Prefix) {
	if len(prefixes) == 0 {
		return
	}
	fmt.Fprintf(text, "public_key=%s\n", key.Hex())
	for _, p := range prefixes {
		fmt.Fprintf(text, "%s%v\n", word, p)
	}
}
