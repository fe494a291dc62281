// Package proxy gives ordinary programs access to the mesh: SOCKS5, SOCKS4 and HTTP proxying on one
// port.
//
//	                 first byte
//	             ┌── 0x05 ──── SOCKS5 ── negotiation ──┬─ CONNECT ─┐
//	             │                                     └─ UDP ASSOCIATE ── relay ── ListenPacket
//	client ──────┼── 0x04 ──── SOCKS4, 4a ─────────────────────────┤
//	             ├── 'A'..'z'─ HTTP ──┬─ CONNECT ──────────────────┼── Dial ── splice
//	             │                    ├─ GET http://… ── one request and answer at a time ── Dial
//	             │                    └─ GET /proxy.pac
//	             └── other ─── closed
//
// Config.Dial decides where a connection goes. It gets names unresolved, as the client sent them.
// Its errors decide the answer to the client: SOCKS reply codes and HTTP statuses tell apart
// refused, no route, unknown, timed out and not allowed (see replyFor).
//
// When a client hangs up, its dial ends. A half-close crosses the proxy. An interrupted transfer
// ends with a reset, so that the client does not take it for complete (see internal/splice). The
// client gets the answer to its request before any data.
//
// Package proxy is not a gateway to the internet. It never dials the host's network by itself,
// ignores the proxy settings of the environment, and caches nothing except addresses of UDP names
// for a minute. With Auth it asks for a password; without Auth, it should listen on an address that
// only the right people can reach. Dial must prevent connections to the proxy itself; a Dial that
// reaches only the mesh cannot loop.
//
// A UDP association has one socket in the mesh, so its port there is the same for all targets, and
// it receives datagrams from anybody who sends to that port, like any UDP socket. The relay accepts
// datagrams only from the address of the control connection, and from the port that the client
// announced or used first. It drops fragments. The association ends with its control connection, or
// after a long idle time.
//
// There are limits for connections, connections of one client, handshakes in progress, and
// associations. At a limit, new clients get a refusal in their own protocol; existing ones continue.
//
// github.com/armon/go-socks5 negotiates SOCKS5. It reads one byte at a time, so that it takes
// nothing that belongs to the target. Once it knows the request, it asks its rules for permission;
// there this package takes the request over and does the dialling, replies and copying. BIND is
// refused.
//
// net/http serves HTTP. When a client half-closes during a plain request, net/http takes it for
// gone; in a tunnel of CONNECT the half-close crosses the proxy.
//
// Size: SOCKS5, SOCKS4 and HTTP on one port share limits, passwords, names and dialing.
package proxy
