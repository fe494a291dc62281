package agent

import (
	"log/slog"
	"net/netip"
	"time"

	"nexd/forward/router"
	"nexd/mesh"
	"nexd/tunnel/gateway"
)

// Mode is how packets enter and leave the mesh on this host.
type Mode uint8

const (
	// Auto takes TUN mode where it may, userspace otherwise.
	Auto Mode = iota
	// Userspace keeps the whole TCP/IP stack in this process; no privilege is needed.
	Userspace
	// TUN installs an interface and routes; needs root or CAP_NET_ADMIN.
	TUN
)

// Config is everything a node is told from outside. The zero value of a field is
// its default.
type Config struct {
	ServiceURL   string // join URL, with or without #pin=…; empty: the one in the state, or MapFile
	MapFile      string // a static map instead of a service
	RegKey       string // registration key of a first join; empty: a person is asked, see Approve
	InsecureHTTP bool   // allow http:// service URLs

	StateDir string // required
	Socket   string // control socket; empty: nexd.sock in StateDir

	Mode               Mode
	Hostname           string           // wanted node name; empty: the host's
	ListenPort         uint16           // UDP port of WireGuard; 0: the one in the state, else any
	AdvertiseEndpoints []netip.AddrPort // further addresses this node can be reached at
	MTU                int              // inner MTU; 0: 1420
	MemoryLimit        int64            // bytes this process tries to stay under, at least MinMemoryLimit; 0: none
	PeerIdle           time.Duration    // after which WireGuard drops a silent peer; 0: tunnel.DefaultIdle
	Interface          string           // its name in TUN mode; empty: wg0

	Advertise  []mesh.Advertisement
	SNAT       gateway.Mode   // in TUN mode: whether callers' addresses are hidden from the prefixes
	AllowLocal []router.Allow // loopback and link-local targets the router may dial

	ProxyListen []string // host:port or unix:PATH each; empty: DefaultProxy; the single entry "off": none
	Proxy       ProxyConfig
	Forwards    []string // rules, "-L …" or "-R …"

	// DropPrivileges makes the process in TUN mode drop every capability but
	// CAP_NET_ADMIN once everything is open. It concerns the whole process.
	DropPrivileges bool

	Version string // of this build, for the service and for status
	Logger  *slog.Logger

	// Changes are taken in while the node runs; nil: none come.
	Changes <-chan Change

	// Approve is called when a person has to let this node in: a first join without
	// a registration key. It must not wait. Nil: such a node is refused.
	Approve func(Approval)

	// Ready is called once, when the node is joined and listens.
	Ready func(Ready)
}

// DefaultProxy is where the SOCKS5 and HTTP proxy listens unless told otherwise.
const DefaultProxy = "127.0.0.1:1080"

// Ready is what a node that has come up can say of itself.
type Ready struct {
	Name      string
	Addresses []netip.Addr
	Proxies   []string
}
