package agent

import (
	"context"
	"net/netip"
	"time"

	"nexd/agent/localapi"
	"nexd/control"
	"nexd/mesh"
	"nexd/netmap"
	"nexd/tunnel"
	"nexd/tunnel/underlay"
)

// maxPing is the most payload, in bytes, that one echo carries.
const maxPing = 1200

// Status implements localapi.Agent.
func (n *node) Status(context.Context) localapi.Status {
	s := localapi.Status{
		Schema: localapi.Schema, State: "joining", Mode: n.mode, Version: n.cfg.Version,
		Proxies: append([]string{}, n.proxyAddrs()...), Peers: []localapi.Peer{}, Forwards: n.Forwards(),
		Node: localapi.Node{
			Key: n.state.key.Public().String(), Port: n.path.bind.LocalPort(),
			Addresses: []netip.Addr{}, Prefixes: []netip.Prefix{},
		},
		Dropped: dropped(n.path.bind.Stats()),
	}
	if n.link != nil {
		on, since, err := n.link.state()
		s.Service = localapi.Service{URL: n.link.url, Connected: on, Since: since}
		if a := n.member.asks.waiting(); a != nil {
			s.State, err = localapi.StateWaiting, nil // the service does answer
			s.Approval = &localapi.Approval{Link: a.Link, Code: a.Code, Fingerprint: a.Fingerprint, Expires: a.Expires}
		}
		if err != nil {
			s.Service.Error = err.Error()
			s.Health = append(s.Health, unserved(err))
		}
	}
	v := n.view.Load()
	if v.Empty() {
		return s
	}
	s.State, s.Organization = "running", v.Organization
	for _, l := range v.Rejected {
		s.Health = append(s.Health, "the network map is used without this part: "+l)
	}
	s.Service.Epoch, s.Service.Revision = v.Epoch, v.Rev
	s.Node.ID, s.Node.Name = v.Self.ID, v.Self.Name
	s.Node.Addresses = append(s.Node.Addresses, v.Self.Addresses...)
	s.Node.Prefixes = append(s.Node.Prefixes, v.Self.Prefixes...)
	mapped := n.path.bind.Mapped()
	s.Node.NAT = natOf(mapped)
	s.Peers = n.peers(v, s.Node.NAT)
	if n.relay != nil {
		rtt, err := n.relay.state()
		s.Relay = &localapi.Relay{Connected: err == nil, RTT: float64(rtt) / float64(time.Millisecond), UDP: err == nil && n.relay.client.Stats().Datagrams > 0}
		if err != nil {
			s.Relay.Why = err.Error()
		} else {
			s.Relay.Carrier = n.relay.carrier()
		}
	}
	if mapped.Answered > 0 {
		s.Outside = &localapi.Outside{Addresses: mapped.Addrs, Depends: mapped.Mapping.Depends(), Mapping: string(mapped.Mapping)}
	}
	if s.Node.NAT == mesh.NATBlocked {
		s.Health = append(s.Health, "UDP does not pass: none of the service's STUN servers answers (nexd netcheck says more)")
	}
	if k, ok := n.path.end.(*kernel); ok {
		s.Interface = k.dev.Name()
		for _, f := range k.gate.Status() {
			s.Forwarding = append(s.Forwarding, localapi.Forwarding(f))
		}
		for _, sk := range k.dev.Skipped() {
			s.Skipped = append(s.Skipped, localapi.Skipped{Prefix: sk.Prefix, Why: sk.Why})
		}
	}
	return s
}

func dropped(s underlay.Stats) localapi.Dropped {
	return localapi.Dropped{
		Malformed: s.Malformed, Handshakes: s.BadMAC + s.BadInitiation + s.UnknownKey, Copies: s.Copies, Replayed: s.Replayed, UnknownSessions: s.UnknownIndex,
		ProbesForged: s.ProbesForged, ProbesReplayed: s.ProbesReplayed, ProbesLimited: s.ProbesLimited, RelayFull: s.RelayFull,
	}
}

// peers joins what the map, WireGuard and the underlay know of each peer; self is what
// is in front of this node.
func (n *node) peers(v *netmap.View, self mesh.NAT) []localapi.Peer {
	seen := map[mesh.Key]tunnel.PeerStatus{}
	if ps, err := n.path.tunnel.Peers(); err == nil {
		for _, p := range ps {
			seen[p.Key] = p
		}
	}
	out := make([]localapi.Peer, 0, len(v.Peers))
	for _, p := range v.Peers {
		t, known := seen[p.Key]
		l := localapi.Peer{
			ID: p.ID, Name: p.Name, Online: p.Online, LastSeen: p.LastSeen, Path: "idle", NAT: p.NAT,
			Addresses: append([]netip.Addr{}, p.Addresses...), Prefixes: append([]netip.Prefix{}, p.Prefixes...),
			LastHandshake: t.LastHandshake, RxBytes: t.Rx, TxBytes: t.Tx,
		}
		if path, ok := n.path.bind.Path(p.Key); ok && known && !t.Asleep {
			if l.Path, l.Why = wayOf(path); l.Path == "relay" {
				l.Reason, l.Why = whyRelay(self, p.NAT, p.Name, l.Why)
			}
			if l.Path != "none" {
				l.RTT = float64(path.RTT) / float64(time.Millisecond)
			}
			if l.Path == "direct" {
				l.Endpoint = path.Addr.String()
			}
		}
		out = append(out, l)
	}
	return out
}

// wayOf is a path in words of status: which, and why.
func wayOf(p underlay.PathStatus) (way, why string) {
	direct := p.Addr.IsValid() && p.Proved
	switch {
	case direct && (!p.Relay || p.Resting):
		return "direct", p.Why
	case p.Relay:
		return "relay", p.Why
	}
	return "none", p.Why
}

// Ping implements localapi.Agent.
func (n *node) Ping(ctx context.Context, req localapi.PingRequest) (localapi.PingReply, error) {
	if req.Size < 0 || req.Size > maxPing {
		return localapi.PingReply{}, mesh.Errorf(mesh.Invalid, "agent: ping size %d must be from 0 to %d", req.Size, maxPing)
	}
	v := n.view.Load()
	addrs, err := v.Resolve(req.Target)
	if err != nil {
		return localapi.PingReply{}, err
	}
	owner, err := v.Route(addrs[0])
	if err != nil {
		return localapi.PingReply{}, err
	}
	if owner.Place == netmap.Local {
		return localapi.PingReply{}, mesh.Errorf(mesh.Invalid, "agent: %v is behind this node itself; use the host's own ping", addrs[0])
	}
	if err := n.dialer.mayRoute(addrs[0]); err != nil {
		return localapi.PingReply{}, err
	}
	if req.Timeout <= 0 {
		req.Timeout = 3 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, req.Timeout)
	defer cancel()
	rtt, err := n.path.end.Ping(ctx, addrs[0], req.Size)
	if err != nil {
		if ctx.Err() != nil {
			return localapi.PingReply{}, mesh.Errorf(mesh.Internal, "agent: no reply from %v within %v", addrs[0], req.Timeout)
		}
		return localapi.PingReply{}, err
	}
	reply := localapi.PingReply{Address: addrs[0], RTT: rtt}
	reply.Path, reply.Why = n.pathTo(owner.Node)
	return reply, nil
}

// pathTo is the way to a node, with its address if it is direct, and why.
func (n *node) pathTo(p *mesh.Node) (way, why string) {
	path, ok := n.path.bind.Path(p.Key)
	if !ok {
		return "local", ""
	}
	switch way, why = wayOf(path); way {
	case "direct":
		way += " " + path.Addr.String()
	case "relay":
		_, why = whyRelay(natOf(n.path.bind.Mapped()), p.NAT, p.Name, why)
	}
	return way, why
}

// Down implements localapi.Agent.
func (n *node) Down() { n.down() }

// unserved is the health line of a node without a watch.
func unserved(err error) string {
	if control.ReasonOf(err) == control.ReasonReplaced {
		return "another agent is running with this node's key (copied state directory?); stop one of them"
	}
	return "service unreachable; the last network map stays in force"
}
