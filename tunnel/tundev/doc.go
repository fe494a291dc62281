// Package tundev is the upper end of the data path in TUN mode: a kernel interface, the
// node's addresses on it, and routes to the addresses and prefixes of other nodes.
//
//	programs, containers ── kernel ── rule "not our mark" ── table ── wg0 ═ Device ── filter ── WireGuard
//	                                        │                                                     │
//	                                        └── marked: never here ◀── UDP sockets, service ◀─────┘
//
// The routes are in a table of their own (52nn). A rule looks that table up before the main
// table, for all packets without the mark of nexd's own sockets. A peer is therefore
// reachable even if its UDP address is in a prefix that it advertises, and packets of the
// tunnel never enter the tunnel. Because that table comes first, it must not contain the
// host's own networks: Device skips a prefix that overlaps a route or a network of the
// host, and reports it.
//
// All of it can be identified (routes by RouteProtocol, rules by mark and table), and
// nothing is written to disk. The interface, its addresses and its routes disappear with
// the process, however it ends; only rules can outlive it. A rule whose table has no route
// of nexd belongs to no running process, so New and Clean remove it.
//
// Device.Run checks again whenever the host's links, addresses, routes or rules change.
// Forwarding, NAT and firewalls are in tunnel/gateway.
package tundev
