package node

import (
	"nexd/forward/router"
	"nexd/netstack"
	"nexd/relay"
	"nexd/tunnel/fit"
)

// Counters count the packets, connections and flows of a node since it started. Some fields are
// gauges, as their comments say.
type Counters struct {
	FilterPassed  uint64          // packets from peers that the filter let in
	FilterDropped uint64          // packets from peers to addresses that this node does not offer
	Fit           fit.Stats       // packets to and from peers whose path is narrow
	Paths         PathCounters    // what became of paths by the proof of data
	Stack         *netstack.Stats // TCP/IP in this process; nil in TUN mode
	Router        *router.Stats   // flows to this node's prefixes; nil in TUN mode
	Relay         *relay.Stats    // packets through the relay; nil with a static map
}

// PathCounters count what the data on paths to peers led to.
type PathCounters struct {
	ReportsSent     uint64 // to peers, of what arrived
	ReportsReceived uint64
	Narrowed        uint64 // paths limited to smaller packets, or to single ones
	Left            uint64 // addresses that swallowed data, left for another way
}

// Counters returns the counters as they are now. Unlike Status, it does not ask WireGuard.
func (n *Node) Counters() (c Counters) {
	c.FilterPassed, c.FilterDropped = n.path.Filtered()
	c.Fit = n.path.Fitted()
	u := n.path.Stats()
	c.Paths = PathCounters{u.ReportsSent, u.ReportsReceived, u.Narrowed, u.Left}
	host := n.path.Host()
	c.Stack, c.Router = host.Stack, host.Router
	if s, ok := n.path.Relayed(); ok {
		c.Relay = &s
	}
	return c
}
