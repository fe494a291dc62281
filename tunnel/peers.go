package tunnel

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"nexd/internal/lpm"
	"nexd/mesh"
)

// Peer is a node that may use the tunnel.
type Peer struct {
	Key        mesh.Key
	AllowedIPs []netip.Prefix // its source and destination addresses; SetPeers keeps the slice, so do not change it afterwards
	Keepalive  time.Duration  // 0 = no packets while idle; rounded up to seconds
}

// SetPeers replaces the whole set of peers. A kept peer keeps its session, and a kept
// prefix stays routed all the time. SetPeers refuses a set that contradicts itself or has
// this node's own key, as a whole and with an error of kind Invalid.
//
// The device gets a peer when the peer is first needed. It gets a peer at once that has a
// keepalive or a prefix inside another peer's prefix, so that the other peer may not send
// from the inner prefix.
func (t *Tunnel) SetPeers(peers []Peer) error {
	t.setting.Lock()
	defer t.setting.Unlock()
	if t.set && t.same(peers) {
		return nil
	}
	w, err := check(peers, t.key, *t.nodes.Load())
	if err != nil {
		return err
	}
	t.set = false
	left := t.adopt(w)
	for _, n := range left {
		// Outside mu: Stop waits for the peer's goroutines. One of them may be writing to a
		// device that waits for a reader, and the reader may be waiting for mu.
		if p := t.dev.LookupPeer(device.NoisePublicKey(n.key)); p != nil {
			p.Stop()
		}
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range left {
		t.dev.RemovePeer(device.NoisePublicKey(n.key))
		t.logs.forget(n.key)
	}
	t.owners.Store(w.owners)
	have, err := t.state()
	if err != nil {
		return err
	}
	if text := changes(have, w.nodes); text != "" {
		if err := t.dev.IpcSet(text); err != nil {
			return fmt.Errorf("tunnel: set %d peers: %w", len(peers), err)
		}
	}
	for _, n := range w.list {
		if (n.eager || t.peerBind == nil) && !t.wake(n) {
			return mesh.Errorf(mesh.Internal, "tunnel: peer %v cannot be made", n.key)
		}
	}
	t.set = true
	return nil
}

// same reports whether the peers equal the last set: mostly only endpoints change. The
// caller holds setting, so no spec changes.
func (t *Tunnel) same(peers []Peer) bool {
	nodes := *t.nodes.Load()
	if len(peers) != len(nodes) {
		return false
	}
	t.turn++
	for _, p := range peers {
		n := nodes[p.Key]
		if n == nil || n.turn == t.turn || p.Keepalive < 0 || n.keepalive != seconds(p.Keepalive) || !slices.Equal(n.allowed, p.AllowedIPs) {
			return false
		}
		n.turn = t.turn
	}
	return true
}

// seconds is a keepalive in the device's unit.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// adopt makes w the set. It returns the nodes that are in the device but no longer in the
// set.
func (t *Tunnel) adopt(w *wanted) (left []*node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, n := range *t.nodes.Load() {
		if w.nodes[key] == nil {
			if n.state.Swap(gone) == awake {
				left = append(left, n)
			}
			delete(t.woken, key)
		}
	}
	for i, n := range w.list {
		n.spec = w.specs[i]
	}
	t.nodes.Store(&w.nodes)
	return left
}

// spec is the wanted configuration of a peer.
type spec struct {
	allowed   []netip.Prefix
	keepalive int  // seconds
	eager     bool // the device has it all the time
}

// wanted is a checked set of peers.
type wanted struct {
	nodes  map[mesh.Key]*node
	list   []*node
	specs  []spec // in the order of list
	owners *lpm.Table[*node]
}

// check checks the peers and makes a set of them. It reuses the nodes of old without
// changing them.
func check(peers []Peer, self mesh.Key, old map[mesh.Key]*node) (*wanted, error) {
	w := &wanted{nodes: make(map[mesh.Key]*node, len(peers)), list: make([]*node, 0, len(peers)), specs: make([]spec, 0, len(peers))}
	entries := make([]lpm.Entry[int], 0, 3*len(peers))
	for i, p := range peers {
		switch {
		case p.Key.IsZero() || p.Key == self:
			return nil, mesh.Errorf(mesh.Invalid, "tunnel: peer %v cannot be a peer of this node", p.Key)
		case w.nodes[p.Key] != nil:
			return nil, mesh.Errorf(mesh.Invalid, "tunnel: peer %v is there twice", p.Key)
		case p.Keepalive < 0 || p.Keepalive > 65535*time.Second:
			return nil, mesh.Errorf(mesh.Invalid, "tunnel: peer %v: keepalive %v is not within 0 and 65535 s", p.Key, p.Keepalive)
		}
		allowed, err := masked(p)
		if err != nil {
			return nil, err
		}
		for _, prefix := range allowed {
			entries = append(entries, lpm.Entry[int]{Prefix: prefix, Value: i})
		}
		n := old[p.Key]
		if n == nil {
			n = &node{key: p.Key}
		}
		w.nodes[p.Key] = n
		w.list = append(w.list, n)
		w.specs = append(w.specs, spec{allowed, seconds(p.Keepalive), p.Keepalive > 0})
	}
	var err error
	lpm.Nested(entries, func(inner, outer int) {
		in, out := entries[inner], entries[outer]
		switch {
		case in.Value == out.Value:
		case in.Prefix == out.Prefix:
			err = mesh.Errorf(mesh.Invalid, "tunnel: prefix %v is given to peers %v and %v", in.Prefix, peers[out.Value].Key, peers[in.Value].Key)
		default:
			w.specs[in.Value].eager = true
		}
	})
	if err != nil {
		return nil, err
	}
	owned := make([]lpm.Entry[*node], len(entries))
	for i, e := range entries {
		owned[i] = lpm.Entry[*node]{Prefix: e.Prefix, Value: w.list[e.Value]}
	}
	w.owners = lpm.New(owned)
	return w, nil
}

// masked are a peer's prefixes in the form that the device reports; mostly its own slice.
func masked(p Peer) ([]netip.Prefix, error) {
	out := p.AllowedIPs
	for i, prefix := range p.AllowedIPs {
		if !prefix.IsValid() || prefix.Addr().Is4In6() || prefix.Addr().Zone() != "" {
			return nil, mesh.Errorf(mesh.Invalid, "tunnel: peer %v: prefix %v", p.Key, prefix)
		}
		if m := prefix.Masked(); m != prefix {
			if &out[0] == &p.AllowedIPs[0] {
				out = slices.Clone(out)
			}
			out[i] = m
		}
	}
	return out, nil
}

// changes is the configuration text that brings the device's peers up to date. It removes
// prefixes before it adds any, so that a prefix that moves to another peer stays there.
func changes(have map[mesh.Key]*peerState, wanted map[mesh.Key]*node) string {
	var text strings.Builder
	for key, h := range have {
		if w := wanted[key]; w != nil {
			section(&text, key, "allowed_ip=-", missing(h.allowed, w.allowed))
		}
	}
	for key, h := range have {
		if w := wanted[key]; w != nil {
			tell(&text, w, h)
		}
	}
	return text.String()
}

// creation is the configuration text that adds a peer to the device.
func creation(n *node) string {
	var text strings.Builder
	fmt.Fprintf(&text, "public_key=%s\nendpoint=%s\n", n.key.Hex(), n.key)
	tell(&text, n, &peerState{})
	return text.String()
}

// tell writes the configuration that h lacks.
func tell(text *strings.Builder, w *node, h *peerState) {
	section(text, w.key, "allowed_ip=", missing(w.allowed, h.allowed))
	if w.keepalive != h.keepalive {
		fmt.Fprintf(text, "public_key=%s\npersistent_keepalive_interval=%d\n", w.key.Hex(), w.keepalive)
	}
}

// missing are the prefixes in a that are not in b.
func missing(a, b []netip.Prefix) (out []netip.Prefix) {
	for _, p := range a {
		if !slices.Contains(b, p) {
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
