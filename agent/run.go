package agent

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"nexd/agent/localapi"
	"nexd/forward"
	"nexd/internal/budget"
	"nexd/internal/caps"
	"nexd/internal/metrics"
	"nexd/mesh"
	"nexd/node"
	"nexd/node/state"
	"nexd/proxy"
)

// Run is an agent from start to end. It returns nil when ctx ends or the agent is told to go
// down, and an error when it cannot start or cannot go on. Everything that it opened is closed
// then.
func Run(ctx context.Context, cfg Config) error { return Hinted(runAgent(ctx, cfg)) }

func runAgent(ctx context.Context, cfg Config) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.StateDir == "" {
		return mesh.Errorf(mesh.Invalid, "agent: no state directory")
	}
	if err := cfg.setMemory(); err != nil {
		return err
	}
	ctx, down := context.WithCancel(ctx)
	defer down()
	a, err := open(cfg, down)
	if err != nil {
		return err
	}
	defer a.close()
	return a.run(ctx)
}

// agent is a running agent: what is open around its node.
type agent struct {
	cfg  Config
	log  *slog.Logger
	down context.CancelFunc

	node     *node.Node
	files    state.Dir
	socket   net.Listener
	proxies  *listeners
	proxy    *proxy.Proxy
	users    atomic.Pointer[proxy.Users]
	direct   atomic.Bool // the proxy connects to what is outside the mesh, too
	forwards *forward.Forwarder
	saved    *savedForwards
	metrics  *metrics.Server // nil: off
	memory   *memory
}

// open claims everything that can be refused before a word is said to the service:
// sockets, ports, the key, the URL.
func open(cfg Config, down context.CancelFunc) (_ *agent, err error) {
	cfg.Memory, cfg.Budget = cfg.MemoryLimit, budget.New(cfg.planned())
	proxies := new(listeners)
	if cfg.ServiceProxy == nil {
		cfg.ServiceProxy = notItself(proxies, cfg.Logger)
	}
	n, err := node.New(cfg.Config)
	if err != nil {
		return nil, err
	}
	a := &agent{cfg: cfg, log: cfg.Logger, down: down, node: n, files: state.Dir(cfg.StateDir), proxies: proxies}
	a.memory = newMemory(cfg, n.Received)
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	a.cleanUp()
	if a.socket, err = localapi.Listen(cfg.Socket); err != nil {
		return nil, err
	}
	if err := a.listenProxies(); err != nil {
		return nil, err
	}
	if a.proxy, err = a.newProxy(); err != nil {
		return nil, err
	}
	var rules []forward.Spec
	rules, a.saved = loadForwards(cfg.Forwards, a.files, a.log)
	if a.forwards, err = forward.New(forwardConfig(n, cfg.Budget, a.log), rules); err != nil {
		return nil, err
	}
	if cfg.MetricsListen != "" {
		if a.metrics, err = metrics.Listen(cfg.MetricsListen, a.families, a.log); err != nil {
			return nil, err
		}
	}
	return a, a.dropPrivileges(caps.NetBindService) // for -R to a port below 1024, until all listen
}

// run starts the parts and waits for all of them.
func (a *agent) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return localapi.Serve(ctx, a.socket, a, a.log) })
	g.Go(func() error { return a.node.Run(ctx) })
	g.Go(func() error { a.metrics.Run(ctx); return nil })
	g.Go(func() error { return a.memory.run(ctx) })
	g.Go(func() error { return a.serveWhenReady(ctx, g) })
	err := g.Wait()
	if err == nil {
		a.log.Info("stopped")
	}
	return err
}

// serveWhenReady opens this node to applications once it knows its place, and says so.
func (a *agent) serveWhenReady(ctx context.Context, g *errgroup.Group) error {
	select {
	case <-ctx.Done():
		return nil
	case <-a.node.Ready():
	}
	for _, ln := range a.proxies.now() {
		g.Go(func() error { return a.proxy.Serve(ctx, ln) })
	}
	g.Go(func() error { return a.forwards.Run(ctx) })
	g.Go(func() error { return a.attendChanges(ctx, g) })
	select {
	case <-ctx.Done():
		return nil
	case <-a.forwards.Ready(): // every rule was tried; what cannot listen is in the log and in status
	}
	if err := a.dropPrivileges(); err != nil {
		return err
	}
	if !a.node.TUN() {
		a.log.Info("userspace mode: programs reach the mesh through the proxy or a forward; the host's own ping does not see it, nexd ping does")
	}
	if a.cfg.Ready != nil {
		self := a.node.View().Self
		a.cfg.Ready(Ready{Name: self.Name, Addresses: self.Addresses, Proxies: a.proxies.addrs()})
	}
	return nil
}

// close ends what open began. Listeners that a Serve took over are closed by it already;
// closing twice does no harm.
func (a *agent) close() {
	if a.socket != nil {
		a.socket.Close()
	}
	for _, ln := range a.proxies.now() {
		ln.Close()
	}
	a.metrics.Close()
	a.node.Close()
}
