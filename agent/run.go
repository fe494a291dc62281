package agent

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"nexd/agent/localapi"
	"nexd/control"
	"nexd/forward"
	"nexd/internal/caps"
	"nexd/mesh"
	"nexd/netmap"
	"nexd/proxy"
	"nexd/tunnel/tundev"
)

const (
	sessionsEvery = 2 * time.Second // between notes of whom this node talks to
	mapPollEvery  = 2 * time.Second // between looks at a static map's file
	readyPatience = 3 * time.Second // how long a node with a cached map waits for a newer one before it says it is ready
)

// Run is a node from start to end. It returns nil when ctx ends or the node is
// told to go down, and an error when it cannot start or cannot go on. Everything
// it opened is closed then.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := cfg.setMemory(); err != nil {
		return err
	}
	st, err := openState(cfg.StateDir)
	if err != nil {
		return err
	}
	defer st.close()
	n := &node{cfg: cfg, state: st, log: cfg.Logger, readied: make(chan struct{}), mapped: make(chan struct{}, 1)}
	n.view.Store(netmap.New(cfg.Advertise))
	n.keeper.save, n.keeper.log = st.saveMap, n.log
	ctx, n.down = context.WithCancel(ctx)
	defer n.down()
	if err := n.open(ctx); err != nil {
		n.close()
		return err
	}
	defer n.close()
	return n.run(ctx)
}

// node is a running agent: what is open, and the view everything goes by.
type node struct {
	cfg   Config
	state *state
	log   *slog.Logger
	down  context.CancelFunc

	mode     string
	path     *datapath
	proxies  listeners
	socket   net.Listener
	proxy    *proxy.Proxy
	users    atomic.Pointer[proxy.Users]
	direct   atomic.Bool // the proxy connects to what is outside the mesh, too
	forwards *forward.Forwarder
	kept     keptForwards
	dialer   *dialer
	member   *member // nil with a static map
	link     *link
	keeper   mapKeeper
	relay    *relayLink    // nil with a static map
	mapped   chan struct{} // STUN found something new

	view    atomic.Pointer[netmap.View] // written by the goroutine that applies; never nil
	readied chan struct{}
	once    sync.Once
	first   sync.Once // of the registrations
}

// open claims everything that can be refused before a word is said to the
// service: sockets, ports, the key, the URL.
func (n *node) open(ctx context.Context) (err error) {
	var why string
	if n.mode, why, err = chooseMode(n.cfg, tundev.Probe); err != nil {
		return err
	}
	n.cleanUp()
	if n.cfg.MapFile == "" {
		if err := n.chooseService(); err != nil {
			return err
		}
	}
	if n.socket, err = localapi.Listen(n.cfg.Socket); err != nil {
		return err
	}
	if err := n.listenProxies(); err != nil {
		return err
	}
	port := n.cfg.ListenPort
	if port == 0 {
		port = n.state.ListenPort
	}
	n.relay = newRelayLink(n.member, n.log)
	if n.path, err = newDatapath(ctx, n, port); err != nil {
		return err
	}
	if n.relay != nil {
		if err := n.relay.attach(n.path.bind, n.state.key); err != nil {
			return err
		}
	}
	if err := n.keepPort(); err != nil {
		return err
	}
	n.dialer = &dialer{view: n.view.Load, mesh: n.path.end, host: new(net.Dialer).DialContext}
	if k, ok := n.path.end.(*kernel); ok {
		n.dialer.unrouted = k.unrouted
	}
	if err := n.newProxy(); err != nil {
		return err
	}
	if n.forwards, err = newForwards(n); err != nil {
		return err
	}
	if err := n.dropPrivileges(caps.NetBindService); err != nil { // for -R to a port below 1024, until all listen
		return err
	}
	n.log.Info("starting", "mode", n.mode, "why", why, "port", n.path.bind.LocalPort(), "key", n.state.key.Public(), "state", n.state.dir)
	return nil
}

// keepPort remembers the UDP port, so that peers find this node where it was.
func (n *node) keepPort() error {
	if port := n.path.bind.LocalPort(); port != n.state.ListenPort {
		n.state.ListenPort = port
		return n.state.save()
	}
	return nil
}

// run starts the parts and waits for all of them.
func (n *node) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return localapi.Serve(ctx, n.socket, n, n.log) })
	g.Go(func() error { return n.path.run(ctx) })
	g.Go(func() error { return n.path.attend(ctx) })
	g.Go(func() error { return n.path.bind.Run(ctx) })
	g.Go(func() error { return n.watchNetwork(ctx) })
	g.Go(func() error { return n.noteSessions(ctx) })
	g.Go(func() error { return n.follow(ctx) })
	g.Go(func() error {
		m := &memory{received: func() uint64 { return n.path.bind.Stats().Attributed }, log: n.log}
		return m.run(ctx)
	})
	g.Go(func() error { return n.serveWhenReady(ctx, g) })
	if n.member != nil {
		g.Go(func() error { return n.member.endpoints(ctx) })
		g.Go(func() error { return n.relay.run(ctx) })
		g.Go(func() error { return n.keeper.run(ctx) })
	}
	err := g.Wait()
	if err == nil {
		n.log.Info("stopped")
	}
	return err
}

// serveWhenReady opens this node to applications once it knows its place, and
// says so.
func (n *node) serveWhenReady(ctx context.Context, g *errgroup.Group) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.readied:
	}
	for _, ln := range n.proxies.now() {
		g.Go(func() error { return n.proxy.Serve(ctx, ln) })
	}
	g.Go(func() error { return n.forwards.Run(ctx) })
	g.Go(func() error { return n.attendChanges(ctx, g) })
	select {
	case <-ctx.Done():
		return nil
	case <-n.forwards.Ready(): // every rule was tried; what cannot listen is in the log and in status
	}
	if err := n.dropPrivileges(); err != nil {
		return err
	}
	if n.cfg.Ready != nil {
		v := n.view.Load()
		n.cfg.Ready(Ready{Name: v.Self.Name, Addresses: v.Self.Addresses, Proxies: n.proxyAddrs()})
	}
	return nil
}

func (n *node) ready() { n.once.Do(func() { close(n.readied) }) }

// apply takes a new view into force. It runs on one goroutine at a time.
func (n *node) apply(v *netmap.View) error {
	if err := n.path.apply(v); err != nil {
		return err
	}
	n.view.Store(v)
	return nil
}

// follow is the apply loop: the cached map first, then what the service or the
// static map's file says.
func (n *node) follow(ctx context.Context) error {
	if n.member == nil {
		return n.followFile(ctx)
	}
	kept, err := n.state.loadMap()
	if err != nil {
		n.log.Warn("the cached network map is not used", "err", err)
	}
	if kept != nil {
		v, _ := n.view.Load().Replace(kept)
		if err := n.apply(v); err != nil {
			return err
		}
		n.member.cached = true
		n.path.tunnel.Initiate(n.state.loadSessions()...)
		patience := time.AfterFunc(readyPatience, n.ready)
		defer patience.Stop()
	}
	n.member.have = func() mesh.Version { return n.view.Load().Version }
	n.member.events = n.event
	return n.member.run(ctx)
}

// event takes a line of the watch in.
func (n *node) event(e control.Event) error {
	v, changed := next(n.view.Load(), e)
	if changed {
		if err := n.apply(v); err != nil {
			return err
		}
		n.keeper.keep(v.Source())
	}
	if v.Empty() {
		n.view.Store(v) // with what is live about nodes of the map to come
		return nil
	}
	if e.Type == control.EventLive || e.Type == control.EventUnchanged {
		n.ready() // the map and where its nodes are have come
	}
	return nil
}

// next is the view after an event of the watch, and whether anything changed.
func next(v *netmap.View, e control.Event) (*netmap.View, bool) {
	switch e.Type {
	case control.EventMap:
		return v.Replace(e.Map)
	case control.EventLive:
		return v.Update(e.Nodes, e.Whole)
	}
	return v, false
}

// followFile reads a static map and looks for changes of it.
func (n *node) followFile(ctx context.Context) error {
	m, err := readStaticMap(n.cfg.MapFile, n.state.key.Public(), n.cfg.Advertise)
	if err != nil {
		return err
	}
	v, _ := netmap.New(n.cfg.Advertise).Replace(m)
	if err := n.apply(v); err != nil {
		return err
	}
	n.path.tunnel.Initiate(n.state.loadSessions()...)
	n.ready()
	return n.watchFile(ctx)
}

// watchFile applies a static map again whenever its file changes; a file with a
// fault changes nothing.
func (n *node) watchFile(ctx context.Context) error {
	last, _ := os.Stat(n.cfg.MapFile)
	return every(ctx, mapPollEvery, func() error {
		now, err := os.Stat(n.cfg.MapFile)
		if err != nil || last != nil && now.ModTime().Equal(last.ModTime()) && now.Size() == last.Size() {
			return nil
		}
		last = now
		m, err := readStaticMap(n.cfg.MapFile, n.state.key.Public(), n.cfg.Advertise)
		if err != nil {
			n.log.Warn("the changed static map is not used", "err", err)
			return nil
		}
		v, _ := netmap.New(n.cfg.Advertise).Replace(m)
		if err := n.apply(v); err != nil {
			return err
		}
		n.log.Info("static map changed", "peers", len(m.Peers))
		return nil
	})
}

// noteSessions keeps on disk whom this node has sessions with: after a crash it
// speaks to them first, and they need not find out by time-out.
func (n *node) noteSessions(ctx context.Context) error {
	var noted []mesh.Key
	return every(ctx, sessionsEvery, func() error {
		now := n.path.recent(time.Now())
		slices.SortFunc(now, func(a, b mesh.Key) int {
			if a.Less(b) {
				return -1
			}
			return 1
		})
		if slices.Equal(now, noted) {
			return nil
		}
		if err := n.state.saveSessions(now); err != nil {
			n.log.Debug("sessions are not noted", "err", err)
			return nil
		}
		noted = now
		return nil
	})
}

// peerOf names the node behind a mesh address, for the router's accounts.
func (n *node) peerOf(a netip.Addr) string {
	if o := n.view.Load().Find(a); o.Node != nil {
		return o.Node.Name
	}
	return a.String()
}

// close ends what open began. Listeners that a Serve took over are closed by it
// already; closing twice does no harm.
func (n *node) close() {
	if n.socket != nil {
		n.socket.Close()
	}
	for _, ln := range n.proxies.now() {
		ln.Close()
	}
	if n.path != nil {
		n.path.close()
	}
	if n.member != nil {
		n.member.client.Close()
	}
}
