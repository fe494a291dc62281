// Package firstflight is an http.RoundTripper for networks that lose large packets in silence.
//
// A link with a small MTU, whose ICMP messages do not arrive, loses every full TCP segment. The
// connection opens, since a SYN is small, but the first flight of TLS is lost: a ClientHello with a
// post-quantum key share, or the server's certificate. The kernel repeats the same segment until
// the connection dies.
//
//	plain ── connected, first flight without an answer ──▶ small ──▶ small, by IPv4 ──▶ tiny
//	  ▲                                                      │ answers: remembered, reported
//	  └──────────────────── after Config.Forget ─────────────┘
//
// The next way uses a new connection whose MSS is limited before it connects, so that both ends
// send smaller segments for as long as the connection lives, and a ClientHello without the
// post-quantum share, which fits into one of them. Nothing of a request is sent before the TLS
// handshake has ended, so a request is never sent twice. The same holds through an HTTP proxy.
//
// Every plain handshake sends at least one full segment in each direction, so a path that narrows
// later is found by the next connection. Wire and the kernel's user timeout end the old one.
//
// It is not a measurement of the path MTU: package netcheck has one. Plain HTTP has no first
// flight, so it is sent in the plain form only.
package firstflight
