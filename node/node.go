package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"nexd/internal/periodic"
	"nexd/mesh"
	"nexd/netmap"
	"nexd/node/datapath"
	"nexd/node/state"
	"nexd/tunnel/candidates"
)

// sessionsEvery is how often the node stores which peers it has sessions with.
const sessionsEvery = 2 * time.Second

// Node is a node of the mesh. Make it with New, run it with Run. Its other methods may be
// called from any goroutine, at any time.
type Node struct {
	cfg         Config
	log         *slog.Logger
	state       *state.State
	view        *atomic.Pointer[netmap.View] // never nil
	path        *datapath.Path
	dialer      *dialer
	follower    *follower
	network     *networkWatch
	keeper      *state.MapKeeper
	member      *member   // nil with a static map
	began       firstSeen // of problems
	beganStrict firstSeen // of those that Status alone looks for
	closing     sync.Once
}

// New checks the configuration, opens the state and WireGuard's UDP port, and in TUN mode
// makes the interface. It sends nothing. The caller calls Run or Close.
func New(cfg Config) (_ *Node, err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	st, err := openState(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, log: cfg.Logger, state: st, view: new(atomic.Pointer[netmap.View])}
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	n.view.Store(netmap.New(cfg.Advertise))
	choice, err := datapath.Choose(cfg.Mode, len(cfg.AllowLocal) > 0, cfg.StateDir != "")
	if err != nil {
		return nil, err
	}
	var svc *serviceChoice // nil with a static map
	if cfg.MapFile == "" {
		if svc, err = chooseService(cfg, st, choice.Outside()); err != nil {
			return nil, err
		}
	}
	mapped := make(chan struct{}, 1)
	if n.path, err = n.openPath(choice, svc, mapped); err != nil {
		return nil, err
	}
	n.dialer = &dialer{view: n.view.Load, mesh: n.path, host: new(net.Dialer).DialContext, unrouted: n.path.Unrouted}
	n.keeper = state.NewMapKeeper(st, n.log)
	n.follower = newFollower(n.view, n.path, n.keeper.Keep)
	self := &endpoints{advertised: cfg.AdvertiseEndpoints, path: n.path, view: n.view, log: n.log}
	moved := func() {}
	if svc != nil {
		n.member = newMember(cfg, svc, st, self, n.follower)
		moved = n.member.recheckEndpoints
	}
	n.network = &networkWatch{self: self, path: n.path, mapped: mapped, moved: moved, log: n.log}
	n.log.Info("starting", "mode", choice, "why", choice.Why, "port", n.path.Port(), "key", st.Key().Public(), "state", st)
	return n, nil
}

func openState(dir string) (*state.State, error) {
	if dir == "" {
		return state.New()
	}
	return state.Open(dir)
}

// openPath opens the data path, if possible at the UDP port of the last run, and stores the
// port.
func (n *Node) openPath(choice datapath.Choice, svc *serviceChoice, mapped chan<- struct{}) (*datapath.Path, error) {
	exclude, err := candidates.ParseExclusion(n.cfg.ExcludeInterfaces)
	if err != nil {
		return nil, fmt.Errorf("node: excluded interfaces: %w", err)
	}
	cfg := datapath.Config{
		Choice: choice, Key: n.state.Key(), ListenPort: n.cfg.ListenPort, FixedPort: n.cfg.ListenPort != 0,
		MTU: n.cfg.MTU, Memory: n.cfg.Memory, Budget: n.cfg.Budget, PeerIdle: n.cfg.PeerIdle, Exclude: exclude,
		Interface: n.cfg.Interface, SNAT: n.cfg.SNAT, StateDir: n.cfg.StateDir, AllowLocal: n.cfg.AllowLocal,
		PeerName: n.peerName, Logger: n.log,
		OnMapped: func() { // on the data path's goroutine
			select {
			case mapped <- struct{}{}:
			default:
			}
		},
	}
	if cfg.ListenPort == 0 {
		cfg.ListenPort = n.state.ListenPort
	}
	if svc != nil {
		cfg.Service = svc.client
	}
	path, err := datapath.New(cfg)
	if err != nil {
		return nil, err
	}
	if port := path.Port(); port != n.state.ListenPort {
		n.state.ListenPort = port
		if err := n.state.Save(); err != nil {
			path.Close()
			return nil, err
		}
	}
	return path, nil
}

// Run joins the mesh and stays in it until ctx ends; then it returns nil. It returns an error
// when the node cannot join or cannot continue: see the errors of this package. When Run returns,
// everything that New opened is closed and every connection through the node has ended. A node
// runs once.
func (n *Node) Run(ctx context.Context) error {
	defer n.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.path.Run(ctx) })
	g.Go(func() error { return n.network.run(ctx) })
	g.Go(func() error { return n.noteSessions(ctx) })
	g.Go(func() error { return n.watchProblems(ctx) })
	g.Go(func() error { return n.follow(ctx) })
	if n.member != nil {
		g.Go(func() error { return n.member.tellEndpoints(ctx) })
		g.Go(func() error { return n.keeper.Run(ctx) })
		g.Go(func() error { return n.runRelay(ctx) })
	}
	return g.Wait()
}

// Close closes a node that was never run. After Run it does nothing.
func (n *Node) Close() error {
	n.closing.Do(func() {
		if n.path != nil {
			n.path.Close()
		}
		if n.member != nil {
			n.member.client.Close()
		}
		n.state.Close()
	})
	return nil
}

// Ready returns a channel that is closed when the node knows its own addresses, its peers and
// their endpoints. A node that joined in an earlier run also becomes ready without the service,
// after some seconds. If Run fails before, the channel stays open, so wait for the end of Run, too.
func (n *Node) Ready() <-chan struct{} { return n.follower.ready }

// View returns what the node knows of its mesh now. It is empty before the first map. A View
// never changes: call View again for a newer one.
func (n *Node) View() *netmap.View { return n.view.Load() }

// follow is the apply loop: first the cached map, then the maps of the service or of the static
// map's file.
func (n *Node) follow(ctx context.Context) error {
	sessions := n.state.LoadSessions()
	if n.member == nil {
		f := &staticFile{path: n.cfg.MapFile, own: n.state.Key().Public(), wanted: n.cfg.Advertise, log: n.log}
		return f.follow(ctx, n.follower, func() { n.path.Initiate(sessions...) })
	}
	if n.member.kept != nil {
		if err := n.follower.begin(n.member.takeKept()); err != nil {
			return err
		}
		n.path.Initiate(sessions...)
		patience := time.AfterFunc(readyPatience, n.follower.markReady)
		defer patience.Stop()
	}
	return n.member.run(ctx)
}

// runRelay keeps the connection to the relay, from the first registration on.
func (n *Node) runRelay(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.member.registered:
	}
	return n.path.RunRelay(ctx)
}

// noteSessions stores which peers this node has sessions with. After a crash it calls them
// first, so that they do not have to wait for a time-out.
func (n *Node) noteSessions(ctx context.Context) error {
	var noted []mesh.Key
	return periodic.Run(ctx, sessionsEvery, func() error {
		now := n.path.Recent(time.Now())
		slices.SortFunc(now, func(a, b mesh.Key) int {
			if a.Less(b) {
				return -1
			}
			return 1
		})
		if slices.Equal(now, noted) {
			return nil
		}
		if err := n.state.SaveSessions(now); err != nil {
			n.log.Debug("sessions are not noted", "err", err)
			return nil
		}
		noted = now
		return nil
	})
}

// peerName names the node behind a mesh address, for the router's accounts.
func (n *Node) peerName(a netip.Addr) string {
	if o := n.view.Load().Find(a); o.Node != nil {
		return o.Node.Name
	}
	return a.String()
}
