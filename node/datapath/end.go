package datapath

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"nexd/forward/router"
	"nexd/mesh"
	"nexd/netmap"
	"nexd/netstack"
	"nexd/tunnel/filter"
	"nexd/tunnel/fit"
	"nexd/tunnel/gateway"
	"nexd/tunnel/tundev"
)

// end is the upper end of the data path: where the packets of the mesh come from and go
// to on this host. There is one for each mode.
type end interface {
	Sockets
	filtered(log *slog.Logger) *filter.Filter // the end, behind a filter that lets nothing in yet
	admit(v *netmap.View) error               // lets in the prefixes granted by v, before any peer can send
	connect(v *netmap.View) error             // opens routes and addresses, after the peers are set
	unrouted(a netip.Addr) error              // why this host does not route a mesh address into the mesh; nil: it does
	host() HostStatus
	run(ctx context.Context) error
	close()
}

// resizer is an end that keeps its packets within what the paths carry.
type resizer interface {
	resize(sizes []fit.Size) error
}

// Sockets are how this node's own programs meet the mesh.
type Sockets interface {
	DialTCP(context.Context, netip.AddrPort) (net.Conn, error)
	DialUDP(context.Context, netip.AddrPort) (net.Conn, error)
	ListenTCP(netip.AddrPort) (net.Listener, error)
	ListenUDP(netip.AddrPort) (net.PacketConn, error)
	Ping(ctx context.Context, to netip.Addr, size int) (time.Duration, error)
}

// HostStatus describes the upper end of the data path: in TUN mode what the node has set up on its
// host, in userspace mode the counters of the stack and the router.
type HostStatus struct {
	Interface  string
	Forwarding []gateway.Status
	Skipped    []tundev.Skipped

	Stack  *netstack.Stats // nil in TUN mode
	Router *router.Stats   // nil in TUN mode

	Problems []mesh.Problem // such as limits of the router that turned flows away just now
}
