package agent

import (
	"context"
	"net"
	"time"

	"nexd/agent/localapi"
	"nexd/mesh"
	"nexd/node"
)

var (
	_ localapi.Agent  = (*agent)(nil)
	_ localapi.Dialer = (*agent)(nil)
)

// Dial implements localapi.Dialer.
func (a *agent) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return a.node.DialContext(ctx, network, address)
}

// Down implements localapi.Agent.
func (a *agent) Down() { a.down() }

// Ping implements localapi.Agent.
func (a *agent) Ping(ctx context.Context, req localapi.PingRequest) (localapi.PingReply, error) {
	p, err := a.node.Ping(ctx, req.Target, node.PingOptions{Size: req.Size, Timeout: req.Timeout})
	return localapi.PingReply(p), err
}

// Status implements localapi.Agent: the node's, with what is around the node.
func (a *agent) Status(context.Context) localapi.Status {
	n := a.node.Status()
	n.Health = a.problems(n)
	s := statusOf(n)
	s.Version, s.Forwards = a.cfg.Version, a.Forwards()
	s.Proxies = append([]string{}, a.proxies.addrs()...)
	s.Counters = a.counters()
	return s
}

// problems are what does not work now: the node's, and of what is around the node.
func (a *agent) problems(n node.Status) []mesh.Problem {
	all := n.Health
	if p, ok := a.memory.problem(); ok {
		all = append(all, p)
	}
	return all
}

// statusOf is a node's status in the words of the local API.
func statusOf(n node.Status) localapi.Status {
	s := localapi.Status{
		Schema: localapi.Schema, State: n.State, Mode: n.Mode, Interface: n.Interface, Organization: n.Organization,
		Node: localapi.Node{
			ID: n.Self.ID, Name: n.Self.Name, Key: n.Self.Key.String(), Addresses: n.Self.Addresses, Prefixes: n.Self.Prefixes,
			Port: n.Port, NAT: n.NAT,
		},
		Service: localapi.Service{
			URL: n.Service.URL, Connected: n.Service.Connected, Since: n.Service.Since, Error: text(n.Service.Err), Epoch: n.Version.Epoch, Revision: n.Version.Rev,
		},
		Peers: []localapi.Peer{}, Outside: (*localapi.Outside)(n.Outside), Dropped: localapi.Dropped(n.Dropped),
		Trouble: localapi.Trouble{Problems: n.Health},
	}
	for _, p := range n.Health {
		s.Health = append(s.Health, p.String())
	}
	for _, p := range n.Peers {
		s.Peers = append(s.Peers, peerOf(p))
	}
	if a := n.Approval; a != nil {
		s.Approval = &localapi.Approval{Link: a.Link, Code: a.Code, Fingerprint: a.Fingerprint, Expires: a.Expires}
	}
	if r := n.Relay; r != nil {
		s.Relay = &localapi.Relay{URL: r.URL, Connected: r.Err == nil, Carrier: r.Carrier, Why: text(r.Err), RTT: milliseconds(r.RTT), UDP: r.UDP}
	}
	for _, f := range n.Forwarding {
		s.Forwarding = append(s.Forwarding, localapi.Forwarding(f))
	}
	s.Candidates = candidatesOf(n.Candidates)
	for _, k := range n.Skipped {
		s.Skipped = append(s.Skipped, localapi.Skipped(k))
	}
	return s
}

func peerOf(p node.PeerStatus) localapi.Peer {
	l := localapi.Peer{
		ID: p.ID, Name: p.Name, Addresses: p.Addresses, Prefixes: p.Prefixes, Online: p.Online, LastSeen: p.LastSeen,
		Path: p.Path, Why: p.Why, Reason: p.Cause, NAT: p.NAT, RTT: milliseconds(p.RTT),
		Largest: p.Largest, Limited: p.Limited, LastHandshake: p.LastHandshake, RxBytes: p.RxBytes, TxBytes: p.TxBytes,
	}
	l.Candidates = candidatesOf(p.Candidates)
	if p.Endpoint.IsValid() {
		l.Endpoint = p.Endpoint.String()
	}
	return l
}

func candidatesOf(all []node.Candidate) (out []localapi.Candidate) {
	for _, c := range all {
		out = append(out, localapi.Candidate{Addr: c.Addr, From: c.From, State: c.State, RTT: milliseconds(c.RTT), Since: c.Since, Why: c.Why})
	}
	return out
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// text is an error's; empty for nil.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
