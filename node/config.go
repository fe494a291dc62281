package node

import (
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"nexd/forward/router"
	"nexd/internal/budget"
	"nexd/mesh"
	"nexd/node/datapath"
	"nexd/tunnel/gateway"
)

// Mode is how packets enter and leave the mesh on this host: Auto, Userspace or TUN.
type Mode = datapath.Mode

// The modes.
const (
	Auto      = datapath.Auto      // TUN where this process may make an interface, userspace otherwise
	Userspace = datapath.Userspace // TCP/IP inside this process; needs no privilege
	TUN       = datapath.TUN       // an interface and routes of the kernel; needs root or CAP_NET_ADMIN
)

// Config is everything a node is told. The zero value of a field is its default. A program
// that embeds a node usually sets ServiceURL, RegKey, Hostname and Mode: Userspace.
type Config struct {
	ServiceURL   string // join URL, with or without #pin=…; empty: the one in the state
	MapFile      string // a static map instead of a service; see docs/static-map.md
	RegKey       string // registration key of a first join; empty: a person is asked, see Approve
	InsecureHTTP bool   // allow http:// service URLs

	// ServiceProxy chooses the HTTP proxy of a request to the service or its relay, as
	// http.Transport.Proxy does. Nil: the environment's.
	ServiceProxy func(*http.Request) (*url.URL, error)

	Version string // of the program, for the service; may be empty

	// StateDir keeps the node's identity, so that it is the same node after a restart.
	// One process at a time can use a directory. Empty: memory only; then every New makes
	// a new node, which needs a registration key each time.
	StateDir string

	Mode               Mode
	Hostname           string           // wanted node name; empty: the host's
	ListenPort         uint16           // UDP port of WireGuard; 0: the one in the state, else a free one
	AdvertiseEndpoints []netip.AddrPort // further addresses at which peers can reach this node
	ExcludeInterfaces  []string         // names and prefixes of networks that must not carry the mesh
	MTU                int              // inside the mesh; 0: mesh.DefaultMTU
	Memory             int64            // bytes of memory that buffers are sized for; 0: plenty
	Budget             *budget.Budget   // memory that connections may take; nil: no limit
	PeerIdle           time.Duration    // after which WireGuard drops a silent peer; 0: tunnel.DefaultIdle
	Interface          string           // its name in TUN mode; empty: wg0

	Advertise  []mesh.Advertisement // prefixes of this host that other nodes may reach; see mesh.ParseAdvertisement
	SNAT       gateway.Mode         // in TUN mode: whether callers' addresses are hidden from the prefixes
	AllowLocal []router.Allow       // loopback and link-local targets that other nodes may reach; see router.ParseAllow

	// Approve is called when a person has to let this node in: a first join without a
	// registration key. It must return at once; Run waits for the person's answer. Nil:
	// such a node is refused.
	Approve func(Approval)

	Logger *slog.Logger // nil: silent
}
