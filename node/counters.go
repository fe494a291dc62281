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
	Stack         *netstack.Stats // TCP/IP in this process; nil in TUN mode
	Router        *router.Stats   // flows to this node's prefixes; nil in TUN mode
	Relay         *relay.Stats    // packets through the relay; nil with a static map
}

// Counters returns the counters as they are now. Unlike Status, it does not ask WireGuard.
func (n *Node) Counters() (c Counters) {
	c.FilterPassed, c.FilterDropped = n.path.Filtered()
	c.Fit = n.path.Fitted()
	host := n.path.Host()
	c.Stack, c.Router = host.Stack, host.Router
	if s, ok := n.path.Relayed(); ok {
		c.Relay = &s
	}
	return c
}
