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
// PORT and HOSTPORT may be ranges of one size, FIRST-LAST. [BIND:]PORT of -L may
// be the path of a Unix socket (made 0600), and so may HOST:HOSTPORT of -R. Several
// targets, joined by commas, take turns; one that fails is left out for a while.
//
// BIND is an address literal or localhost, 127.0.0.1 when left out (only that,
// not ::1). HOST is a name or an address, IPv6 in brackets. For -L a HOST is
// looked up by the mesh's dialer, for -R by the host's; a -R target may be
// anything the host can reach, its loopback too, since a person named it.
//
//	              New              Run
//	rule:  given ─────▶ waiting ─────────▶ listening ──▶ gone (Remove, Run ended)
//	                       ▲                   │
//	                       └── cannot listen ◀─┘   tried again every few seconds
//
// A rule that cannot listen fails alone and says so in Status; the others work.
// TCP keeps half-close and reset; where the target cannot be reached the client
// sees a reset. UDP keeps one connected target socket for each client until
// both are quiet, those of a name server, port 53, only until their answer. Where BIND means
// every address, answers leave from the one that was asked; elsewhere than on Linux, from
// the one that the host's routes choose.
//
// It is not a proxy (that is package proxy: the client chooses the target) and
// not the subnet router (forward/router: whole prefixes). Both worlds come in as
// funcs, so that it knows neither netstack nor the host's rules.
package forward
