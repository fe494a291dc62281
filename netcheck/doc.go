// Package netcheck measures what the network around this host permits: whether the service answers
// and is the right one, whether the relay works, whether UDP passes, how the NATs on the path
// behave, and how large packets may be.
//
//	HTTPS ──▶ service: reached? which key? which proxy? is the clock right?
//	              │ addresses of the STUN servers
//	              ├──▶ relay: connect, ping, UDP                 (as a node only)
//	              └──▶ STUN, IPv4 and IPv6, concurrently
//	                     ├─ one socket asks all servers: mapping  (RFC 4787, 4.1)
//	                     ├─ one asks one server to answer from
//	                     │  another port and address: filtering   (RFC 4787, 5; RFC 5780)
//	                     ├─ two send to each other's public address: hairpin
//	                     └─ one sends larger and larger packets: path MTU
//
// What the service cannot show stays "unknown", with the reason; netcheck does not guess. Run takes
// about two seconds and never more than Config.Limit.
//
// The sockets are its own, not WireGuard's. A running node classifies the mapping of its own socket
// in the same way (internal/stun.MappingOf). A port that a router forwards to WireGuard does not
// show in the results. The package changes nothing, stores nothing and does not join the mesh.
package netcheck
