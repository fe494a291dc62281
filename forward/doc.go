// Package forward carries single ports across the mesh, in both directions:
//
//	-L [BIND:]PORT:HOST:HOSTPORT[/udp]
//
//	   program ──▶ host listens on BIND:PORT ──▶ mesh ──▶ HOST:HOSTPORT
//
//	-R PORT:HOST:HOSTPORT[/udp]
//
//	   peer ──▶ mesh ──▶ this node's mesh addresses, PORT ──▶ host ──▶ HOST:HOSTPORT
//
// PORT and HOSTPORT may be ranges of the same size, FIRST-LAST. [BIND:]PORT of -L may be the path
// of a Unix socket (created with mode 0600), and so may HOST:HOSTPORT of -R. Several targets, joined
// by commas, take turns; after a failure a target is skipped for a while.
//
// BIND is an address or localhost. Without BIND the host listens on 127.0.0.1 only, not on ::1.
// HOST is a name or an address, IPv6 in brackets. The mesh resolves the HOST of -L, the host
// resolves the HOST of -R. The target of -R may be any address that the host can reach, including
// its loopback, since a person named it.
//
//	              New              Run
//	rule:  given ─────▶ waiting ─────────▶ listening ──▶ gone (Remove, Run ended)
//	                       ▲                   │
//	                       └── cannot listen ◀─┘   retried every few seconds
//
// A rule that cannot listen reports it in Status and does not affect the other rules. TCP keeps
// half-close and reset. If the target cannot be reached, the client gets a reset. UDP keeps one
// connected target socket for each client until both sides are idle; for a name server (port 53)
// only until it has answered. Where BIND means every address, answers leave from the address that
// the client sent to. On systems other than Linux they leave from the address that the host's
// routes select.
//
// Package forward is not a proxy, where the client chooses the target (package proxy), and not the
// subnet router, which serves whole prefixes (forward/router). It knows neither netstack nor the
// host's network: it gets the dialers and listeners of both as functions.
package forward
