package agent

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"nexd/mesh"
	"nexd/netmap"
	"nexd/tunnel"
	"nexd/tunnel/filter"
	"nexd/tunnel/pace"
	"nexd/tunnel/tundev"
	"nexd/tunnel/underlay"
)

// datapath is everything a packet goes through. This file is the one place that
// chooses what stands at its upper end: netstack in userspace mode, an interface
// of the kernel in TUN mode.
type datapath struct {
	end    end
	filter *filter.Filter
	bind   *underlay.Bind
	tunnel *tunnel.Tunnel
	stray  chan mesh.Key // peers that speak to an earlier life of this node
	log    *slog.Logger

	strayed *rate.Limiter // of strays that WireGuard has no peer for: anybody can send what looks like one
	left    []string      // what the last map's faults were, said once
}

// The modes, as status names them.
const (
	userspaceMode = "userspace"
	tunMode       = "tun"
)

// How many peers strays may wake: 150 in the time after which an idle one is dropped.
const (
	wakeStrayEvery   = 5 * time.Second
	wakeStraysAtOnce = 32
)

// How long a taken port is waited for: until the kernel has put away a killed nexd.
const (
	portPatience = time.Second
	portEvery    = 100 * time.Millisecond
)

// openUnderlay opens the UDP sockets. Where the port was not asked for but is that of
// the last run, a program that took it meanwhile does not keep the node down.
func openUnderlay(ctx context.Context, cfg underlay.Config, asked bool) (*underlay.Bind, error) {
	began := time.Now()
	for {
		bind, err := underlay.New(cfg)
		switch {
		case mesh.KindOf(err) != mesh.Conflict || cfg.ListenPort == 0:
			return bind, err
		case time.Since(began) < portPatience: // below
		case asked:
			return nil, mesh.Errorf(mesh.Conflict, "agent: %w; choose another --listen-port", err)
		default:
			cfg.Logger.Warn("the UDP port of the last run is taken by another program; peers must learn another one", "port", cfg.ListenPort)
			cfg.ListenPort = 0
			continue
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(portEvery):
		}
	}
}

// end is the upper end of the data path: where the packets of the mesh come from
// and go to on this host.
type end interface {
	sockets
	admit(v *netmap.View) error   // lets in what v grants, before any peer can send it
	connect(v *netmap.View) error // opens the way to the peers, when they may be spoken to
	run(ctx context.Context) error
	close()
}

// sockets are how this node's own programs meet the mesh.
type sockets interface {
	DialTCP(context.Context, netip.AddrPort) (net.Conn, error)
	DialUDP(context.Context, netip.AddrPort) (net.Conn, error)
	ListenTCP(netip.AddrPort) (net.Listener, error)
	ListenUDP(netip.AddrPort) (net.PacketConn, error)
	Ping(ctx context.Context, to netip.Addr, size int) (time.Duration, error)
}

// chooseMode says which mode this node runs in, and why. probe tells what keeps
// this process from making an interface.
func chooseMode(cfg Config, probe func() error) (name, why string, err error) {
	if cfg.Mode == Userspace {
		return userspaceMode, "asked for", nil
	}
	lacking := probe()
	if lacking == nil && len(cfg.AllowLocal) > 0 {
		lacking = mesh.Errorf(mesh.Invalid, "agent: --allow-local works in userspace mode only")
	}
	switch {
	case lacking != nil && cfg.Mode == TUN:
		return "", "", mesh.Errorf(mesh.KindOf(lacking), "agent: no TUN mode: %w; without --tun nexd runs in userspace mode", lacking)
	case lacking != nil:
		return userspaceMode, "no TUN mode: " + lacking.Error(), nil
	case cfg.Mode == TUN:
		return tunMode, "asked for", nil
	}
	return tunMode, "this process may make an interface", nil
}

// newDatapath opens the sockets and brings WireGuard up without peers: nothing
// passes before the first apply.
func newDatapath(ctx context.Context, n *node, port uint16) (_ *datapath, err error) {
	cfg, key := n.cfg, n.state.key
	d := &datapath{log: cfg.Logger, stray: make(chan mesh.Key, 64), strayed: rate.NewLimiter(rate.Every(wakeStrayEvery), wakeStraysAtOnce)}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if err := d.openEnd(n); err != nil {
		return nil, err
	}
	paced := pace.New(d.filter, cfg.paceLimits())
	ucfg := underlay.Config{
		PrivateKey: key, ListenPort: port, Logger: cfg.Logger.With("room", "underlay"),
		OnStray: d.onStray, OnMapped: n.onMapped, Batch: cfg.batch(), Pace: paced,
	}
	if n.relay != nil {
		ucfg.Relay = n.relay
	}
	if d.bind, err = openUnderlay(ctx, ucfg, cfg.ListenPort != 0); err != nil {
		return nil, err
	}
	if n.mode == tunMode {
		if err := d.bind.SetMark(tundev.Mark); err != nil {
			return nil, err
		}
	}
	d.tunnel, err = tunnel.New(tunnel.Config{
		PrivateKey: key, Device: paced, Bind: d.bind, Idle: cfg.PeerIdle, Logger: cfg.Logger.With("room", "tunnel"),
	})
	return d, err
}

// openEnd makes what stands at the upper end, and the filter before it.
func (d *datapath) openEnd(n *node) error {
	log := n.cfg.Logger.With("room", "filter")
	if n.mode == tunMode {
		k, err := newKernel(n.cfg)
		if err != nil {
			return err
		}
		d.end, d.filter = k, filter.New(k.dev.Device(), log)
		return nil
	}
	u, err := newUserspace(n.cfg, n.peerOf)
	if err != nil {
		return err
	}
	d.end, d.filter = u, filter.New(u.Device(), log)
	return nil
}

// apply makes the data path what v says: deny first, connect last. Applying the
// same view twice changes nothing.
func (d *datapath) apply(v *netmap.View) error {
	d.filter.Set(v.Inbound())
	if err := d.end.admit(v); err != nil {
		return err
	}
	d.bind.SetMesh(v.Routed())
	d.bind.SetPeers(candidates(v))
	if err := d.tunnel.SetPeers(sessions(v)); err != nil {
		return err
	}
	if err := d.end.connect(v); err != nil {
		return err
	}
	d.tellFaults(v.Rejected)
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

func candidates(v *netmap.View) (out []underlay.Peer) {
	out = make([]underlay.Peer, len(v.Peers))
	for i, p := range v.Peers {
		candidates := netmap.Filter(p.Endpoints, func(ep netip.AddrPort) bool { return !v.Inside(ep.Addr()) }) // the tunnel must not carry itself
		out[i] = underlay.Peer{Key: p.Key, Candidates: candidates}
	}
	return out
}

func sessions(v *netmap.View) (out []tunnel.Peer) {
	out = make([]tunnel.Peer, len(v.Peers))
	for i, p := range v.Peers {
		out[i] = tunnel.Peer{Key: p.Key, AllowedIPs: append(netmap.HostPrefixes(p.Addresses), p.Prefixes...)}
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
	if d.end != nil {
		d.end.close()
	}
}

// onStray notes a peer to be called; it is on a receiving goroutine and must not
// wait. One that does not fit is told again in a few seconds.
func (d *datapath) onStray(k mesh.Key) {
	select {
	case d.stray <- k:
	default:
	}
}

// run keeps the upper end going until ctx ends.
func (d *datapath) run(ctx context.Context) error { return d.end.run(ctx) }

// attend calls the peers that ask for it, and says so if WireGuard ends by
// itself: then nothing passes any more, and only a new process can help.
func (d *datapath) attend(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case k := <-d.stray:
			if !d.tunnel.Asleep(k) || d.strayed.Allow() {
				d.tunnel.Initiate(k)
			}
		case <-d.tunnel.Done():
			if ctx.Err() != nil {
				return nil
			}
			return mesh.Errorf(mesh.Internal, "agent: WireGuard stopped unexpectedly; see the log")
		}
	}
}
