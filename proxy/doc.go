// Package proxy lets ordinary programs reach the mesh: SOCKS5, SOCKS4 and HTTP
// proxying on one port.
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
// Where a connection goes is for Config.Dial to say. It gets names as the client
// sent them, unresolved, and its errors decide the answer: refused, no route,
// unknown, timeout and not allowed are told apart in SOCKS reply codes and in
// HTTP statuses (see judge).
//
// A client that hangs up ends its dial. A half-close is carried across, and a
// cut transfer reaches the client as a reset, never as an end (see
// internal/splice). A dial that succeeds is answered before any data moves.
//
// Package proxy is not a gateway to the internet: it never dials the host's
// network by itself, does not look at the proxy settings of the environment, and
// caches nothing but the addresses that UDP names had a minute ago. With Auth it
// asks who the client is; without, bind it to an address that only the right
// people can reach. Whether a target may be the proxy itself is for
// Dial to prevent; one that dials only the mesh cannot loop.
//
// A UDP association has one socket into the mesh, so its port there is the same
// whatever the target, and who writes to that port is heard, as by any UDP socket.
// The relay takes datagrams only from the address of the control connection, and from
// the one port that wrote first or was announced. Fragments are dropped. It ends
// with its control connection, or after a long silence.
//
// At a limit (of connections, of one client's, of handshakes in progress, of
// associations) new ones are refused in their own language and old ones are
// untouched.
//
// The negotiation of SOCKS5 is github.com/armon/go-socks5's. It is given one
// byte at a time, so that it takes nothing that belongs to the target, and asked
// for its rules' opinion at the moment the request is known. There the request is
// taken over: dialing, replies and copying are done here. BIND is refused.
//
// HTTP is net/http's. It takes a client that half-closes during a plain request for
// one that is gone; in a tunnel of CONNECT a half-close is carried across.
package proxy
