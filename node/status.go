package node

import (
	"net/netip"
	"net/url"
	"slices"
	"time"

	"nexd/mesh"
	"nexd/netmap"
	"nexd/node/datapath"
	"nexd/tunnel"
	"nexd/tunnel/gateway"
	"nexd/tunnel/tundev"
	"nexd/tunnel/underlay"
)

// The values of Status.State.
const (
	StateJoining = "joining"
	StateWaiting = "waiting for approval"
	StateRunning = "running"
)

// Status is what a node can say of itself. It is the caller's copy.
type Status struct {
	State        string         // a State constant
	Health       []mesh.Problem // what does not work now
	Mode         string         // userspace, tun
	Interface    string         // in TUN mode
	Organization string
	Version      mesh.Version // of the network map
	Self         Identity
	Port         uint16   // WireGuard's UDP port
	NAT          mesh.NAT // in front of this node
	Service      ServiceStatus
	Peers        []PeerStatus
	Approval     *Approval        // while State is StateWaiting
	Relay        *RelayStatus     // nil with a static map
	Outside      *OutsideStatus   // nil until STUN has answered
	Forwarding   []gateway.Status // this node's prefixes on the host, in TUN mode
	Skipped      []tundev.Skipped // what the host does not route into the mesh, in TUN mode
	Candidates   []Candidate      // addresses of this node
	Dropped      Dropped
}

// ServiceStatus says how a node stands with its service. It is zero with a static map.
type ServiceStatus struct {
	URL       string
	Connected bool
	Since     time.Time // of Connected's last change
	Err       error     // why the node is not connected, if it is known
}

// PeerStatus is one other node.
type PeerStatus struct {
	Identity
	Online        bool      // connected to the service
	LastSeen      time.Time // by the service
	NAT           mesh.NAT  // what the node says of its own
	Path          string    // direct, relay, none; idle: nothing moved lately, so WireGuard holds nothing for it
	Why           string    // this path and no other
	Silent        time.Time // since when this node sends and nothing comes back by any way; zero: not so
	silence       string    // why
	Cause         string    // of relay, where a NAT or firewall explains it: a Cause constant
	Endpoint      netip.AddrPort
	RTT           time.Duration // of Path
	Largest       int           // bytes of the largest packet that the path carries; 0: the MTU
	Limited       time.Time     // since when data does not pass as it should, as Why says; zero: it does
	LastHandshake time.Time
	RxBytes       uint64
	TxBytes       uint64
	Candidates    []Candidate // addresses of the node, unless Path is idle
}

// Candidate is an address at which a node may be reached.
type Candidate struct {
	Addr  netip.AddrPort
	From  string        // of this node: named (by its user), STUN, or the interface
	State string        // of this node: offered or refused; of a peer: used, answers, silent, swallows, not tried, refused
	RTT   time.Duration // of a peer; 0 = it has not answered
	Since time.Time     // of a peer: its last answer; while silent or swallows, the first probe or data that was lost
	Why   string        // it is refused, or not used
}

// RelayStatus says how a node stands with its relay.
type RelayStatus struct {
	URL     string // of the relay; empty: not known yet
	Err     error  // why there is no connection; nil: there is one
	Carrier string // of data now: udp, websocket
	RTT     time.Duration
	UDP     bool // the relay's datagrams arrive, or did since the node started
}

// OutsideStatus is where the service's STUN servers see a node's UDP socket.
type OutsideStatus struct {
	Addresses []netip.AddrPort
	Depends   bool   // on the destination: peers cannot use these addresses
	Mapping   string // of the NAT, as in docs/netcheck.md; empty: unknown
}

// Dropped counts the packets that a node received and refused since it started, by reason. It
// answered none of them.
type Dropped struct {
	Malformed       uint64 // of no known type, or of a wrong size
	Handshakes      uint64 // forged, or from a key that is no peer's
	Copies          uint64 // handshakes that came before, such as by another address of the peer
	Replayed        uint64 // handshakes not later than another one of the same peer
	UnknownSessions uint64 // data of no session of this process
	ProbesForged    uint64
	ProbesReplayed  uint64
	ProbesLimited   uint64 // more than one peer may send
	RelayFull       uint64 // came by the relay faster than they could be opened
}

// Mode is how packets enter and leave the mesh: userspace or tun.
func (n *Node) Mode() string { return n.path.Mode() }

// Received counts the packets that came from peers since New.
func (n *Node) Received() uint64 { return n.path.Stats().Attributed }

// Status says how the node is. It asks WireGuard about every peer, so a program with thousands of
// peers should not call it all the time.
func (n *Node) Status() Status {
	s := Status{
		State: StateJoining, Mode: n.path.Mode(), Port: n.path.Port(), Dropped: dropped(n.path.Stats()),
		Self: Identity{Key: n.state.Key().Public(), Addresses: []netip.Addr{}, Prefixes: []netip.Prefix{}},
	}
	if n.member != nil {
		n.member.report(&s)
	}
	v := n.view.Load()
	if v.Empty() {
		return s
	}
	if s.State == StateJoining {
		s.State = StateRunning
	}
	s.Organization, s.Version, s.Self = v.Organization, v.Version, identity(&v.Self)
	mapped := n.path.Mapped()
	s.NAT = natOf(mapped)
	s.Peers = n.peers(v, s.NAT)
	s.Relay = n.relay()
	if mapped.Answered > 0 {
		s.Outside = &OutsideStatus{Addresses: mapped.Addrs, Depends: mapped.Mapping.Depends(), Mapping: string(mapped.Mapping)}
	}
	host := n.path.Host()
	s.Interface, s.Forwarding, s.Skipped = host.Interface, host.Forwarding, host.Skipped
	s.Candidates = n.network.self.describe()
	s.Health = append(n.problems(v, host), unheard(s.Peers)...)
	s.Health = append(s.Health, n.beganStrict.note(unfiltered(v, s.Peers, datapath.Strict(host.Interface)), time.Now())...)
	return s
}

// report fills in how the node stands with its service.
func (m *member) report(s *Status) {
	on, since, err := m.link.state()
	if a := m.approver.waiting(); a != nil {
		s.State, s.Approval, err = StateWaiting, a, nil // the service does answer
	}
	s.Service = ServiceStatus{URL: m.link.url, Connected: on, Since: since, Err: err}
	s.Health = m.problems()
}

// Servers returns the hosts of the service and its relay, names or addresses, as far as they are
// known: what this node itself must reach without the mesh.
func (n *Node) Servers() (hosts []string) {
	urls := []string{}
	if n.member != nil {
		urls = append(urls, n.member.link.url)
	}
	if r, ok := n.path.Relay(); ok {
		urls = append(urls, r.URL)
	}
	for _, text := range urls {
		if u, err := url.Parse(text); err == nil && u.Hostname() != "" && !slices.Contains(hosts, u.Hostname()) {
			hosts = append(hosts, u.Hostname())
		}
	}
	return hosts
}

func (n *Node) relay() *RelayStatus {
	r, ok := n.path.Relay()
	if !ok {
		return nil
	}
	s := &RelayStatus{URL: r.URL, Err: r.Err, RTT: r.RTT, UDP: r.UDP}
	switch {
	case r.Err != nil:
	case r.Datagrams:
		s.Carrier = "udp"
	default:
		s.Carrier = "websocket"
	}
	return s
}

func dropped(s underlay.Stats) Dropped {
	return Dropped{
		Malformed: s.Malformed, Handshakes: s.BadMAC + s.BadInitiation + s.UnknownKey, Copies: s.Duplicates, Replayed: s.Replayed, UnknownSessions: s.UnknownIndex,
		ProbesForged: s.ProbesForged, ProbesReplayed: s.ProbesReplayed, ProbesLimited: s.ProbesLimited, RelayFull: s.RelayFull,
	}
}

// peers joins what the map, WireGuard and the underlay know of each peer; self is the NAT
// in front of this node.
func (n *Node) peers(v *netmap.View, self mesh.NAT) []PeerStatus {
	all := n.path.Peers()
	out := make([]PeerStatus, len(v.Peers))
	for i := range v.Peers {
		t, known := all[v.Peers[i].Key]
		out[i] = n.peer(&v.Peers[i], t, known, self)
	}
	return out
}

func (n *Node) peer(p *mesh.Node, t tunnel.PeerStatus, known bool, self mesh.NAT) PeerStatus {
	s := PeerStatus{
		Identity: identity(p), Online: p.Online, LastSeen: p.LastSeen, NAT: p.NAT, Path: "idle",
		LastHandshake: t.LastHandshake, RxBytes: t.Rx, TxBytes: t.Tx,
	}
	path, ok := n.path.PathTo(p.Key)
	if !ok || !known || t.Asleep {
		return s
	}
	if s.Path, s.Why = wayOf(path); s.Path == "relay" && path.Limited.IsZero() { // else it is not the NATs
		s.Cause, s.Why = relayCause(self, p.NAT, p.Name, s.Why)
	}
	if why, silent := n.silent(p, path, time.Now()); silent {
		s.Path, s.Silent, s.silence, s.Cause = "none", path.Silent, why, ""
		s.Why = "no reply since " + path.Silent.Local().Format(time.TimeOnly) + "; " + why
	}
	if s.Path != "none" {
		s.RTT = path.RTT
	}
	for _, c := range n.path.CandidatesOf(p.Key) {
		s.Candidates = append(s.Candidates, Candidate{Addr: c.Addr, State: c.State, RTT: c.RTT, Since: c.Since, Why: c.Why})
	}
	for _, c := range n.path.Refused(p) {
		s.Candidates = append(s.Candidates, Candidate{Addr: c.Addr, State: candidateRefused, Why: c.Skipped})
	}
	if s.Path == "direct" {
		s.Endpoint = path.Addr
	}
	s.Largest, s.Limited = n.path.Largest(p.Key), path.Limited
	return s
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

// pathTo is the way to a node, with its address if it is direct, and why.
func (n *Node) pathTo(p *mesh.Node) (way, why string) {
	path, ok := n.path.PathTo(p.Key)
	if !ok {
		return "local", ""
	}
	switch way, why = wayOf(path); way {
	case "direct":
		way += " " + path.Addr.String()
	case "relay":
		_, why = relayCause(natOf(n.path.Mapped()), p.NAT, p.Name, why)
	}
	return way, why
}
