// Package relay is the way between two nodes when no direct path holds: the frames
// that a node and a relay exchange, and the node's client. The relay's own side is
// package service/relayserver, which is built of this package's frames, queue and
// handshake.
//
//	node A ── WebSocket over HTTPS ──▶ relay ──▶ node B
//	   data to B                            data from A
//	      └───── UDP, while it passes ─────┘
//
// A carrier's message (a WebSocket message, or a long datagram) holds whole frames;
// a short datagram holds a data message and a number for the peer (datagram.go):
//
//	| version 1 | type | length, 2 | body …                              |
//	  challenge   relay's X25519 key of this connection, 32
//	  auth        node key 32, proof 32, token …
//	  welcome     session 4
//	  data        peer's key 32, packet: to the relay the receiver, from it the sender
//	  ping, pong  8 bytes that come back
//	  renew       token …
//	  bye         reason 1, text …
//	  bind, bound channel 2, peer's key 32
//
// What is carried is sealed end to end (WireGuard messages and path probes); a
// relay reads nothing of it and can only drop it. Where datagrams pass, data leaves in
// the caller's goroutine in runs (internal/udprun), as fast as the socket takes it.
// Else it is queued, and what does not fit is dropped: the oldest data first,
// handshakes and probes later, the connection's own frames never.
//
// The package chooses no path (tunnel/paths), knows nothing of WireGuard beyond
// telling a sealed packet from anything else, and does not ask for tokens itself.
package relay
