package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"nexd/forward/router"
	"nexd/mesh"
	"nexd/netstack"
	"nexd/tunnel"
	"nexd/tunnel/filter"
	"nexd/tunnel/pace"
	"nexd/tunnel/underlay"
)

// datapath is everything a packet goes through. This file is the one place that
// chooses what stands at its upper end: netstack in userspace mode, an interface
// in TUN mode.
type datapath struct {
	net    *netstack.Net
	filter *filter.Filter
	bind   *underlay.Bind
	tunnel *tunnel.Tunnel
	router *router.Router
	stray  chan mesh.Key // peers that speak to an earlier life of this node
	log    *slog.Logger
	left   []string // what the last map's faults were, said once
}

// chooseMode says which mode this node runs in, and why.
func chooseMode(m Mode) (name, why string, err error) {
	switch m {
	case TUN:
		return "", "", mesh.Errorf(mesh.Invalid, "agent: TUN mode is not part of this build yet; run without --tun")
	case Userspace:
		return "userspace", "asked for", nil
	}
	return "userspace", "TUN mode is not part of this build yet", nil
}

// newDatapath opens the sockets and brings WireGuard up without peers: nothing
// passes before the first apply.
func newDatapath(n *node, port uint16) (_ *datapath, err error) {
	cfg, key := n.cfg, n.state.key
	d := &datapath{log: cfg.Logger, stray: make(chan mesh.Key, 64)}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.net, err = netstack.New(cfg.stackConfig()); err != nil {
		return nil, err
	}
	d.filter = filter.New(d.net.Device(), cfg.Logger.With("room", "filter"))
	paced := pace.New(d.filter, cfg.paceLimits())
	ucfg := underlay.Config{
		PrivateKey: key, ListenPort: port, Logger: cfg.Logger.With("room", "underlay"),
		OnStray: d.onStray, OnMapped: n.onMapped, Batch: cfg.batch(), Pace: paced,
	}
	if n.relay != nil {
		ucfg.Relay = n.relay
	}
	if d.bind, err = underlay.New(ucfg); err != nil {
		return nil, err
	}
	d.router, err = router.New(router.Config{AllowLocal: cfg.AllowLocal, PeerOf: n.peerOf, Logger: cfg.Logger.With("room", "router")})
	if err != nil {
		return nil, err
	}
	d.net.HandleInbound(netstack.Inbound{
		TCP:  func(f *netstack.TCPFlow) { d.router.TCP(tcpFlow{f}) },
		UDP:  func(f *netstack.UDPFlow) { d.router.UDP(udpFlow{f}) },
		Echo: func(e *netstack.EchoRequest) { d.router.Echo(echo{e}) },
	})
	d.tunnel, err = tunnel.New(tunnel.Config{PrivateKey: key, Device: paced, Bind: d.bind, Logger: cfg.Logger.With("room", "tunnel")})
	return d, err
}

// apply makes the data path what v says: deny first, connect last. Applying the
// same view twice changes nothing.
func (d *datapath) apply(v *view) error {
	d.filter.Set(v.inbound())
	d.router.Set(v.granted)
	d.bind.SetMesh(v.routed())
	d.bind.SetPeers(candidates(v))
	if err := d.tunnel.SetPeers(sessions(v)); err != nil {
		return err
	}
	if err := d.net.SetAddresses(v.Self.Addresses); err != nil {
		return err
	}
	d.tellFaults(v.left)
	return nil
}

// tellFaults logs what was left out of a map, once for as long as it stays so.
func (d *datapath) tellFaults(left []string) {
	known := map[string]bool{}
	for _, l := range d.left {
		known[l] = true
	}
	for _, l := range left {
		if !known[l] {
			d.log.Warn("part of the network map is not used", "why", l)
		}
	}
	d.left = left
}

func candidates(v *view) (out []underlay.Peer) {
	routed := v.routed()
	for _, p := range v.Peers {
		u := underlay.Peer{Key: p.Key}
		for _, ep := range p.Endpoints {
			if !inAny(routed, ep.Addr()) { // the tunnel must not carry itself
				u.Candidates = append(u.Candidates, ep)
			}
		}
		out = append(out, u)
	}
	return out
}

func sessions(v *view) (out []tunnel.Peer) {
	for _, p := range v.Peers {
		out = append(out, tunnel.Peer{Key: p.Key, AllowedIPs: append(hostPrefixes(p.Addresses), p.Prefixes...)})
	}
	return out
}

// recent are the peers with a session that is still good.
func (d *datapath) recent(now time.Time) (keys []mesh.Key) {
	peers, err := d.tunnel.Peers()
	if err != nil {
		d.log.Debug("peers not read", "err", err)
		return nil
	}
	for _, p := range peers {
		if now.Sub(p.LastHandshake) < sessionLife {
			keys = append(keys, p.Key)
		}
	}
	return keys
}

// sessionLife is how long a WireGuard session carries data (REJECT_AFTER_TIME of
// the WireGuard paper, section 6.1).
const sessionLife = 180 * time.Second

// close ends everything that was opened, the upper end last, so that nothing is
// sent into a closed room.
func (d *datapath) close() {
	if d.tunnel != nil {
		d.tunnel.Close() // closes the device and the bind as well
	}
	if d.bind != nil {
		d.bind.Shutdown()
	}
	if d.net != nil {
		d.net.Close()
	}
}

// The flows of netstack, as forward/router wants them: the two rooms do not know
// each other and say the same in their own words.
type (
	tcpFlow struct{ *netstack.TCPFlow }
	udpFlow struct{ *netstack.UDPFlow }
	echo    struct{ e *netstack.EchoRequest }
)

func (f tcpFlow) Unreachable(r router.Reach) { f.TCPFlow.Unreachable(reach[r]) }
func (f udpFlow) Unreachable(r router.Reach) { f.UDPFlow.Unreachable(reach[r]) }

func (e echo) Source() netip.Addr         { return e.e.Source() }
func (e echo) Destination() netip.Addr    { return e.e.Destination() }
func (e echo) ID() uint16                 { return e.e.ID }
func (e echo) Seq() uint16                { return e.e.Seq }
func (e echo) Payload() []byte            { return e.e.Payload }
func (e echo) Reply()                     { e.e.Reply() }
func (e echo) Unreachable(r router.Reach) { e.e.Unreachable(reach[r]) }
func (e echo) Drop()                      { e.e.Drop() }

var reach = map[router.Reach]netstack.Reach{
	router.HostUnreachable: netstack.HostUnreachable,
	router.NetUnreachable:  netstack.NetUnreachable,
	router.AdminProhibited: netstack.AdminProhibited,
}

// onStray notes a peer to be called; it is on a receiving goroutine and must not
// wait. One that does not fit is told again in a few seconds.
func (d *datapath) onStray(k mesh.Key) {
	select {
	case d.stray <- k:
	default:
	}
}

// runRouter carries flows until ctx ends.
func (d *datapath) runRouter(ctx context.Context) error { return d.router.Run(ctx) }

// attend calls the peers that ask for it, and says so if WireGuard ends by
// itself: then nothing passes any more, and only a new process can help.
func (d *datapath) attend(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case k := <-d.stray:
			d.tunnel.Initiate(k)
		case <-d.tunnel.Done():
			if ctx.Err() != nil {
				return nil
			}
			return mesh.Errorf(mesh.Internal, "agent: WireGuard ended by itself; the log says why")
		}
	}
}
