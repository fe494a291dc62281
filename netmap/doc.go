// Package netmap is what a node knows of its mesh: which node has which address,
// which node routes which prefix, the nodes' names, and where each node was last
// reachable.
//
//	map event ──Replace──▶ ┌──────┐ ──Find, Route──────▶ who answers for an address
//	live event ──Update──▶ │ View │ ──Named, Resolve───▶ the addresses of a name
//	                       └──────┘ ──Inbound, Routed──▶ filter, underlay, routes
//	                           └─────Source────────────▶ the copy on disk
//
// A View never changes. Replace and Update return a new View, so any number of
// goroutines may read one while another goroutine prepares the next.
//
// The package does no I/O, and it does not trust the map: an address or prefix that two
// nodes claim, or that a mesh may not route, is left out and listed in Rejected. A map
// can take a prefix away from this node, but it can never make this node advertise a
// prefix that its user did not name.
package netmap
