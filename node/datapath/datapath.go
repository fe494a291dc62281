package datapath

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"nexd/mesh"
	"nexd/netmap"
	"nexd/tunnel"
	"nexd/tunnel/filter"
	"nexd/tunnel/fit"
	"nexd/tunnel/pace"
	"nexd/tunnel/reflexive"
	"nexd/tunnel/tundev"
	"nexd/tunnel/underlay"
)

// Path is an open data path. Nothing passes before the first Apply.
type Path struct {
	Sockets
	choice Choice
	end    end
	filter *filter.Filter
	fit    *fit.Device
	bind   *underlay.Bind
	tunnel *tunnel.Tunnel
	relay  *relayLink // nil without a service
	sizes  pathSizes
	guard  guard
	log    *slog.Logger

	stray    chan mesh.Key // peers that send to a session of an earlier run
	strayed  *rate.Limiter // limits strays without a peer in WireGuard, which anybody can forge
	rejected []string      // by the last view; each is logged once
}

// How many peers strays may wake: 150 in the time after which an idle one is dropped.
const (
	wakeStrayEvery   = 5 * time.Second
	wakeStraysAtOnce = 32
)

// ErrPortTaken is wrapped by the error of New when a fixed UDP port is in use.
var ErrPortTaken = errors.New("the UDP port is taken")

// How long New waits for a taken port: the kernel may still be closing the sockets of a killed node.
const (
	portPatience = time.Second
	portEvery    = 100 * time.Millisecond
)

// openUnderlay opens the UDP sockets. If the port is taken and not fixed, it takes a free one.
func openUnderlay(cfg underlay.Config, fixed bool) (*underlay.Bind, error) {
	began := time.Now()
	for {
		bind, err := underlay.New(cfg)
		switch {
		case mesh.KindOf(err) != mesh.Conflict || cfg.ListenPort == 0:
			return bind, err
		case time.Since(began) < portPatience: // wait below
		case fixed:
			return nil, mesh.Errorf(mesh.Conflict, "node: %w: %w", ErrPortTaken, err)
		default:
			cfg.Logger.Warn("the UDP port of the last run is in use by another program; using another port", "port", cfg.ListenPort)
			cfg.ListenPort = 0
			continue
		}
		time.Sleep(portEvery)
	}
}

// New opens the sockets and brings WireGuard up without peers.
func New(cfg Config) (_ *Path, err error) {
	d := &Path{
		choice: cfg.Choice, log: cfg.Logger,
		sizes: newPathSizes(),
		stray: make(chan mesh.Key, 64), strayed: rate.NewLimiter(rate.Every(wakeStrayEvery), wakeStraysAtOnce),
	}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	cfg.sizes = &d.sizes
	if d.end, err = newEnd(cfg); err != nil {
		return nil, err
	}
	d.Sockets, d.filter = d.end, d.end.filtered(cfg.Logger.With("room", "filter"))
	d.fit = fit.New(d.filter, d.sizes.paths, fit.Config{Source: !cfg.Choice.tun})
	paced := pace.New(d.fit, cfg.paceLimits())
	ucfg := underlay.Config{
		PrivateKey: cfg.Key, ListenPort: cfg.ListenPort, Logger: cfg.Logger.With("room", "underlay"),
		OnStray: d.onStray, OnMapped: func(reflexive.Mapped) { cfg.OnMapped() }, OnLargest: d.sizes.set, Batch: cfg.batch(), Pace: paced,
		MTU: cfg.MTU,
	}
	if cfg.Service != nil {
		// Relay and underlay hand packets to each other. Neither does before Run.
		if d.relay, err = newRelayLink(cfg, func() *underlay.Bind { return d.bind }); err != nil {
			return nil, err
		}
		ucfg.Relay = d.relay.client
	}
	if d.bind, err = openUnderlay(ucfg, cfg.FixedPort); err != nil {
		return nil, err
	}
	if cfg.Choice.tun {
		if err := d.bind.SetMark(tundev.Mark); err != nil {
			return nil, err
		}
	}
	d.guard.filter, d.guard.bind, d.guard.exclude, d.guard.log = d.filter, d.bind, cfg.Exclude, cfg.Logger
	d.tunnel, err = tunnel.New(tunnel.Config{
		PrivateKey: cfg.Key, Device: paced, Bind: d.bind, Idle: cfg.PeerIdle, Logger: cfg.Logger.With("room", "tunnel"),
	})
	return d, err
}

// newEnd makes the upper end for the mode.
func newEnd(cfg Config) (end, error) {
	if cfg.Choice.tun {
		return newKernel(cfg)
	}
	return newUserspace(cfg)
}

// Apply puts v into force: it denies first and connects last. Applying the same view twice changes
// nothing. One goroutine at a time calls it.
func (d *Path) Apply(v *netmap.View) error {
	d.filter.Set(v.Inbound())
	if err := d.end.admit(v); err != nil {
		return err
	}
	d.guard.setView(v)
	if err := d.tunnel.SetPeers(sessions(v)); err != nil {
		return err
	}
	if err := d.end.connect(v); err != nil {
		return err
	}
	d.sizes.setView(v)
	d.logRejected(v.Rejected)
	return nil
}

// logRejected logs each rejected part of the map once, until a view no longer has it.
func (d *Path) logRejected(rejected []string) {
	known := map[string]bool{}
	for _, r := range d.rejected {
		known[r] = true
	}
	for _, r := range rejected {
		if !known[r] {
			d.log.Warn("part of the network map is ignored", "why", r)
		}
	}
	d.rejected = rejected
}

func sessions(v *netmap.View) (out []tunnel.Peer) {
	out = make([]tunnel.Peer, len(v.Peers))
	for i, p := range v.Peers {
		out[i] = tunnel.Peer{Key: p.Key, AllowedIPs: append(netmap.HostPrefixes(p.Addresses), p.Prefixes...)}
	}
	return out
}

// Recent returns the peers with a WireGuard session that still carries data.
func (d *Path) Recent(now time.Time) (keys []mesh.Key) {
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

// Close closes everything, the upper end last, so that nothing is sent to a closed one.
func (d *Path) Close() {
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

// Run runs the data path until ctx ends. It returns an error when WireGuard stops by itself: then
// no packet passes anymore, and the node must be made anew.
func (d *Path) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.end.run(ctx) })
	g.Go(func() error { return d.bind.Run(ctx) })
	g.Go(func() error { return d.attendStrays(ctx) })
	g.Go(func() error { return d.resize(ctx) })
	return g.Wait()
}

// onStray queues a peer to be called. It runs on a receiving goroutine and must not block. The
// underlay repeats a call that did not fit after a few seconds.
func (d *Path) onStray(k mesh.Key) {
	select {
	case d.stray <- k:
	default:
	}
}

// attendStrays calls the queued peers.
func (d *Path) attendStrays(ctx context.Context) error {
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
			return mesh.Errorf(mesh.Internal, "node: WireGuard stopped unexpectedly; see the log")
		}
	}
}

// RunRelay keeps a connection to the relay until ctx ends. The node must have registered before.
func (d *Path) RunRelay(ctx context.Context) error {
	if d.relay == nil {
		return nil
	}
	return d.relay.client.Run(ctx)
}

// Initiate starts handshakes with peers.
func (d *Path) Initiate(keys ...mesh.Key) { d.tunnel.Initiate(keys...) }

// SetSelf tells peers the endpoints of this node.
func (d *Path) SetSelf(addrs []netip.AddrPort) {
	d.guard.setSelf(addrs)
	d.bind.SetSelf(addrs)
}

// NetworkChanged restarts the search for every path, and tests the connection to the relay.
func (d *Path) NetworkChanged() {
	d.guard.networkChanged()
	d.bind.NetworkChanged()
	if d.relay != nil {
		d.relay.client.Probe()
	}
}

// Unrouted returns why this host does not route a mesh address into the mesh; nil if it does.
func (d *Path) Unrouted(a netip.Addr) error { return d.end.unrouted(a) }
