package datapath

import (
	"context"
	"log/slog"
	"net/netip"

	"nexd/forward/router"
	"nexd/netmap"
	"nexd/netstack"
	"nexd/tunnel/filter"
)

// userspace is the upper end in userspace mode: TCP/IP in this process, and the
// router that carries flows to this node's prefixes on to the host's sockets.
type userspace struct {
	*netstack.Net
	router *router.Router
}

func newUserspace(cfg Config) (*userspace, error) {
	stack := cfg.stackConfig()
	stack.Fits, stack.OnTooBig = cfg.sizes.paths.Fits, cfg.sizes.learn
	n, err := netstack.New(stack)
	if err != nil {
		return nil, err
	}
	u := &userspace{Net: n}
	u.router, err = router.New(router.Config{AllowLocal: cfg.AllowLocal, PeerOf: cfg.PeerName, Budget: cfg.Budget, Logger: cfg.Logger.With("room", "router")})
	if err != nil {
		n.Close()
		return nil, err
	}
	n.HandleInbound(netstack.Inbound{
		TCP:  func(f *netstack.TCPFlow) { u.router.TCP(tcpFlow{f}) },
		UDP:  func(f *netstack.UDPFlow) { u.router.UDP(udpFlow{f}) },
		Echo: func(e *netstack.EchoRequest) { u.router.Echo(echo{e}) },
		Full: cfg.Budget.Full,
	})
	return u, nil
}

func (u *userspace) filtered(log *slog.Logger) *filter.Filter { return filter.New(u.Device(), log) }

func (u *userspace) admit(v *netmap.View) error {
	u.router.Set(v.Granted)
	return nil
}

func (u *userspace) connect(v *netmap.View) error { return u.SetAddresses(v.Self.Addresses) }

// unrouted is nil: the stack routes every mesh address into the mesh.
func (u *userspace) unrouted(netip.Addr) error { return nil }

func (u *userspace) host() HostStatus {
	stack, routed := u.Net.Stats(), u.router.Stats()
	return HostStatus{Stack: &stack, Router: &routed, Problems: u.router.Problems()}
}

// run carries flows until ctx ends.
func (u *userspace) run(ctx context.Context) error { return u.router.Run(ctx) }

func (u *userspace) close() { u.Close() }

// The flows of netstack as forward/router takes them. The two packages do not import each other
// and have their own types for the same things.
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
