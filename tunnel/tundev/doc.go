// Package tundev is the upper end of the data path in TUN mode: a kernel
// interface, the node's addresses on it, and routes to what other nodes have.
//
//	programs, containers ── kernel ── rule "not our mark" ── table ── wg0 ═ Device ── filter ── WireGuard
//	                                        │                                                     │
//	                                        └── marked: never here ◀── UDP sockets, service ◀─────┘
//
// Routes stand in a table of their own (52nn), which a rule looks up before the
// main table for everything that does not carry the mark of nexd's own sockets:
// a peer is reached even where its UDP address lies in a prefix it advertises,
// and nothing of the tunnel ever enters the tunnel. Since that table comes first,
// what the host has already must be kept out of it: a prefix that overlaps a
// route or a network of the host is skipped, and said.
//
// Everything made here is recognisable (routes by RouteProtocol, rules by mark
// and table) and nothing is written to disk. The interface, its addresses and its
// routes end with the process, however it ends; only rules can outlive it. A rule
// whose table has no route of ours belongs to nobody alive: New and Clean remove
// such.
//
// Device.Run looks again whenever the host's links, addresses, routes or rules
// change. Forwarding, NAT and firewalls are not here but in tunnel/gateway.
package tundev
