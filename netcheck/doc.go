// Package netcheck measures what the network around this host lets a node do:
// whether the service answers and is the right one, whether the relay can be used,
// whether UDP passes, what the NAT in between does, and how large packets may be.
//
//	HTTPS ──▶ service: reached? which key? which proxy? how late is the clock?
//	              │ where STUN is
//	              ├──▶ relay: connect, ping, UDP                 (as a node only)
//	              └──▶ STUN, IPv4 and IPv6, side by side
//	                     ├─ one socket asks all: mapping         (RFC 4787, 4.1)
//	                     ├─ one asks one server to answer from
//	                     │  another port and address: filtering  (RFC 4787, 5; RFC 5780)
//	                     ├─ two send to each other's outside: hairpin
//	                     └─ one sends larger and larger packets: path MTU
//
// What the service cannot show stays "unknown", with the reason: nothing is
// guessed. Run takes about two seconds and never more than Config.Limit.
//
// The sockets are its own, not WireGuard's: a running node finds out about its own
// mapping with the same words (internal/stun.MappingOf), and a port that a router
// forwards to WireGuard does not show here. The package changes nothing, keeps
// nothing and takes no part in the mesh.
package netcheck
