package datapath

import (
	"log/slog"
	"net/netip"
	"time"

	"nexd/forward/router"
	"nexd/internal/budget"
	"nexd/mesh"
	"nexd/netstack"
	"nexd/tunnel/candidates"
	"nexd/tunnel/gateway"
	"nexd/tunnel/pace"
)

// Config is what a Path needs. Key and Logger are required.
type Config struct {
	Choice     Choice
	Key        mesh.PrivateKey
	ListenPort uint16         // UDP port of WireGuard; 0: a free one
	FixedPort  bool           // a taken ListenPort is an error, not a reason to take another
	MTU        int            // inside the mesh; 0: mesh.DefaultMTU
	Memory     int64          // bytes that buffers are sized for; 0: plenty
	Budget     *budget.Budget // memory that connections may take; nil: no limit
	PeerIdle   time.Duration
	Exclude    candidates.Exclusion // of interfaces and networks

	Interface  string         // in TUN mode: the name of the interface; empty: the usual one
	SNAT       gateway.Mode   // in TUN mode: whether callers' addresses are hidden from the prefixes
	StateDir   string         // in TUN mode: where changed switches of the host are noted
	AllowLocal []router.Allow // in userspace mode: local targets that the router may dial

	PeerName func(netip.Addr) string // names the node behind a mesh address, for the router's accounts
	OnMapped func()                  // called when STUN found something new; must return at once
	Service  Service                 // where the relay is; nil: there is none

	sizes *pathSizes // made by New

	Logger *slog.Logger
}

// plenty is the memory from which on nothing is smaller than by default.
const plenty = 256 << 20

// scaled is n in proportion to the memory, but not less than least.
func (c *Config) scaled(n, least int) int {
	if c.Memory == 0 || c.Memory >= plenty {
		return n
	}
	return max(int(int64(n)*c.Memory/plenty), least)
}

// stackConfig is the netstack's share of the configuration.
func (c *Config) stackConfig() netstack.Config {
	return netstack.Config{
		MTU: c.MTU, Logger: c.Logger.With("room", "netstack"),
		BufferSize: c.scaled(netstack.DefaultBufferSize, 128<<10),
		MaxReceive: c.scaled(netstack.DefaultMaxReceive, 512<<10),
		MaxSend:    c.scaled(netstack.DefaultMaxSend, 512<<10),
		QueueBytes: c.scaled(netstack.DefaultQueueBytes, 128<<10),
		Batch:      c.batch(),
		MaxBuffer:  c.Budget.Buffers(),
	}
}

// batch is how many packets WireGuard moves at a time. It reserves a buffer of 64 KiB
// for each of them, three times and more.
func (c *Config) batch() int { return c.scaled(netstack.DefaultBatch, 16) }

// paceLimits are how many packets may be inside WireGuard, each in a buffer of 64 KiB.
func (c *Config) paceLimits() pace.Limits {
	return pace.Limits{Out: c.scaled(pace.DefaultOut, 48), In: c.scaled(pace.DefaultIn, 64)}
}
