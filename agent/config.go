package agent

import (
	"net/netip"

	"nexd/node"
)

// Config is everything an agent is told from outside: its node's Config, with StateDir
// required and Memory taken from MemoryLimit, and what the process has around the node. The zero value
// of a field is its default.
type Config struct {
	node.Config

	Socket      string // control socket; empty: nexd.sock in StateDir
	MemoryLimit int64  // bytes that this process tries to stay under, at least MinMemoryLimit; 0: none

	ProxyListen []string // host:port or unix:PATH each; empty: DefaultProxy; the single entry "off": none
	Proxy       ProxyConfig
	Forwards    []string // rules, "-L …" or "-R …"

	MetricsListen string // [HOST]:PORT where Prometheus reads the counters; empty: nowhere

	// DropPrivileges makes the process in TUN mode drop every capability but
	// CAP_NET_ADMIN once everything is open. It concerns the whole process.
	DropPrivileges bool

	// Changes are taken in while the agent runs; nil: none come.
	Changes <-chan Change

	// Ready is called once, when the node is joined and listens.
	Ready func(Ready)
}

// DefaultProxy is where the SOCKS5 and HTTP proxy listens unless told otherwise.
const DefaultProxy = "127.0.0.1:1080"

// Ready is what an agent that has come up can say of itself.
type Ready struct {
	Name      string
	Addresses []netip.Addr
	Proxies   []string
}
